"""All apps: who lives, and which part of whom an event changes."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from easeml.cli import history, story
from easeml.dashboard.views import AppView
from easeml.stream.events import Event
from easeml.stream.payloads import Answer, AppDefined, AppDeleted, CandidateBatch, Question, TrialAssigned
from easeml.stream.topics import ALGORITHMS, APPS, VERDICTS_DETAIL

FOLLOWED = (*(name for name in history.TOLD if name != ALGORITHMS.name), VERDICTS_DETAIL.name)
"""Topics that are folded. Details of verdicts are shown to the owner of the test set only."""
APPS_PART = "apps"
"""What has changed when an app came or went."""
RECENT = "recent"
"""The last things that happened to an app."""
_TOLD = 60
_LONGEST = 300
_EARLY, _STRANGERS = 200, 50
_MANY = (Question, Answer, TrialAssigned)
"""Too many to be told one by one; the pages count them."""

Change = tuple[str, str]
"""App and the part of it that may have changed."""


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One thing that happened, in plain words."""

    at: float
    text: str


@dataclass
class House:
    """Views of all apps.

    The events of ``FOLLOWED`` are folded in any order; those of an app's former life count for nothing. So deletions
    must be known first: replay ``APPS`` before everything else. What comes from it once more is left out.
    """

    apps: dict[str, AppView] = field(default_factory=dict)
    _lines: dict[str, list[Line]] = field(default_factory=dict)
    _born: dict[str, float] = field(default_factory=dict)
    _strangers: dict[str, deque[Event[Any]]] = field(default_factory=dict)
    _reached: dict[int, int] = field(default_factory=dict)

    def fold(self, events: Iterable[Event[Any]]) -> set[Change]:
        """Take events in and return what may have changed."""
        changed: set[Change] = set()
        for event in history.ordered(events):
            changed |= self._fold(event)
        return changed

    def _fold(self, event: Event[Any]) -> set[Change]:
        if event.recorded < self._born.get(event.app, 0.0):
            return set()
        if event.topic == APPS.name:
            return self._life(event)
        view = self.apps.get(event.app)
        if view is None:
            self._stranger(event)
            return set()
        return self._happened(view, event, None)

    def _stranger(self, event: Event[Any]) -> None:
        """Keep an event that overtook the definition of its app, unless it is large and says only that rows changed."""
        if isinstance(event.data, CandidateBatch):
            return
        self._strangers.setdefault(event.app, deque(maxlen=_EARLY)).append(event)
        if len(self._strangers) > _STRANGERS:
            del self._strangers[next(iter(self._strangers))]

    def _life(self, event: Event[Any]) -> set[Change]:
        app = event.app
        if event.offset <= self._reached.get(event.partition, -1):
            return set()
        self._reached[event.partition] = event.offset
        if isinstance(event.data, AppDeleted):
            self._born[app] = event.recorded
            self._lines.pop(app, None)
            return {(app, APPS_PART)} if self.apps.pop(app, None) is not None else set()
        if not isinstance(event.data, AppDefined):
            return set()
        known = self.apps.get(app)
        if known is None:
            known = self.apps[app] = AppView(event.data)
            early = (one for one in self._strangers.pop(app, ()) if one.recorded >= self._born.get(app, 0.0))
            return self._happened(known, event, None).union({(app, APPS_PART)}, *map(self._fold, early))
        return self._happened(known, event, known.app)

    def _happened(self, view: AppView, event: Event[Any], before: AppDefined | None) -> set[Change]:
        part = view.fold(event)
        changed = {(event.app, part)} if part is not None else set()
        told = None if isinstance(event.data, _MANY) else story.line(event, before)
        if told is not None:
            self._tell(event.app, Line(event.recorded, Text.from_markup(told).plain[:_LONGEST]))
            changed.add((event.app, RECENT))
        return changed

    def _tell(self, app: str, line: Line) -> None:
        """Keep the newest lines, in whatever order they come."""
        lines = self._lines.setdefault(app, [])
        if line not in lines:
            insort(lines, line)
            del lines[:-_TOLD]

    def recent(self, app: str) -> list[Line]:
        """Return the last things that happened to an app, the newest first; what is said again is said once."""
        lines = self._lines.get(app, [])
        return [line for line, before in zip(lines, [None, *lines], strict=False) if not _same(line, before)][::-1]


def _same(line: Line, before: Line | None) -> bool:
    return before is not None and line.text == before.text
