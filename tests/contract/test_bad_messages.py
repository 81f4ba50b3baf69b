"""Bad messages go to the dead-letter topic with a reason, and the service goes on as if they had not come."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator

import pytest
from house import APP, ELSEWHERE, TO_ITSELF, Alone, event, lines

from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.memory import DeadLetter
from easeml.stream.messages import Record
from easeml.stream.payloads import OperatorRun, RunState
from easeml.stream.poison import EXCERPT, PREFIX, REDRIVE
from easeml.stream.routing import Routes
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, TICKS

Headers = dict[str, bytes]
Spoil = Callable[[bytes, Headers], tuple[bytes, Headers]]

UNKNOWN_SCHEMA = 999_999


def _only(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the value alone, and send it as an outsider would: without CloudEvents headers."""
    return lambda value, _headers: (change(value), {})


def _headers(**changes: bytes) -> Spoil:
    names = {name.replace("__", "-"): text for name, text in changes.items()}
    return lambda value, headers: (value, headers | names)


KINDS: dict[str, tuple[Spoil, str, str]] = {
    "no bytes": (_only(lambda _: b""), "schema", "0 bytes"),
    "text": (_only(lambda _: b"species,petal_length\nsetosa,1.4\n"), "schema", "has no header"),
    "json": (_only(lambda _: b'{"app": "iris"}'), "schema", "has no header"),
    "foreign magic byte": (_only(lambda value: b"\x01" + value[1:]), "schema", "has no header"),
    "header alone": (_only(lambda value: value[:3]), "schema", "3 bytes"),
    "unknown schema": (_only(lambda v: b"\0" + struct.pack(">I", UNKNOWN_SCHEMA) + v[5:]), "schema", "999999"),
    "cut in the middle": (_only(lambda value: value[: len(value) // 2 + 3]), "schema", "."),
    "last byte missing": (_only(lambda value: value[:-1]), "schema", "."),
    "a byte too many": (_only(lambda value: value + b"\0"), "schema", "1 bytes follow"),
    "absurd length": (_only(lambda value: value[:5] + b"\xfe" * 9 + b"\x01"), "schema", "."),
    "too large": (_only(lambda value: value + bytes(1_000_000)), "too_large", "the limit is 1000000"),
    "other content": (_headers(content__type=b"application/json"), "schema", "application/json"),
    "no CloudEvents version": (_headers(ce_specversion=b"0.3"), "schema", "ce_specversion"),
    "empty id": (_headers(ce_id=b""), "schema", "ce_id"),
    "endless id": (_headers(ce_id=b"x" * 201), "schema", "ce_id"),
    "control character in the source": (_headers(ce_source=b"a\nb"), "schema", "ce_source"),
    "other type": (_headers(ce_type=b"easeml.v1.Nothing"), "schema", "ce_type"),
    "no time": (_headers(ce_time=b"yesterday"), "schema", "ce_time"),
    "time without zone": (_headers(ce_time=b"2024-01-01T00:00:00"), "schema", "time zone"),
    "header that is no text": (_headers(ce_id=b"\xff\xfe"), "schema", "not UTF-8"),
}
"""Kind of bad bytes -> (how a sound message is spoilt, reason, what the message says)."""


def sound(life: Alone) -> Iterator[Record]:
    """Yield, for each input topic, the first recorded message that the service cares for."""
    routes = Routes(life.service)
    for topic in routes.topics:
        if (life.name, topic) in TO_ITSELF:
            continue
        yield next(r for r in life.inputs if r.topic == topic and routes.find(topic, type(event(r).data)))


def with_bad(life: Alone, bad: list[Record]) -> Alone:
    """Let a service live with bad messages before, between and after the good ones."""
    middle = len(life.inputs) // 2
    for start in range(0, len(life.inputs), 5):
        if start == 0 or start <= middle < start + 5:
            life.put(bad)
        life.put(life.inputs[start : start + 5])
        life.cluster.run()
    life.put(bad)
    life.cluster.run()
    return life


def spoilt(life: Alone, kind: str) -> list[Record]:
    """Return one bad message of a kind for each input topic."""
    found = []
    for record in sound(life):
        value, headers = KINDS[kind][0](record.value or b"", dict(record.headers))
        found.append(dataclasses.replace(record, value=value, headers=tuple(headers.items())))
    return found


def test_bad_bytes_are_given_up_and_nothing_else(room, alone, undisturbed):
    # more bad than good ones in a row, on purpose
    life = alone(room, settings=Settings.load(fuse=1000))
    bad = [(kind, record) for kind in KINDS for record in spoilt(life, kind)]
    with_bad(life, [record for _, record in bad])
    assert life.end() == undisturbed(room).end()
    assert life.cluster.restarts == 0
    for topic in Routes(life.service).topics:
        expected = [(kind, record) for kind, record in bad if record.topic == topic] * 3
        for (kind, record), letter in zip(expected, life.cluster.dead_letters(topic), strict=True):
            _, reason, says = KINDS[kind]
            assert (kind, letter.reason) == (kind, reason)
            assert says in letter.message
            assert len(letter.message) > 20
            tells_where(life, letter, record)


def tells_where(life: Alone, letter: DeadLetter, record: Record) -> None:
    """Hold a dead letter to its message: where it lies, by whom it was given up, and its bytes."""
    context = {name.removeprefix(PREFIX): text.decode() for name, text in letter.headers.items() if PREFIX in name}
    assert (context["service"], context["topic"]) == (life.name, record.topic)
    original = life.cluster._logs[record.topic, int(context["partition"])][int(context["offset"])]
    assert original.value == record.value
    assert {*original.headers} <= {*letter.headers.items()}
    if letter.reason == "too_large":
        assert int(context["size"]) == len(record.value)
        assert letter.value == record.value[:EXCERPT]
    else:
        assert letter.value == record.value


def test_a_payload_of_another_topic_is_given_up(room, alone, undisturbed):
    life = alone(room)
    data = OperatorRun(APP.app, "nobody", "nothing", RunState.FAIL, "nowhere")
    headers = tuple(envelope.headers(EventId("foreign"), "easeml/test", data, 0.0))
    bad = [dataclasses.replace(record, value=codec.encode(data), headers=headers) for record in sound(life)]
    with_bad(life, bad)
    assert life.end() == undisturbed(room).end()
    assert {letter.reason for letter in life.letters()} == {"wrong_payload"}
    assert all("OperatorRun" in letter.message for letter in life.letters())
    assert len(life.letters()) == 3 * len(bad)


def test_a_key_that_is_no_text_is_given_up(room, alone, undisturbed):
    life = alone(room)
    with_bad(life, [dataclasses.replace(record, key=b"\xff\xfe") for record in sound(life)])
    assert life.end() == undisturbed(room).end()
    assert {letter.reason for letter in life.letters()} == {"schema"}


def test_a_tombstone_is_nobodys_business(room, alone, undisturbed):
    life = alone(room)
    with_bad(life, [dataclasses.replace(record, value=None) for record in sound(life)])
    assert life.end() == undisturbed(room).end()
    assert life.letters() == []


@pytest.mark.parametrize(
    ("app", "reason", "says"),
    [("stranger", "unknown_app", "'stranger'"), ("Not A Name!", "schema", "Not A Name!"), ("", "schema", "''")],
)
def test_events_of_no_app_are_given_up(room, alone, undisturbed, app, reason, says):
    life = alone(room)
    for topic, payload in lines(room):
        specimen = life.recording.specimen(topic, payload)
        life.say(topic, dataclasses.replace(specimen.data, app=app), f"stranger-{payload.__name__}")
        before = len(life.cluster.dead_letters(topic))
        life.cluster.run()
        (letter,) = life.cluster.dead_letters(topic)[before:]
        assert letter.reason == reason
        assert says in letter.message
    assert life.written() == []
    assert life.live().end() == undisturbed(room).end()
    assert app not in life.apps()


def test_events_in_a_foreign_partition_are_given_up(room, alone, undisturbed):
    life = alone(room)
    bad = [dataclasses.replace(r, partition=ELSEWHERE) for r in sound(life) if r.topic != TICKS.name]
    with_bad(life, bad)
    assert life.end() == undisturbed(room).end()
    assert {letter.reason for letter in life.letters()} == {"wrong_partition"}
    assert len(life.letters()) == 3 * len(bad)


def test_too_many_bad_messages_in_a_row_blow_the_fuse_of_their_partition_alone(room, alone, undisturbed):
    life = alone(room)
    (first, *_) = Routes(life.service).topics
    for _ in range(life.cluster.settings.fuse + 20):
        life.cluster.publish_bytes(first, b"no avro", partition=ELSEWHERE)
    life.live()
    assert life.cluster.fused(room) == [ELSEWHERE]
    assert len(life.letters()) == life.cluster.settings.fuse
    assert life.end() == undisturbed(room).end()
    life.cluster.restart(room)
    life.cluster.run()
    assert life.cluster.fused(room) == []
    assert len(life.letters()) == life.cluster.settings.fuse + 20


def test_a_redriven_message_counts(room, alone):
    """What was given up because its app was missing is sent again after the app's definition, and counts."""
    life, known = alone(room), alone(room)
    late = dataclasses.replace(APP, app="late")
    known.say(APPS, late, "late")
    for each in (life, known):
        for topic, payload in lines(room):
            data = life.recording.specimen(topic, payload).data
            each.say(topic, dataclasses.replace(data, app="late"), f"early-{topic.noun}-{payload.__name__}")
        each.cluster.run()
    life.say(APPS, late, "late")
    assert "late" not in life.apps()
    for letter in life.letters():
        assert letter.reason == "unknown_app"
        headers = {name: text for name, text in letter.headers.items() if not name.startswith(PREFIX)}
        topic, number = letter.headers[f"{PREFIX}topic"].decode(), int(letter.headers[f"{PREFIX}partition"])
        life.cluster.publish_bytes(topic, letter.value, b"late", [*headers.items(), (REDRIVE, b"1")], number)
    life.cluster.run()
    assert known.state("late") is not None
    assert life.apps() == known.apps()
    assert len(life.written()) == len(known.written())
