"""Repeated, replayed, interrupted: every service ends in the same state, with the same outputs."""

from __future__ import annotations

import numpy as np
import pytest
from house import APP, HERE, ROOMS, UUID5, Alone, comparable, event, header, lines, traceparent

from easeml.ids import EventId
from easeml.labels.queue import Queue
from easeml.modelpicker.desk import Desk
from easeml.modelpicker.rows import Rows
from easeml.stream.changelog import Stored
from easeml.stream.memory import POINTS
from easeml.stream.payloads import AppDeleted
from easeml.stream.topics import (
    ALGORITHMS,
    ANNOTATIONS,
    APPS,
    BY_NAME,
    CATALOGUE,
    DATA_PRODUCTION,
    DATA_TEST_LABELS,
    DATA_TRAIN,
    DATA_VALIDATION,
    MODELS,
    UPLOADS,
    UPLOADS_TEST,
)
from easeml.supervisor import roster

SPLIT = (DATA_TRAIN, DATA_VALIDATION, DATA_PRODUCTION, DATA_TEST_LABELS, UPLOADS, UPLOADS_TEST)
RARE = {
    ("advisor", MODELS.name),
    ("labels", ANNOTATIONS.name),
    ("serving", MODELS.name),
    ("serving", DATA_PRODUCTION.name),
    *(("datamagic", topic.name) for topic in SPLIT),
}
"""Topics that a quiet day does not write: servers write annotations and recorded rows, failing models retire, shifts
bring adapted models, and the one small upload goes to the pool."""

SHOWN = {Queue: ("now", "columns"), Desk: ("packed",)}
"""What a state holds for display alone, every handler sets anew, or is itself the packed state; storing the newest tick
would write every state every second."""


def test_the_table_of_rooms_is_the_roster():
    assert set(ROOMS) == set(roster.SERVICES)
    assert all(make("memory://none").name == name for name, make in ROOMS.items())


def test_the_recording_holds_a_specimen_of_every_line(room, recording):
    for topic, payload in lines(room):
        assert recording.specimen(topic, payload)


def test_the_recording_has_outputs_on_every_topic(room, undisturbed):
    life = undisturbed(room)
    assert {(room, topic) for topic in life.topics} - RARE == {(room, topic) for topic in life.outputs()}
    assert life.state() is not None
    assert life.letters() == []
    assert life.cluster.restarts == 0


def test_the_house_gave_up_nothing(recording):
    assert [record for record in recording.records if record.topic.endswith(".dlq")] == []


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_a_replay_from_the_beginning_is_the_same(room, alone, chunk):
    assert alone(room).live(chunk).end() == alone(room).live(chunk).end()


def test_alone_with_its_inputs_it_says_what_it_said_in_company(room, undisturbed, recording):
    own = f"easeml/{room}".encode()
    said = {header(r.headers, "ce_id") for r in recording.records if header(r.headers, "ce_source") == own}
    if room not in (
        "ci",
        "modelpicker",
        "datamagic",
        "snoopy",
        "cpclean",
        "market",
    ):  # what those say depends on the order of their topics
        assert {header(r.headers, "ce_id") for r in undisturbed(room).written()} == said


def test_every_event_twice_at_once_changes_nothing(room, alone, undisturbed):
    life = alone(room)
    for start in range(0, len(life.inputs), 5):
        for record in life.inputs[start : start + 5]:
            life.put([record, record])
        life.cluster.run()
    same_without_repetition(life, undisturbed(room))


def test_everything_again_at_the_end_changes_nothing(room, alone, undisturbed):
    life = alone(room).live()
    life.live()
    same_without_repetition(life, undisturbed(room))


def test_everything_again_after_a_restart_changes_nothing(room, alone, undisturbed):
    life = alone(room).live()
    life.cluster.restart(room)
    life.live()
    same_without_repetition(life, undisturbed(room))


def same_without_repetition(life: Alone, other: Alone) -> None:
    assert life.end() == other.end()
    identities = [header(record.headers, "ce_id") for record in life.written()]
    assert len(identities) == len(set(identities))
    assert life.letters() == []


def test_a_restart_anywhere_changes_nothing(room, alone, undisturbed):
    life = alone(room)
    for start in range(0, len(life.inputs), 5):
        life.put(life.inputs[start : start + 5])
        life.cluster.run()
        life.cluster.restart(room)
    same_without_repetition(life, undisturbed(room))


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_changes_nothing(room, alone, undisturbed, point):
    batches = undisturbed(room).cluster._instances[room].batches
    killed = 0
    for batch in range(1, batches + 1, max(1, batches // 5)):
        life = alone(room)
        life.cluster.kill(room, point, batch)
        life.live()
        killed += life.cluster.restarts
        assert life.end() == undisturbed(room).end(), f"killed {point} of batch {batch}"
        assert life.letters() == []
    assert killed


def test_a_state_survives_its_storage(room, alone):
    life = alone(room)
    for start in range(0, len(life.inputs), 5):
        life.put(life.inputs[start : start + 5])
        life.cluster.run()
        stored = life.state()
        if stored is None:
            continue
        before = life.cluster.state(room, APP.app)
        thawed = ROOMS[room](life.recording.store).unpack(APP.app, stored.thaw())
        assert content(thawed) == content(before), "packing forgets something"
        assert Stored.freeze(life.service.pack(thawed)) == stored
        assert Stored.freeze(life.service.pack(before)) == stored, "packing changed the state"


def content(value: object) -> object:
    """Return everything that a state holds as plain values; functions apart."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.random.Generator):
        return content(value.bit_generator.state)
    if isinstance(value, Rows):
        return content(value.state())  # their columns have room for rows to come
    if isinstance(value, dict):
        return [(key, content(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [content(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, float):
        return repr(value)  # NaN equals NaN
    if isinstance(value, str | int | bytes | None) or callable(value):
        return None if callable(value) else value
    slots = {slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())}
    names = sorted({*slots, *getattr(value, "__dict__", {})})
    shown = SHOWN.get(type(value), ())
    return [type(value).__name__, *((name, content(getattr(value, name, None))) for name in names if name not in shown)]


def test_outputs_come_from_their_inputs(room, undisturbed):
    life = undisturbed(room)
    written = list(life.written())
    # A service may read what it wrote itself: then an output is the input of another.
    inputs = {header(r.headers, "ce_id").decode(): r.headers for r in (*life.fed, *written)}
    parents = {}
    for identity in inputs:
        for index in range(100):
            for scope in ((), (APP.app,)):
                parents[EventId.derive(room, life.service.contract, identity, *scope, index)] = identity
    found = [header(record.headers, "ce_id").decode() for record in written]
    assert len(found) == len(set(found))
    for record in written:
        identity = header(record.headers, "ce_id").decode()
        assert UUID5.fullmatch(identity)
        parent = parents[identity]
        assert header(record.headers, "ce_causationid") == parent.encode()
        for name in ("ce_time", "traceparent"):
            assert header(record.headers, name) == header(inputs[parent], name)
    for record in life.fed:
        identity = header(record.headers, "ce_id")
        assert header(record.headers, "traceparent") == traceparent(identity), "each input has a trace of its own"


def test_outputs_are_sound_messages_of_its_own_topics(room, undisturbed):
    life = undisturbed(room)
    topics = {r.topic for r in life.cluster._order} & set(BY_NAME)
    fed = {record.topic for record in life.fed}
    assert topics - fed <= life.topics
    for record in life.written():
        made = event(record)
        topic = BY_NAME[record.topic]
        assert record.topic in life.topics
        assert isinstance(made.data, topic.payloads)
        assert made.source == f"easeml/{room}"
        assert made.app == APP.app
        assert (record.partition, record.key) == (HERE, topic.key(made.data).encode())


# -- deletion --------------------------------------------------------------------------------------------------------


def mentions(thing: object, name: str) -> list[str]:
    """Return the paths below an object on which a string occurs: attributes, slots, items, closures."""
    found, seen, todo = [], {}, [(thing, type(thing).__name__)]
    while todo:
        value, path = todo.pop()
        if isinstance(value, str):
            found += [path] if value == name else []
            continue
        if id(value) in seen or isinstance(value, type):
            continue
        seen[id(value)] = value
        todo += parts(value, path)
    return found


def parts(value: object, path: str) -> list[tuple[object, str]]:
    """Return what an object holds."""
    if isinstance(value, dict):
        return [(key, f"{path} key") for key in value] + [(item, f"{path}[{key!r:.40}]") for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(item, f"{path}[]") for item in value]
    if type(value).__module__.partition(".")[0] not in ("easeml", "builtins"):
        return []
    slots = {slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())}
    held = [(getattr(value, name, None), f"{path}.{name}") for name in {*slots, *getattr(value, "__dict__", {})}]
    cells = getattr(value, "__closure__", None) or ()
    return held + [(cell.cell_contents, f"{path} closure") for cell in cells]


def test_a_deleted_app_is_forgotten(room, alone):
    life = alone(room).live()
    assert mentions(life.service, APP.app) or room == "automl"  # automl keeps no views
    written = len(life.written())
    life.say(APPS, AppDeleted(APP.app), "deletion")
    life.cluster.run()
    assert life.apps() == set()
    assert mentions(life.service, APP.app) == []
    for record in life.inputs:
        life.put([record], identity=f"late-{header(record.headers, 'ce_id').decode()}")
    life.cluster.run()
    life.cluster.tick()
    assert len(life.written()) == written
    assert life.letters() == []
    assert life.apps() == set()
    assert mentions(life.service, APP.app) == []
    life.cluster.restart(room)
    assert life.apps() == set()
    assert mentions(life.service, APP.app) == []


def test_an_app_defined_again_begins_anew(room, alone):
    former = alone(room).live()
    written = len(former.written())
    former.say(APPS, AppDeleted(APP.app), "deletion")
    former.cluster.run()
    former.say(APPS, APP, "again")
    fresh = alone(room)
    for life in (former, fresh):
        for place, record in enumerate(life.inputs):
            life.put([record], identity=f"again-{place}")
            life.cluster.run()
            if place % 7 == 3:
                life.cluster.restart(room)
    said = [(header(r.headers, "ce_id"), r.key, comparable(r)) for r in former.written()[written:]]
    assert said == [(header(r.headers, "ce_id"), r.key, comparable(r)) for r in fresh.written()]
    assert said
    assert former.state() == fresh.state()


# -- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_names_what_the_service_reads_and_writes(room):
    service = ROOMS[room]("memory://none")
    reads = {line.topic.name for line in service.table()}
    writes = {topic.name for topic in service.produces()}
    assert reads == {topic.name for topic in CATALOGUE if room in topic.consumed_by} - {ALGORITHMS.name}
    assert writes == {topic.name for topic in CATALOGUE if room in topic.produced_by}
