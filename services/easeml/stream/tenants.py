"""The state of one app in one partition, and how it is taken back when a handler gives up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from easeml.stream.changelog import Stored, Window
from easeml.stream.events import Event, Output
from easeml.stream.payloads import StateRecord
from easeml.stream.routing import Route
from easeml.stream.service import Context, Packed, Service

S = TypeVar("S")


def seed_of(secret: str, service: str, app: str, event_id: str) -> tuple[int, ...]:
    """Return the seed of an event's random choices.

    >>> seed_of("s", "ci", "churn", "1") == seed_of("s", "ci", "churn", "1")
    True
    """
    digest = hashlib.blake2b(f"{secret}\x1f{service}\x1f{app}\x1f{event_id}".encode(), digest_size=16).digest()
    return (int.from_bytes(digest[:8]), int.from_bytes(digest[8:]))


@dataclass(slots=True)
class Tenant(Generic[S]):
    """One app's state.

    A handler that raises may have changed the state half-way. The state is then taken back: thawed from the last
    checkpoint, and the events handled since are handled again with their outputs ignored. Handlers may read views, so
    a checkpoint is made before a fold of the app when events were handled since the last one.
    """

    app: str
    life: str
    service: Service[S]
    value: S
    applied: dict[str, int] = field(default_factory=dict)
    window: Window = field(default_factory=Window)
    checkpoint: Stored | None = None
    written: Stored | None = None
    since: list[tuple[Route, Event[Any], Context]] = field(default_factory=list)
    touched: bool = False
    quiet: bool = True
    packed: Packed | None = None

    @classmethod
    def new(cls, service: Service[S], app: str, life: str) -> Tenant[S]:
        """Return the state of an app before its first event."""
        return cls(app, life, service, service.new_state(app))

    @classmethod
    def restore(cls, service: Service[S], record: StateRecord) -> Tenant[S]:
        """Return the state that a changelog record holds."""
        stored = Stored(record.document, record.arrays)
        return cls(
            record.app,
            record.life,
            service,
            service.unpack(record.app, stored.thaw()),
            dict(record.applied),
            Window(record.recent),
            stored,
            stored,
        )

    def handle(self, route: Route, event: Event[Any], context: Context) -> list[Output]:
        """Run the handler; on any exception the state is as before.

        Raises
        ------
        Exception
            Whatever the handler raised.
        """
        assert route.handle is not None
        try:
            outputs: Iterable[Output] = list(route.handle(self.value, event, context))
        except Exception:
            self._take_back()
            raise
        self.since.append((route, event, context))
        self.touched = True
        return list(outputs)

    def save(self) -> None:
        """Make a checkpoint when something was handled since the last one that changed the state."""
        if self.since:
            packed = self.service.pack(self.value)
            if packed is not self.packed:
                self.packed, self.checkpoint = packed, Stored.freeze(packed)
            self.since.clear()

    def _take_back(self) -> None:
        if self.checkpoint is None:
            self.value = self.service.new_state(self.app)
        else:
            self.value = self.service.unpack(self.app, self.checkpoint.thaw())
        for route, event, context in self.since:
            assert route.handle is not None
            list(route.handle(self.value, event, context))
        self.save()  # the next refusal in this batch need not repeat this

    def record(self) -> StateRecord | None:
        """Return what the changelog must hold after this batch; None when it holds it already.

        A tick that changed nothing and caused no output is not worth a record.
        """
        self.save()
        stored = self.checkpoint
        touched, quiet = self.touched, self.quiet
        self.touched, self.quiet = False, True
        if not touched or stored is None or (quiet and stored == self.written):
            return None
        self.written = stored
        window = self.window.pack()
        return StateRecord(self.app, dict(self.applied), window, stored.document, stored.arrays, self.life)
