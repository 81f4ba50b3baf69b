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
    """Return events in their order, without the former lives of apps that were deleted and came back."""
    history = ordered(events)
    deleted: set[str] = set()
    begins: dict[str, int] = {}
    for place, event in enumerate(history):
        if isinstance(event.data, AppDeleted):
            deleted.add(event.app)
        elif event.topic == APPS.name and event.app in deleted:
            deleted.remove(event.app)
            begins[event.app] = place
    # The deletion of an app that did not come back is the end of its story, which may still be told.
    return [event for place, event in enumerate(history) if place >= begins.get(event.app, 0)]


def follow(reader: TopicReader, *, history: bool, once: bool) -> Iterator[Event[Any]]:
    """Yield the events of the reader's topics: those so far, if wanted, then new ones unless ``once``."""
    if history:
        yield from present(reader.replay())
    while not once:
        yield from ordered(reader.events())
