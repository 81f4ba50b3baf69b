"""A day of the whole house in one process, on the in-memory broker, under a clock of its own, from one seed.

The seed decides everything: in which order users say what, which service takes how many messages next, when the clock
ticks, who is killed where in a batch, is built anew from its topics or stands still, which message comes twice, which
bytes are damaged, and when people answer what: late, twice, or against each other. The same seed is the same day.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

import house
import numpy as np
from house import APP, CLASSES, FRAMES, LABELLED, ROOMS, SIZES, START, Said

import easeml.cpclean.work
import easeml.snoopy.work
from easeml.automl.sandbox import Ended
from easeml.ids import EventId
from easeml.labels.votes import OTHER, SKIPPED
from easeml.stream import codec, envelope, needs, partition
from easeml.stream.memory import POINTS, MemoryCluster
from easeml.stream.messages import Record
from easeml.stream.payloads import (
    Annotation,
    AppDeleted,
    CandidateBatch,
    ModelPublished,
    ModelRetired,
    Pillar,
    Question,
    Upload,
)
from easeml.stream.topics import (
    ALGORITHMS,
    ANNOTATIONS,
    APPS,
    BY_NAME,
    CANDIDATES,
    CI_ANSWERS,
    CI_QUESTIONS,
    MODELS,
    QUESTIONS,
    TICKS,
    UPLOADS,
    partition_of,
)

SOURCE = "easeml/chaos"
"""Whom the checks of the ledger of faults take for the user."""
BROADCAST = (APPS.name, ALGORITHMS.name)
PEOPLE = ("ada", "bob", "cy")
IRIS = replace(
    APP, life="1", label_budget=8, cleaning_budget=3, acquisition_budget=5, test_label_budget=30, horizon=30, steps=3
)
LILY = replace(IRIS, app="lily", life="2", test_label_budget=0)
"""A second app, which is deleted while it is at work."""
QUIET = 3
"""With more rounds of the clock in which nobody says anything, a minute among them, the house is at rest."""
MOST_ROUNDS = 80


class NoRestError(Exception):
    """The house goes on and on by itself."""


@contextlib.contextmanager
def tiny() -> Iterator[None]:
    """Keep models small and let no real clock decide anything: training happens here, at a price that is made up."""

    def trained(function: Callable[..., Any], arguments: tuple[Any, ...], **_: Any) -> Ended:
        price = hashlib.sha256(arguments[0].trial.encode()).digest()[0] / 1000
        return Ended(function(*arguments), price)

    with contextlib.ExitStack() as stack:
        for name in ("prediction._VALUE_TREES", "prediction._RESEMBLANCE_TREES", "belief._MEMBERS"):
            stack.enter_context(mock.patch(f"easeml.market.{name}", 5))
        stack.enter_context(mock.patch("easeml.automl.trial.confined", trained))
        stack.enter_context(mock.patch("easeml.automl.trial.time", SimpleNamespace(process_time=lambda: 0.0)))
        seconds = itertools.count(0.0, 0.3)
        stack.enter_context(mock.patch("easeml.snoopy.work.time", SimpleNamespace(monotonic=lambda: next(seconds))))
        # What the views rest on is written down again and again, in pieces, and each restart folds from there.
        stack.enter_context(mock.patch.object(partition, "NEEDED_EVERY", 1))
        stack.enter_context(mock.patch.multiple(needs, GAP=2, MOST_RUNS=5))
        yield


class Day:
    """One day.

    Parameters
    ----------
    seed : int
        Of everything.
    store : str
        URI of the artifact store.
    short : bool
        Whether users say less: some of what nothing else depends on, drawn anew each day, is left out.
    """

    def __init__(self, seed: int, store: str, *, short: bool = False) -> None:
        easeml.snoopy.work._studies.clear()
        easeml.cpclean.work._studies.clear()
        self.store = store
        self._short = short
        self.rng = rng = random.Random(f"day {seed}")
        self.partitions = rng.choice((1, 1, 2))
        self.cluster = MemoryCluster(
            [make(store) for make in ROOMS.values()],
            partitions=self.partitions,
            start=START,
            rng=random.Random(f"schedule {seed}"),
            batch_events=rng.choice((1, 4, 16, 64)),
        )
        self.app = replace(IRIS, redundancy=rng.choice((1, 1, 1, 2)))
        self.corrupted: set[tuple[str, int, int]] = set()
        self.done: list[str] = []
        """Faults in the order in which they were done, for the report."""
        self._stalled: dict[str, int] = {}
        self._asked: dict[str, Question] = {}
        self._heard: dict[str, list[str]] = {}
        self._read = 0

    # -- what users say ----------------------------------------------------------------------------------------------

    def _plot(self) -> list[Said]:
        """Return what users say beside the introduction, in an order that the topics may well show."""
        rng = self.rng
        halves = [(0, 10), (10, SIZES[Pillar.TRAIN])]
        said = [house.rows(Pillar.TRAIN, *part) for part in halves]
        said += [house.rows(Pillar.VALIDATION), house.rows(Pillar.TEST), house.truth_of_test(labelled=LABELLED)]
        said += [house.version(pillar, SIZES[pillar]) for pillar in (Pillar.TRAIN, Pillar.VALIDATION)]
        further = [[house.rows(Pillar.POOL, 0, 8)], house.outsider(), [house.doubts()], [_label_doubts()], [_file(1)]]
        further += [[house.rows(Pillar.PRODUCTION, start, start + 6)] for start in range(0, 30, 6)]
        for some in rng.sample(further, 3) if self._short else further:
            said += some
        if rng.random() < 0.3:
            said.append(Said(APPS, replace(self.app, acquisition_budget=7, cleaning_budget=4), "more-budget"))
        rng.shuffle(said)
        if rng.random() < 0.25:
            other = [house.rows(Pillar.TRAIN, 0, 10, app=LILY.app), house.rows(Pillar.VALIDATION, app=LILY.app)]
            other += [house.version(Pillar.TRAIN, 10, LILY.app), house.version(Pillar.VALIDATION, 16, LILY.app)]
            other = [replace(one, id=f"lily-{one.id}") for one in other]
            other.append(Said(APPS, AppDeleted(LILY.app), "lily-deleted"))
            places = sorted(rng.choices(range(len(said)), k=len(other)))
            for place, one in reversed([*zip(places, other, strict=True)]):
                said.insert(place, one)
            said.insert(0, Said(APPS, LILY, "app-lily"))
        return said

    def say(self, one: Said) -> None:
        """Publish something as a user."""
        partition = partition_of(envelope.partition_key(one.data), self.partitions)
        headers = envelope.headers(EventId(one.id), SOURCE, one.data, self.cluster.now)
        key = one.topic.key(one.data).encode()
        self.cluster.publish_bytes(one.topic, codec.encode(one.data), key, headers, partition)

    # -- the day -----------------------------------------------------------------------------------------------------

    def live(self) -> Day:
        """Live through the day until everything is at rest."""
        for one in house.introduction(self.app):
            self.say(one)
        for one in self._plot():
            self.say(one)
            self._disturb()
            for _ in range(self.rng.choice((0, 1, 1, 2, 4))):
                self.cluster.turn(self._stalled)
            if self.rng.random() < 0.5:
                self._clock()
        self._retire()
        self._stalled.clear()
        self.rest()
        return self

    def _clock(self) -> None:
        if self.rng.random() < 0.05:
            self.cluster.now += self.rng.choice((5, 15, 60))
        self.cluster.tick(run=False)
        for name in list(self._stalled):
            self._stalled[name] -= 1
            if not self._stalled[name]:
                del self._stalled[name]

    def _disturb(self) -> None:
        rng = self.rng
        name = rng.choice(list(ROOMS))
        for chance, fault in (
            (0.25, self._kill), (0.08, self._rebuild), (0.08, self._stall), (0.2, self._repeat), (0.06, self._damage),
        ):  # fmt: skip
            if rng.random() < chance:
                fault(name)
        if rng.random() < 0.4:
            self._answer(0.5)

    def _kill(self, name: str) -> None:
        point, batch = self.rng.choice(POINTS), self.rng.randint(1, 4)
        self.cluster.kill(name, point, batch)
        self.done.append(f"kill {name} {point} of batch {batch}")

    def _rebuild(self, name: str) -> None:
        self.cluster.restart(name)
        self.done.append(f"build {name} anew")

    def _stall(self, name: str) -> None:
        self._stalled[name] = self.rng.randint(1, 12)
        self.done.append(f"stop {name} for {self._stalled[name]} s")

    def _records(self) -> list[Record]:
        """Return the sound messages, but not of topics that every service reads whole: there the last counts."""
        topics = BY_NAME.keys() - BROADCAST
        known = (r for r in self.cluster._order if r.topic in topics)
        return [r for r in known if (r.topic, r.partition, r.offset) not in self.corrupted]

    def _repeat(self, _: str) -> None:
        known = self._records()
        for record in self.rng.sample(known, min(3, len(known))):
            self.cluster.publish_bytes(record.topic, record.value, record.key, record.headers, record.partition)
            self.done.append(f"repeat {record.topic}[{record.partition}]@{record.offset}")

    def _damage(self, _: str) -> None:
        known = [record for record in self._records() if record.topic != TICKS.name]
        if not known:
            return
        record = self.rng.choice(known)
        value = bytes([255 ^ record.value[0]]) + record.value[1:]
        place = (record.topic, record.partition, len(self.cluster._logs[record.topic, record.partition]))
        self.cluster.publish_bytes(record.topic, value, record.key, record.headers, record.partition)
        self.corrupted.add(place)
        self.done.append(f"damage {place}")

    def _retire(self) -> None:
        said = (envelope.parse(record).data for record in self._records() if record.topic == MODELS.name)
        models = [one.model for one in said if isinstance(one, ModelPublished)]
        if models and self.rng.random() < 0.5:
            name = self.rng.choice(models)
            self.say(Said(MODELS, ModelRetired(self.app.app, name, "its owner wants it"), f"retired-{name}"))

    # -- people ------------------------------------------------------------------------------------------------------

    def _answer(self, share: float, *, honest: bool = False) -> None:
        """Let people answer a share of the questions they know: one in five answers is wrong or skipped, some come
        twice, and one in ten comes when the question is answered already.
        """
        order = self.cluster._order
        for record in order[self._read :]:
            if record.topic in (QUESTIONS.name, CI_QUESTIONS.name) and record.value and record.value[0] == 0:
                asked = envelope.parse(record).data
                if asked.app == self.app.app:
                    self._asked.setdefault(asked.question, asked)
        self._read = len(order)
        for question in self._asked.values():
            heard = self._heard.setdefault(question.question, [])
            late = len(heard) >= self.app.redundancy
            if self.rng.random() >= (share / 10 if late else share):
                continue
            self._annotate(question, heard, honest=honest)

    def _annotate(self, question: Question, heard: list[str], *, honest: bool) -> None:
        rng = self.rng
        person = rng.choice(PEOPLE) if not honest else f"person{len(heard)}"
        truth, known = house.truth_of(question.row_id, question.column), question.candidates
        value, text = (known.index(truth), "") if truth in known else (OTHER, truth)
        if not honest and rng.random() < 0.2:
            value, text = rng.choice((SKIPPED, (value + 1) % len(known))), ""
        if person not in heard and value != SKIPPED:
            heard.append(person)
        identity = f"{person}/{question.question}/{rng.getrandbits(32)}"
        said = Annotation(question.app, question.question, person, identity, value, text)
        one = Said(CI_ANSWERS if question.pillar is Pillar.TEST else ANNOTATIONS, said, identity)
        for _ in range(2 if rng.random() < 0.1 else 1):
            self.say(one)

    def rest(self) -> None:
        """Let everybody answer, and the clock run by seconds and by minutes, until nobody says anything more."""
        quiet = 0
        for number in range(MOST_ROUNDS):
            before = self._count()
            self._answer_open()
            if number % QUIET == QUIET - 1:
                self.cluster.now += 60
            self.cluster.tick()
            quiet = quiet + 1 if self._count() == before else 0
            if quiet > QUIET:
                return
        raise NoRestError(f"After {MOST_ROUNDS} rounds somebody still speaks: {self._last()}")

    def _answer_open(self) -> None:
        """Let people who were not heard yet answer honestly what is open still."""
        state = self.cluster.state("labels", self.app.app)
        self._answer(0.0)
        for queue in () if state is None else (state, state.test):
            for name, entry in list(queue.open.items()):
                if name in self._asked and queue.affords(entry.question):
                    self._annotate(self._asked[name], self._heard.setdefault(name, []), honest=True)

    def _count(self) -> int:
        return sum(r.topic in BY_NAME and r.topic != TICKS.name for r in self.cluster._order)

    def _last(self) -> list[str]:
        last = [r for r in self.cluster._order if r.topic in BY_NAME and r.topic != TICKS.name][-5:]
        return [f"{type(envelope.parse(r).data).__name__} on {r.topic}" for r in last]

    def digest(self) -> str:
        """Return a digest of every message in the order of publication: the same seed gives the same."""
        digest = hashlib.sha256()
        for record in self.cluster._order:
            headers = [pair for pair in record.headers if pair[0] != "traceparent"]
            digest.update(repr((record.topic, record.partition, record.key, record.value, headers)).encode())
        return digest.hexdigest()[:16]


def _file(number: int) -> Said:
    """Return a small file for the pool, with a cell that is missing."""
    table = FRAMES[Pillar.TRAIN].drop(columns="species").iloc[8:13].astype(object)
    table.iloc[1, 1] = None
    table = table.set_axis([f"spare-{place}" for place in range(8, 13)]).rename_axis("id").reset_index()
    content = table.to_csv(index=False).encode()
    name = f"pool{number}"
    digest = hashlib.sha256(content).hexdigest()
    upload = Upload(IRIS.app, name, f"{name}.csv", digest, pillar="pool", id_column="id", content=content)
    return Said(UPLOADS, upload, f"upload-{name}")


def _label_doubts() -> Said:
    """Return what another cleaner says about two labels, one of which the first one doubts too."""
    batch = CandidateBatch(
        IRIS.app,
        Pillar.TRAIN,
        "reader@2",
        (IRIS.label,),
        ("train-9", "train-12"),
        CLASSES[:2] * 2,
        row=np.repeat(np.arange(2, dtype=np.int32), 2),
        column=np.zeros(4, np.int32),
        probability=np.array([0.5, 0.5, 0.1, 0.9]),
    )
    return Said(CANDIDATES, batch, "candidates-reader")
