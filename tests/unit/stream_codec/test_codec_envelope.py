"""CloudEvents headers, written and read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easeml.errors import SchemaError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.messages import Record
from easeml.stream.payloads import AlgorithmAnnounced, PositionRecord, Tick, Verdict

VERDICT = Verdict("churn", "m1", True, True)
RAW = codec.encode(VERDICT)
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def parse(headers, *, value=RAW, key=b"churn/m1", timestamp_ms=1_700_000_000_123):
    return envelope.parse(Record("easeml.verdicts.v1", 2, 7, key, value, tuple(headers or ()), timestamp_ms))


def changed(**changes):
    pairs = dict(envelope.headers(EventId("id-1"), "ci", VERDICT, 1.5, TRACE))
    for name, value in changes.items():
        pairs[name.replace("content_type", "content-type")] = value
    return [(name, value) for name, value in pairs.items() if value is not None]


def test_an_event_comes_back_as_it_was_sent():
    event = parse(changed())
    assert event.data == VERDICT
    assert (event.id, event.source, event.time, event.app, event.key) == ("id-1", "easeml/ci", 1.5, "churn", "churn/m1")
    assert (event.topic, event.partition, event.offset) == ("easeml.verdicts.v1", 2, 7)
    assert event.traceparent == TRACE


def test_headers_follow_the_binding():
    assert dict(envelope.headers(EventId("id-1"), "ci", VERDICT, 0.25)) == {
        "ce_specversion": b"1.0",
        "ce_id": b"id-1",
        "ce_source": b"easeml/ci",
        "ce_type": b"easeml.v1.Verdict",
        "ce_time": b"1970-01-01T00:00:00.250000Z",
        "content-type": b"application/vnd.confluent.avro",
        "partitionkey": b"churn",
    }
    assert dict(envelope.headers(EventId("i"), "easeml/ci", VERDICT, 0.0))["ce_source"] == b"easeml/ci"


def test_a_message_without_headers_is_as_welcome():
    for headers in (None, [], [("other", None)]):
        event = parse(headers)
        assert event.id == EventId.derive("easeml.verdicts.v1", 2, 7)
        assert event.time == 1_700_000_000.123
        assert event.source == "easeml.verdicts.v1"
        assert event.traceparent is None
    assert parse(None, key=None).key == "churn"
    assert parse(None, timestamp_ms=-1).time == 0.0


def test_partition_keys():
    assert envelope.partition_key(VERDICT) == "churn"
    assert envelope.partition_key(AlgorithmAnnounced("trees", "forest")) == "trees"
    assert envelope.partition_key(Tick(1, 1.0)) == ""
    assert envelope.partition_key(PositionRecord({})) == ""


@pytest.mark.parametrize(
    "headers",
    [
        changed(ce_specversion=b"2.0"),
        changed(ce_specversion=None),
        changed(ce_id=None),
        changed(ce_id=b""),
        changed(ce_id=b"\xff"),
        changed(ce_id=b"x" * 201),
        changed(ce_source=b"a\nb"),
        changed(ce_type=b"easeml.v1.Tick"),
        changed(ce_type=None),
        changed(ce_time=b"yesterday"),
        changed(ce_time=b"2026-01-01T00:00:00"),
        changed(content_type=b"application/json"),
    ],
)
def test_malformed_headers_are_schema_errors(headers):
    with pytest.raises(SchemaError):
        parse(headers)


def test_a_malformed_record_is_a_schema_error():
    for bad in (
        {"value": None},
        {"value": b"{}"},
        {"key": b"\xff"},
        {"value": codec.encode(Verdict("No App!", "m", True, True))},
    ):
        with pytest.raises(SchemaError):
            parse(changed(), **bad)


def test_a_broken_trace_context_does_not_cost_the_event():
    assert parse(changed(traceparent=b"00-xyz")).traceparent is None


def test_other_avro_content_types_and_times_are_read():
    for content in (b"avro/binary", b"Application/Avro; charset=binary", None):
        assert parse(changed(content_type=content)).id == "id-1"
    assert parse(changed(ce_time=None)).time == 1_700_000_000.123
    assert parse(changed(ce_time=b"1970-01-01T01:00:01.5+01:00")).time == 1.5


@given(time=st.floats(0, 4e9))
def test_time_is_stable_after_one_trip(time):
    def trip(moment):
        return parse(envelope.headers(EventId("i"), "ci", VERDICT, moment)).time

    once = trip(time)
    assert trip(once) == once
    assert np.isclose(once, time, rtol=0, atol=1e-6)
