"""The story of the demo, step by step."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from easeml import repairing
from easeml.cli import story
from easeml.cli.doors import doors
from easeml.client import Client
from easeml.demo import scenario
from easeml.demo.application import Application
from easeml.demo.record import Observer, Record
from easeml.demo.score import checks, score
from easeml.errors import UnavailableError
from easeml.labels.oracle import Oracle
from easeml.stream.events import Event
from easeml.stream.payloads import Answer, DataVersion, Pillar, Question, TrialAssigned, VerdictDetail
from easeml.stream.settings import Settings
from easeml.supervisor import Stack, wait_ready
from easeml.supervisor.stack import connected
from easeml.tokens import house_token

CONDITION = "n > 0.75 +/- 0.1"
RELIABILITY = 0.95
LABEL_BUDGET, CLEANING_BUDGET, ACQUISITION_BUDGET = 120, 30, 30
_CANDIDATES = 8
_CHUNK = 10
_PAUSE = 0.12
_QUIET = (Question, Answer, TrialAssigned, DataVersion)
"""Told by the progress line instead of one by one."""


class Demo:
    """One run of the demo.

    Parameters
    ----------
    console : Console
        Where the story is told.
    settings : Settings
        Settings of the house; its home is emptied first.
    permute_labels : bool
        Shuffle the labels: no model may pass.
    """

    def __init__(self, console: Console, settings: Settings, *, permute_labels: bool = False) -> None:
        self._console = console
        self._settings = settings
        self._data = scenario.load(permute_labels=permute_labels)
        # A cluster of the user's own may hold earlier runs; the embedded broker starts empty.
        self._app = f"segments-{uuid.uuid4().hex[:8]}" if settings.bootstrap_servers else "segments"
        self._record = Record(self._app)
        self._told: dict[type, str] = {}
        self._started = time.monotonic()

    def run(self) -> bool:
        """Tell the whole story; True when the loop really closed."""
        self._say(
            "[bold]Ease.ML demo[/]: outdoor image segments, 7 surfaces; some training cells are lost, and at noon the "
            "camera's sensor turns noisy."
        )
        with self._house() as stack:
            settings = connected(self._settings)
            observer = Observer(settings, self._record, self._tell)
            observer.start()
            try:
                return self._loop(stack, settings, observer)
            finally:
                observer.stop()

    def _loop(self, stack: Stack, settings: Settings, observer: Observer) -> bool:
        with Client(settings.bootstrap_servers, home=settings.home) as client:
            algorithms = self._publish(client)
            row_ids = _names("camera", len(self._data.production))
            with self._oracle(stack, settings, row_ids):
                self._wait(observer, "every algorithm is trained and judged", 120, lambda: self._judged(algorithms))
                self._wait(observer, "questions about training data are answered", 60, self._improved)
                if not self._record.passed:
                    return self._report(np.empty(0, np.int64), ())
                served = self._serve(stack, settings, row_ids)
                self._wait(observer, "the last rows are scored and answers used", 60, lambda: self._settled(row_ids))
        return self._report(served, row_ids)

    def _oracle(self, stack: Stack, settings: Settings, row_ids: tuple[str, ...]) -> Oracle:
        """Return who answers for people: nothing but the oracle and the final score knows the truth."""
        data = self._data
        train, pool = _names("train", len(data.train)), _names("pool", len(data.pool))
        return Oracle(
            self._labels_target(stack, settings),
            self._app,
            dict(zip((*row_ids, *pool), (*data.truth, *data.pool_truth), strict=True)),
            cells={(train[row], column): repr(value) for (row, column), value in data.cells.items()},
            token=partial(house_token, settings),
            tls=settings,
        )

    @contextlib.contextmanager
    def _house(self) -> Iterator[Stack]:
        """Run the supervisor as a child, as a user would with ``easeml up``."""
        home = self._settings.home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        environment = os.environ | {
            "EASEML_BOOTSTRAP_SERVERS": self._settings.bootstrap_servers,
            "EASEML_HOME": str(home),
            "EASEML_LABELS_PORT": "0",
            "EASEML_SERVING_PORT": "0",
        }
        with (home / "supervisor.log").open("w") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "easeml.supervisor"], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        threading.Thread(target=child.wait, daemon=True).start()
        try:
            stack = wait_ready(home, timeout=90, while_alive=child.pid)
            ports = (stack.service("dashboard") or {}).get("ports", {})
            seen = doors(self._settings, ports).get("dashboard", "")
            running = f"broker {stack.bootstrap_servers} and {len(stack.services)} services"
            self._say(f"[green]house ready[/]  {running}; see {seen}")
            yield stack
        finally:
            child.terminate()
            child.wait()

    def _publish(self, client: Client) -> int:
        data = self._data
        algorithms = len(client.algorithms())
        app = client.create_app(
            self._app,
            label=scenario.LABEL,
            frame=data.train,
            condition=CONDITION,
            reliability=RELIABILITY,
            steps=algorithms,
            label_budget=LABEL_BUDGET,
            cleaning_budget=CLEANING_BUDGET,
            acquisition_budget=ACQUISITION_BUDGET,
            horizon=len(data.production),
        )
        plan = client.plan(app)
        self._say(
            f"condition [bold]{escape(CONDITION)}[/] with reliability {RELIABILITY:g} over {algorithms} models needs "
            f"{plan.labels_worst} test labels; the test set has {len(data.test)}"
        )
        # Training begins with the validation rows: all that is known of the others is there by then.
        self._publish_rows(client, Pillar.TEST, data.test)
        self._publish_rows(client, Pillar.POOL, data.pool)
        self._publish_rows(client, Pillar.TRAIN, data.train)
        proposed = repairing.propose(client, self._app, _CANDIDATES)
        self._say(f"repairs proposed  for {sum(proposed.values())} lost cells")
        self._publish_rows(client, Pillar.VALIDATION, data.validation)
        return algorithms

    def _publish_rows(self, client: Client, pillar: Pillar, frame: pd.DataFrame) -> None:
        client.publish(self._app, frame, pillar, row_ids=_names(pillar.value, len(frame)))
        self._say(f"data published  {pillar.value}: {len(frame)} rows")

    def _judged(self, algorithms: int) -> bool:
        record = self._record
        return len(record.trials) >= algorithms and (set(record.verdicts) >= set(record.models) or record.exhausted)

    def _improved(self) -> bool:
        """Whether no question about training data is open or still to come."""
        record = self._record
        if not record.cleaning_reports or not record.value_reports:
            return False
        cleaning = record.cleaning_reports[-1]
        done = cleaning.certain == cleaning.validation_rows or cleaning.answers >= CLEANING_BUDGET
        return done and len(record.answered(Pillar.POOL)) >= ACQUISITION_BUDGET

    def _serve(self, stack: Stack, settings: Settings, row_ids: tuple[str, ...]) -> NDArray[np.int64]:
        application = Application(stack, settings, self._app)
        codes = {name: code for code, name in enumerate(self._classes)}
        truth = self._truth
        served = np.full(len(row_ids), -1)
        self._say(f"production begins  {len(row_ids)} rows, at most {LABEL_BUDGET} labels")
        for start in range(0, len(row_ids), _CHUNK):
            rows = slice(start, start + _CHUNK)
            told = application.predict(self._data.production.iloc[rows], row_ids[rows])
            served[rows] = [codes[label] for label in told.labels]
            if start == scenario.MORNING:
                self._say("[magenta]noon[/]  the sensor turns noisy; nobody tells the services")
            if start % 100 == 0 and start:
                recent = slice(start - 100, start)
                accuracy = (served == truth)[recent].mean()
                self._say(
                    f"[dim]row {start:4d}[/]  served accuracy of the last 100: [bold]{accuracy:.2f}[/]  "
                    f"questions {len(self._record.asked(Pillar.PRODUCTION))}, "
                    f"answers {len(self._record.answered(Pillar.PRODUCTION))}, model {told.model}"
                )
            time.sleep(_PAUSE)
        return served

    def _settled(self, row_ids: tuple[str, ...]) -> bool:
        record = self._record
        scored = all((record.votes(model, row_ids) >= 0).all() for model in record.passed)
        return scored and set(record.answers) >= set(record.questions)

    def _report(self, served: NDArray[np.int64], row_ids: tuple[str, ...]) -> bool:
        record = self._record
        results = list(checks(record, row_ids, served, (LABEL_BUDGET, CLEANING_BUDGET, ACQUISITION_BUDGET)))
        if record.passed:
            self._console.print(self._table(served, row_ids))
        labels = max((d.labels_used + d.labels_reused for d in record.details.values()), default=0)
        self._console.print(
            f"{len(record.models)} models, {len(record.passed)} passed with {labels} test labels in all; "
            f"{len(record.answered(Pillar.TRAIN))} cells cleaned, {len(record.answered(Pillar.POOL))} rows acquired, "
            f"{len(record.answered(Pillar.PRODUCTION))} production labels; {len(record.picks)} picks; "
            f"{self._seconds:.0f} s."
        )
        for check in results:
            mark = "[green]ok  [/]" if check.holds else "[bold red]FAIL[/]"
            self._console.print(f"  {mark} {check.link} [dim]({escape(check.evidence)})[/]")
        closed = all(check.holds for check in results)
        self._console.print("[bold green]The loop closed.[/]" if closed else "[bold red]The loop did not close.[/]")
        return closed

    def _table(self, served: NDArray[np.int64], row_ids: tuple[str, ...]) -> Table:
        table = Table("production rows", "served picks", "always the first model", "best single model in hindsight")
        noon = scenario.MORNING
        for name, rows in (
            (f"morning (1-{noon})", slice(0, noon)),
            (f"after noon ({noon + 1}-{len(row_ids)})", slice(noon, None)),
            ("all", slice(None)),
        ):
            found = score(self._record, row_ids, self._truth, served, rows)
            table.add_row(
                name,
                f"[bold]{found.served:.3f}[/]",
                f"{found.first:.3f} ({found.first_model})",
                f"{found.best:.3f} ({found.best_model})",
            )
        return table

    @property
    def _classes(self) -> tuple[str, ...]:
        return next(iter(self._record.models.values())).classes

    @property
    def _truth(self) -> NDArray[np.int64]:
        codes = {name: code for code, name in enumerate(self._classes)}
        return np.array([codes[label] for label in self._data.truth])

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    @staticmethod
    def _labels_target(stack: Stack, settings: Settings) -> Callable[[], str]:
        """Return the address of the label service, looked up anew: a restarted one has another port."""
        return lambda: f"{settings.host}:{(stack.service('labels') or {}).get('ports', {}).get('labels', 0)}"

    def _wait(self, observer: Observer, what: str, seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if observer.failure is not None:
                raise observer.failure
            with observer.lock:
                if done():
                    return
            time.sleep(0.05)
        raise UnavailableError(
            f"Waited {seconds:.0f} s in vain until {what}.", mend=f"Read the logs in {self._settings.home / 'logs'}."
        )

    def _tell(self, event: Event[Any]) -> None:
        if isinstance(event.data, VerdictDetail):
            detail = event.data
            self._say(
                f"[dim]  {detail.model}: {detail.outcome.value}, {detail.labels_used} new test labels, "
                f"{detail.labels_reused} reused, accuracy in [{detail.intervals[0]:.3f}, {detail.intervals[1]:.3f}][/]"
            )
            return
        text = None if isinstance(event.data, _QUIET) else story.line(event)
        if text is not None and self._told.get(type(event.data)) != text:
            self._told[type(event.data)] = text
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{self._seconds:6.1f} s[/]  {text}")


def default_home() -> Path:
    """Return the folder of the demo's own house."""
    return Path(".easeml") / "demo"


def _names(pillar: str, count: int) -> tuple[str, ...]:
    return tuple(f"{pillar}-{place:04d}" for place in range(count))
