"""Which models wait for a test set that only people can publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from easeml.cli.history import present
from easeml.cli.story import in_words
from easeml.stream.events import Event
from easeml.stream.payloads import (
    AppDefined,
    AppDeleted,
    DataVersion,
    ModelPublished,
    ModelRetired,
    Pillar,
    TestSetNeeded,
    TestSetOpened,
    Verdict,
)
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, DATA_VERSIONS, MODELS, TESTSETS, VERDICTS

TOPICS = (APPS.name, DATA_VERSIONS.name, MODELS.name, VERDICTS.name, TESTSETS.name)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Models of one app that nobody judges until test rows come.

    Parameters
    ----------
    app : str
        The app.
    models : int
        Models that wait.
    rows : int
        Labelled test rows that the next test set needs; 0: the condition cannot be planned.
    first : bool
        Whether the app never had a test set.
    reason : str
        Why, as CI says it.
    """

    app: str
    models: int
    rows: int
    first: bool
    reason: str

    def __str__(self) -> str:
        models = "1 model waits" if self.models == 1 else f"{self.models} models wait"
        if not self.rows:
            return f"{models}: {in_words(self.reason)}"
        which = "a" if self.first else "a new"
        return (
            f"{models} for {which} test set of {self.rows:,} rows; publish it: "
            f"easeml publish {self.app} FILE --pillar test"
        )


@dataclass
class _Bench:
    app: AppDefined
    models: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    test_rows: bool = False
    needed: TestSetNeeded | None = None

    def waiting(self) -> Waiting | None:
        models = len(self.models - self.done)
        if not models or (self.test_rows and self.needed is None):
            return None
        if self.needed is None:
            from easeml.definition import plan_of  # noqa: PLC0415 - slow to import, and few apps wait

            rows = plan_of(self.app).unlabelled
            return Waiting(self.app.app, models, rows, True, "no test rows are published")
        return Waiting(self.app.app, models, self.needed.examples, False, self.needed.reason)


def waiting(events: Iterable[Event[Any]]) -> list[Waiting]:
    """Return the apps with models that wait for test rows, from the events of ``TOPICS``."""
    history = present(events)
    benches = {e.app: _Bench(e.data) for e in history if isinstance(e.data, AppDefined)}
    gone = {e.app for e in history if isinstance(e.data, AppDeleted)}
    for event in history:
        if event.app in benches:
            _fold(benches[event.app], event.data)
    found = [bench.waiting() for name, bench in sorted(benches.items()) if name not in gone]
    return [one for one in found if one is not None]


def _fold(bench: _Bench, data: Any) -> None:
    match data:
        case ModelPublished(model=model):
            bench.models.add(model)
        case ModelRetired(model=model) | Verdict(model=model):
            bench.done.add(model)
        case DataVersion(pillar=Pillar.TEST):
            bench.test_rows, bench.needed = True, None  # CI says again when they are too few
        case TestSetNeeded():
            bench.needed = data
        case TestSetOpened():
            bench.test_rows, bench.needed = True, None


def read(settings: Settings) -> tuple[list[Waiting], int]:
    """Return who waits in a cluster, and how many messages of ``TOPICS`` are no events."""
    reader = TopicReader(settings, TOPICS)
    try:
        found = waiting(reader.replay())
        return found, reader.unreadable
    finally:
        reader.close()
