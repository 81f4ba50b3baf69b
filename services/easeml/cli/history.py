"""Events as people follow them: in the order in which they happened, of the app's present life."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from easeml.stream.events import Event
from easeml.stream.payloads import AppDeleted, Payload, PredictionBatch, RelationBatch
from easeml.stream.reader import TopicReader
from easeml.stream.topics import APPS, CATALOGUE, TICKS

_BULK: set[type[Payload]] = {RelationBatch, PredictionBatch}

TOLD = tuple(
    topic.name for topic in CATALOGUE if not topic.restricted and topic is not TICKS and {*topic.payloads} - _BULK
)
"""Topics whose events tell something; rows and predictions are too many to read one by one."""


def ordered(events: Iterable[Event[Any]]) -> list[Event[Any]]:
    """Return events of many topics in the order in which they were recorded.

    ``time`` would not do, for an answer to an event has the time of its cause; it orders what was recorded in the same
    millisecond.
    """
    return sorted(events, key=lambda event: (event.recorded, event.time))


def present(events: Iterable[Event[Any]]) -> list[Event[Any]]:
    """Return events in their order, without what came before an app of the same name was deleted."""
    history = ordered(events)
    ends = {e.app: place for place, e in enumerate(history) if isinstance(e.data, AppDeleted)}
    defined = {e.app for place, e in enumerate(history) if e.topic == APPS.name and place > ends.get(e.app, -1)}
    # The deletion of an app that did not come back is the end of its story, which may still be told.
    return [e for place, e in enumerate(history) if e.app not in defined or place > ends.get(e.app, -1)]


def follow(reader: TopicReader, *, history: bool, once: bool) -> Iterator[Event[Any]]:
    """Yield the events of the reader's topics: those so far, if wanted, then new ones unless ``once``."""
    if history:
        yield from present(reader.replay())
    while not once:
        yield from ordered(reader.events())
