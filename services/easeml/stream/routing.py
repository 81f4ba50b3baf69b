"""A service's table, compiled for lookup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from easeml.errors import ConfigurationError
from easeml.stream.service import Fold, Handle, On, Prepare, Service


@dataclass(frozen=True, slots=True)
class Route:
    """What happens to one payload type of one topic."""

    folds: tuple[Fold, ...]
    prepare: Prepare[Any] | None
    handle: Handle[Any] | None
    risky: bool = False


class Routes:
    """All routes of a service.

    Parameters
    ----------
    service : Service
        The service whose table is compiled.

    Raises
    ------
    ConfigurationError
        When two lines handle the same payload of a topic, a line prepares without handling, or a topic does not carry
        the payload.
    """

    def __init__(self, service: Service[Any]) -> None:
        self._routes: dict[tuple[str, type], Route] = {}
        for line in service.table():
            self._add(service.name, line)
        lines = service.table()
        self.topics = tuple(dict.fromkeys(line.topic.name for line in lines))
        self.folded = tuple(dict.fromkeys(line.topic.name for line in lines if line.fold))
        handled = any(line.handle for line in lines)
        # The order of application matters only where a handler can see more than one topic or a view.
        self.journalled = handled and (len(self.topics) > 1 or bool(self.folded))
        self.prepared = frozenset(line.topic.name for line in lines if line.prepare)

    def _add(self, service: str, line: On[Any]) -> None:
        where = f"{service}: {line.topic.name}/{line.payload.__name__}"
        if line.payload not in line.topic.payloads:
            raise ConfigurationError(f"{where}: the topic does not carry that payload.")
        if line.prepare and not line.handle:
            raise ConfigurationError(f"{where}: prepare without handle.")
        key = (line.topic.name, line.payload)
        old = self._routes.get(key, Route((), None, None))
        if old.handle and line.handle:
            raise ConfigurationError(f"{where}: two lines handle it.", mend="Merge them.")
        folds = (*old.folds, line.fold) if line.fold else old.folds
        risky = old.risky or line.risky
        self._routes[key] = Route(folds, old.prepare or line.prepare, old.handle or line.handle, risky)

    def find(self, topic: str, payload: type) -> Route | None:
        """Return the route of a payload, None when the service does not care for it."""
        return self._routes.get((topic, payload))
