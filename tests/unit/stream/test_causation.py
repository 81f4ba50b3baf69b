"""Every output names the event that it answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from easeml.stream.events import Event, Output
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import AppDefined, DataVersion, Pillar, TestSetNeeded
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import APPS, DATA_VERSIONS, TESTSETS, Topic


class Echo(Service[None]):
    name = "echo"

    def table(self) -> tuple[On[None], ...]:
        return (On(DATA_VERSIONS, DataVersion, handle=self._echo),)

    def produces(self) -> tuple[Topic, ...]:
        return (TESTSETS,)

    def new_state(self, app: str) -> None:
        del app

    def pack(self, state: None) -> Packed:
        del state
        return Packed({}, {})

    def unpack(self, app: str, packed: Packed) -> None:
        del app, packed

    def _echo(self, state: None, event: Event[DataVersion], ctx: Context) -> Iterable[Output]:
        del state, ctx
        return [Output(TESTSETS, TestSetNeeded(event.app, 1, event.data.rows, "echo"))]


def test_outputs_name_their_cause():
    cluster: Any = MemoryCluster([Echo()])
    defined = cluster.publish(APPS, AppDefined("a", "y", ("n", "p"), ()))
    asked = cluster.publish(DATA_VERSIONS, DataVersion("a", Pillar.TRAIN, "v1", 3, "hash", "first"))
    cluster.run()
    (answer,) = cluster.events(TESTSETS)
    assert answer.cause == asked
    assert cluster.events(APPS)[0].cause is None
    assert defined != asked
