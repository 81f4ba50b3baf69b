"""The rows that a service keeps of some pillars, and the lines of its table that are the same in every such service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from easeml.relation.arrivals import Arrivals
from easeml.relation.validation import check_pillar, validate_batch
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import Answer, CandidateBatch, DataVersion, Pillar, RelationBatch
from easeml.stream.service import Context
from easeml.stream.topics import PILLAR_TOPICS

_PAUSE, _ROWS_A_SECOND = 2.0, 2000
_PILLAR_OF = {topic.name: pillar for pillar, topic in PILLAR_TOPICS.items()}


class PillarViews:
    """What came for some pillars of every app.

    Parameters
    ----------
    *pillars : Pillar
        Those whose rows are kept.
    keep_last : mapping of Pillar to int, optional
        Rows to keep at least of a pillar; it may forget those before them. All rows are kept of the others.

    Examples
    --------
    ``fold`` serves every topic that says something about rows, ``judge`` the handler of the rows themselves::

        On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
        On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
        On(ANSWERS, Answer, fold=self._rows.fold),
    """

    def __init__(self, *pillars: Pillar, keep_last: Mapping[Pillar, int] | None = None) -> None:
        self._keep_last = {pillar: (keep_last or {}).get(pillar) for pillar in pillars}
        self._views: dict[tuple[str, Pillar], Arrivals] = {}

    def of(self, app: str, pillar: Pillar) -> Arrivals:
        """Return what came for one of these pillars, be it nothing yet."""
        return self._views.setdefault((app, pillar), Arrivals(self._keep_last[pillar]))

    def fold(self, event: Event[RelationBatch] | Event[CandidateBatch] | Event[Answer]) -> None:
        """Take in a batch, candidates or an answer; what is said about rows of other pillars is passed over.

        Raises
        ------
        Poison
            With the reason ``wrong_pillar``, when a batch is not of the pillar whose topic it came on.
        """
        data = event.data
        if isinstance(data, RelationBatch):
            check_pillar(data, _PILLAR_OF[event.topic])
        elif data.pillar not in self._keep_last:
            return
        self.of(event.app, data.pillar).add(event.id, data, event.offset)

    def needed(self, app: str) -> Needs:
        """Return the messages that the rows of an app came in, for the pillars whose last rows are kept."""
        endless = [pillar for pillar, least in self._keep_last.items() if least is not None]
        return {PILLAR_TOPICS[pillar].name: self.of(app, pillar).needed for pillar in endless}

    def forget(self, app: str) -> None:
        """Drop what came for an app."""
        for pillar in self._keep_last:
            self._views.pop((app, pillar), None)

    @staticmethod
    def judge(state: object, event: Event[RelationBatch], ctx: Context) -> tuple[Output, ...]:
        """Refuse a batch that does not fit its app.

        Raises
        ------
        Poison
            With the reasons of ``validate_batch``.
        """
        del state
        validate_batch(event.data, ctx.app)
        return ()


class Versioned(Protocol):
    """A state that knows the newest version of the train pillar."""

    version: str


def keep_version(state: Versioned, event: Event[DataVersion], ctx: Context) -> tuple[Output, ...]:
    """Remember the newest version of the train pillar."""
    del ctx
    if event.data.pillar is Pillar.TRAIN:
        state.version = event.data.version
    return ()


def study_pause(rows: int) -> float:
    """Return the seconds that lie at least between the beginnings of two studies of an app with so many rows.

    A study reads all rows, so that one per answer or batch would leave no time for anything else.
    """
    return max(_PAUSE, rows / _ROWS_A_SECOND)
