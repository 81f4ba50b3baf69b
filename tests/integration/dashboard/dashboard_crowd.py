"""A house with 100,000 of everything, behind a dashboard in this process: its memory is filled, not its topics."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import uvicorn
from dashboard_stack import DashboardStack

from easeml.dashboard.changes import Changes
from easeml.dashboard.house import House
from easeml.dashboard.letters import Letters
from easeml.dashboard.web import Web
from easeml.errors import InvalidDataError
from easeml.ids import EventId
from easeml.labels.queue import MAX_OPEN
from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.poison import PREFIX, Burial, dead_letter
from easeml.stream.topics import APPS, CANDIDATES, DATA_TRAIN, DATA_VERSIONS, QUESTIONS

MANY = 100_000
NOW = 1_700_000_000.0
COLUMNS = tuple(p.Column(name, p.ColumnKind.NUMERIC) for name in ("height", "width", "weight"))
APP = p.AppDefined("many", "y", ("no", "yes"), COLUMNS, condition="n > 0.7 +/- 0.1", acquisition_budget=200_000)
ROWS = tuple(f"row-{n:06d}" for n in range(MANY))
_ID = EventId("any")  # memory never looks at it
BELIEF = np.array([0.25, 0.75])


class Crowd:
    """A dashboard whose app ``many`` has 100,000 of everything, and whose app ``silent`` has nothing.

    Parameters
    ----------
    stack : DashboardStack
        A broker with a label service.
    """

    def __init__(self, stack: DashboardStack) -> None:
        self.stack = stack
        self.house, self.letters, self.changes = House(), Letters(), Changes("test")
        self.house.fold([_event(APP, 0), _event(p.AppDefined("silent", "y", ("no", "yes"), ()), 1)])
        self.web = Web(stack.settings, self.house, self.letters, self.changes, clock=lambda: NOW + MANY)
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[None]:
        config = uvicorn.Config(self.web.application(), log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # the thread is none that signals reach
        serving = threading.Thread(target=self._loop.run_until_complete, args=[server.serve([self._listening])])
        serving.start()
        try:
            yield
        finally:
            self.do(self._stop(server))
            serving.join(30)
            self._loop.close()

    async def _stop(self, server: uvicorn.Server) -> None:
        self.web.stop()
        server.should_exit = True

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something where the dashboard runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def fold(self, said: Iterable[Any]) -> None:
        """Let the app ``many`` hear of things, and the browsers of what they change."""
        view = self.house.apps[APP.app]
        parts = {view.fold(_event(data, place)) for place, data in enumerate(said)}
        self.changes.note({(APP.app, part) for part in parts if part is not None})


def _event(data: Any, at: float) -> Event[Any]:
    topic = APPS.name if isinstance(data, p.AppDefined) else ""
    placed = {"topic": topic, "partition": 0, "offset": int(at), "recorded": NOW + at}
    return Event(_ID, "easeml/test", NOW + at, data.app, data.app, data, **placed)


def models() -> Iterator[Any]:
    """Yield models with their verdicts, details and test sets, in the order in which such things happen."""
    file = ("file:///nowhere", "0" * 64, 40_000, "skops", ("height",), APP.classes, "v1", "automl")
    ends = np.array([0.7, 0.9, np.nan, np.nan, 0.1, 0.2])
    clauses = (p.ClauseFound(APP.condition, "true", 0.71, 0.9),)
    for n in range(MANY):
        name, epoch = f"lda-{n:06x}", n // 16
        metrics = {"accuracy": 0.6 + 0.3 * (n % 1000) / 1000, "cpu_seconds": 0.5 + n % 7}
        yield p.ModelPublished(APP.app, name, "lda", *file, metrics)
        yield p.Verdict(APP.app, name, n % 3 == 0, True, "lda-000000")
        if n < MANY - 10_000:
            continue  # as much is forgotten of the others, and making it takes long
        if n % 16 == 0:
            yield p.TestSetOpened(APP.app, epoch, 1500, 900, 16)
        outcome = p.VerdictOutcome.PASSED
        yield p.VerdictDetail(
            APP.app, name, None, outcome, n % 3 == 0, APP.condition, epoch, 5, 2, 14.0, None, clauses, ends
        )
        yield p.MeterReading(APP.app, epoch, name, n % 16, 1, 0.01, 0.02, 0.04)


def picks() -> Iterator[p.ModelPicked]:
    for n in range(MANY):
        belief = {f"lda-{n:06x}": 0.4, "lda-000001": 0.3, "lda-000002": 0.3}
        yield p.ModelPicked(APP.app, f"lda-{n:06x}", n // 3, 7 * n, n % 100 == 0, n + 1, belief)


def study() -> p.FeasibilityReport:
    arms = tuple(p.ArmProgress(f"transformation {n}", p.ArmState.DONE, 1.0, 0.1 + n / 100) for n in range(30))
    return p.FeasibilityReport(
        app=APP.app,
        version="v1",
        rows=MANY,
        final=True,
        target_accuracy=0.9,
        signal=p.FeasibilitySignal.REALISTIC,
        bayes_error=0.05,
        bayes_error_upper=0.08,
        interval_low=0.03,
        interval_high=0.07,
        best_transformation=arms[0].transformation,
        distinct_row_ratio=1.0,
        begun_at=NOW,
        arms=arms,
        curve_arm=np.arange(MANY, dtype=np.int32) % len(arms),
        curve_rows=np.arange(1.0, MANY + 1),
        curve_error=0.1 + 0.5 / np.sqrt(np.arange(1.0, MANY + 1)),
    )


def answered() -> Iterator[p.Question | p.Answer]:
    label, pool = p.QuestionKind.LABEL, p.Pillar.POOL
    for n in range(MANY):
        asked = (APP.app, f"old-{n}", label, pool, f"p-{n}")
        yield p.Question(*asked, APP.classes, 0.5, "modelpicker", probabilities=BELIEF)
        yield p.Answer(*asked, 1, "yes", "modelpicker", 1)


def open_questions() -> Iterator[p.Question]:
    """Yield 100,000 questions, of which a label service keeps the first thousand open."""
    for n in range(MANY):
        yield p.Question(
            APP.app,
            f"q-{n:06d}",
            p.QuestionKind.CELL,
            p.Pillar.TRAIN,
            ROWS[100 * n % MANY],
            ("1.5", "2.5"),
            1 - n / MANY,
            "cpclean",
            column="height",
            probabilities=BELIEF,
        )


def buried() -> Iterator[Record]:
    """Yield dead letters: each the first one, from another place and time."""
    error = InvalidDataError("The value 'x' is wrong.", mend="Mend it.")
    first = dead_letter(Record(QUESTIONS.name, 0, 0, b"k", b"x", (), 0), error, Burial("labels", NOW), 1_000_000)
    named = dict(first.headers)
    for n in range(MANY):
        headers = named | {f"{PREFIX}id": b"%d" % n, f"{PREFIX}offset": b"%d" % n}
        yield Record(first.topic, first.partition, n, first.key, first.value, tuple(headers.items()), 0)


def publish_rows(crowd: Crowd) -> None:
    """Put 100,000 rows on the topic, each hundredth uncertain, with as many questions about them as can be open."""
    publisher = crowd.stack.publisher
    publisher.publish(APPS, APP)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(MANY, len(COLUMNS))), columns=[one.name for one in COLUMNS], index=ROWS)
    frame["y"] = np.array(APP.classes, object)[rng.integers(0, 2, MANY)]
    relation = Relation.from_frame(frame, label="y", classes=APP.classes, row_ids=ROWS, columns=list(COLUMNS))
    for batch in relation.to_batches(APP.app, p.Pillar.TRAIN, "v1", rows_per_batch=5000, max_bytes=900_000):
        publisher.send(DATA_TRAIN, batch)
    uncertain = tuple(ROWS[::100])
    publisher.send(
        CANDIDATES,
        p.CandidateBatch(
            APP.app,
            p.Pillar.TRAIN,
            "tool@1",
            ("height",),
            uncertain,
            ("1.5", "2.5") * len(uncertain),
            row=np.repeat(np.arange(len(uncertain), dtype=np.int32), 2),
            column=np.zeros(2 * len(uncertain), np.int32),
            probability=np.tile(BELIEF, len(uncertain)),
        ),
    )
    for asked in islice(open_questions(), MAX_OPEN):
        publisher.send(QUESTIONS, asked)
    version = p.DataVersion(APP.app, p.Pillar.TRAIN, "v1", MANY, "0" * 64, "published")
    publisher.publish(DATA_VERSIONS, version)
    crowd.do(crowd.fold([version]))


def fill(crowd: Crowd) -> None:
    """Let the dashboard remember 100,000 of each thing that it lists."""
    for said in ([study()], models(), picks(), answered(), open_questions()):
        crowd.do(crowd.fold(said))
    crowd.letters.fold(buried())
