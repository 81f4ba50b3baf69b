"""Small services the kernel's tests run."""

import json
import os
import signal
import time

import numpy as np

from easeml.errors import Busy, Poison
from easeml.stream.events import Output
from easeml.stream.payloads import (
    Annotation,
    AppDefined,
    AuditRecord,
    Column,
    ColumnKind,
    DataVersion,
    TestSetNeeded,
    Tick,
)
from easeml.stream.service import Job, On, Packed, Service
from easeml.stream.topics import ANNOTATIONS, AUDIT, DATA_VERSIONS, TESTSETS, TICKS


def app(name="churn"):
    return AppDefined(name, "y", ("no", "yes"), (Column("x", ColumnKind.NUMERIC),))


def note(value, app="churn", request="r"):
    return Annotation(app, "q", "ann", request, value)


def version(rows, app="churn", change="", name="v"):
    from easeml.stream.payloads import Pillar

    return DataVersion(app, Pillar.TRAIN, name, rows, "0" * 64, change)


def line(app, action, subject, outcome="ok"):
    return Output(AUDIT, AuditRecord(app, "kernel", action, subject, outcome))


class Summer(Service):
    """Adds the values of annotations; says the running total."""

    name = "summer"

    def table(self):
        return (On(ANNOTATIONS, Annotation, handle=self.add),)

    def produces(self):
        return (AUDIT,)

    def new_state(self, app):
        return {"total": 0, "trace": np.zeros(1)}

    def pack(self, state):
        return Packed({"total": state["total"]}, {"trace": state["trace"]})

    def unpack(self, app, packed):
        return {"total": packed.document["total"], "trace": packed.arrays["trace"]}

    def add(self, state, event, context):
        state["total"] += event.data.value
        state["trace"][0] += 1
        if event.data.value == -13:
            raise Poison("Thirteen.", reason="thirteen")
        if event.data.value == -99:
            raise RuntimeError("bug")
        yield line(event.app, "add", str(state["total"]), f"{context.rng.random():.6f}")


class Relay(Summer):
    """Answers the lines that the others write."""

    name = "relay"

    def table(self):
        return (On(AUDIT, AuditRecord, handle=self.relay),)

    def produces(self):
        return (TESTSETS,)

    def relay(self, state, event, context):
        yield Output(TESTSETS, TestSetNeeded(event.app, 1, 1, "relayed"))


class Merger(Service):
    """Order-dependent over three topics, with a view: state = state * 31 + value + view size."""

    name = "merger"

    def __init__(self):
        self.view = {}

    def table(self):
        return (
            On(DATA_VERSIONS, DataVersion, fold=self.see, handle=self.mix_version),
            On(ANNOTATIONS, Annotation, prepare=self.prepare, handle=self.mix),
            On(TICKS, Tick, handle=self.tick),
        )

    def produces(self):
        return (AUDIT,)

    def new_state(self, app):
        return {"hash": 1, "ticks": 0}

    def pack(self, state):
        return Packed(state, {})

    def unpack(self, app, packed):
        return dict(packed.document)

    def forget(self, app):
        self.view.pop(app, None)

    def see(self, event):
        if event.data.change == "bad":
            raise Poison("Bad version.", reason="bad_version")
        self.view.setdefault(event.app, {})[event.data.version] = event.data.rows

    def rows(self, app):
        return sum(self.view.get(app, {}).values())

    def mix_version(self, state, event, context):
        change = event.data.change
        state["hash"] = (state["hash"] * 31 + event.data.rows + self.rows(event.app)) % 1_000_003
        if change.startswith("wait:") and self.rows(event.app) < int(change[5:]):
            raise Busy("Too few rows.")
        yield line(event.app, "version", str(state["hash"]))

    def prepare(self, state, event, context):
        return Job(double, (event.data.value,)) if event.data.value % 3 == 0 else None

    def mix(self, state, event, context):
        value = context.result if context.result is not None else event.data.value
        state["hash"] = (state["hash"] * 37 + value + 7 * self.rows(event.app)) % 1_000_003
        if event.data.value == -13:
            raise Poison("Thirteen.", reason="thirteen")
        yield line(event.app, "note", str(state["hash"]))
        yield line(event.app, "note2", str(state["hash"]))

    def tick(self, state, event, context):
        state["ticks"] += event.data.sequence % 2
        if state["ticks"] and event.data.sequence % 5 == 0:
            yield line(event.app, "tick", json.dumps(state))


def double(value):
    return 2 * value


class Worker(Summer):
    """Adds the values of annotations in a worker process, which some of them hold up or end."""

    name = "worker"

    def table(self):
        return (On(ANNOTATIONS, Annotation, prepare=self.prepare, handle=self.add),)

    def prepare(self, state, event, context):
        return Job(HARM.get(event.data.value, double), (event.data.value,), seconds=2.0)


class Daring(Summer):
    """Adds the values of annotations, of which some end the process."""

    name = "daring"

    def table(self):
        return (
            On(ANNOTATIONS, Annotation, handle=self.add, risky=True),
            On(DATA_VERSIONS, DataVersion, handle=lambda *_: 1 / 0),
        )

    def add(self, state, event, context):
        if event.data.value == -9:
            self.die()
        return super().add(state, event, context)

    def die(self):
        os.kill(os.getpid(), signal.SIGSEGV)


def hang(value):
    while True:
        time.sleep(60)


def die(value):
    os.kill(os.getpid(), signal.SIGKILL)


HARM = {-7: hang, -9: die}
