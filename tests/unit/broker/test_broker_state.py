"""The small parts: producers' sequences, the journal, offsets, topic settings, wire versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from broker_batches import make_batch
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from easeml.broker import BrokerConfig, wire
from easeml.broker import batch as batches
from easeml.broker.context import Context
from easeml.broker.journal import Journal
from easeml.broker.offsets import NOTHING, Committed, Offsets
from easeml.broker.producers import ProducerStates
from easeml.broker.topic_configs import SETTINGS, TopicConfig, complaint
from easeml.errors import ConfigurationError


def header(sequence: int, count: int = 1, producer: int = 1, epoch: int = 0) -> batches.Batch:
    return batches.peek(make_batch([(b"k", b"v")] * count, producer=(producer, epoch, sequence)))


def test_sequences_are_appended_once_and_in_order() -> None:
    states = ProducerStates()
    states.record(header(0, 3), 100)
    assert states.check(header(3)).error is ErrorCode.none
    assert states.check(header(0, 3)).duplicate_of == 100
    assert states.check(header(5)).error is ErrorCode.out_of_order_sequence_number
    assert states.check(header(1)).error is ErrorCode.out_of_order_sequence_number


def test_a_new_epoch_begins_at_zero_and_fences_the_old() -> None:
    states = ProducerStates()
    states.record(header(0, 3, epoch=4), 0)
    assert states.check(header(1, epoch=5)).error is ErrorCode.out_of_order_sequence_number
    assert states.check(header(0, epoch=5)).error is ErrorCode.none
    states.record(header(0, epoch=5), 3)
    assert states.check(header(3, epoch=4)).error is ErrorCode.invalid_producer_epoch


def test_sequences_wrap_around() -> None:
    states = ProducerStates()
    states.record(header(2**31 - 1), 0)
    assert states.check(header(0)).error is ErrorCode.none
    states.record(header(2**31 - 1, 2), 1)
    assert states.check(header(1)).error is ErrorCode.none


def test_unknown_and_plain_producers_may_append() -> None:
    states = ProducerStates()
    assert states.check(header(77)).error is ErrorCode.none
    assert states.check(batches.peek(make_batch([(b"k", b"v")]))).error is ErrorCode.none


def test_only_five_batches_are_remembered() -> None:
    states = ProducerStates()
    for sequence in range(7):
        states.record(header(sequence), sequence)
    assert states.check(header(2)).duplicate_of == 2
    assert states.check(header(1)).error is ErrorCode.out_of_order_sequence_number


@given(changes=st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers()))))
def test_the_journal_is_a_durable_map(tmp_path_factory: pytest.TempPathFactory, changes: list) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    expected: dict[str, int] = {}
    for key, value in changes:
        journal.put((key, value))
        expected[key] = value
    expected = {key: value for key, value in expected.items() if value is not None}
    journal.close()
    again = Journal(path)
    assert dict(again.with_prefix("")) == expected
    again.close()


def test_a_torn_journal_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.put(("a", 1))
    journal.close()
    with path.open("ab") as file:
        file.write(b'["a",')
    again = Journal(path)
    assert again.get("a") == 1
    again.put(("b", 2))
    again.close()
    last = Journal(path)
    assert dict(last.with_prefix("")) == {"a": 1, "b": 2}
    last.close()


def test_the_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for turn in range(25_000):
        journal.put(("offset", turn))
    assert path.stat().st_size < 12_000 * len(b'["offset",24999]\n')
    journal.close()
    again = Journal(path)
    assert again.get("offset") == 24_999
    again.close()


def test_offsets_are_kept_per_group_and_forgotten_with_the_topic(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    offsets = Offsets(journal)
    offsets.commit("g", [("t", 0, Committed(5, 0, "m")), ("u", 1, Committed(6, -1, ""))])
    offsets.commit("h", [("t", 0, Committed(7, 0, ""))])
    journal.close()
    journal = Journal(tmp_path / "journal.jsonl")
    offsets = Offsets(journal)
    assert offsets.fetch("g", "t", 0) == Committed(5, 0, "m")
    assert offsets.fetch("g", "t", 1) == NOTHING
    assert sorted(offsets.groups()) == ["g", "h"]
    offsets.forget_topic("t")
    assert offsets.all_of("g") == {("u", 1): Committed(6, -1, "")}
    assert offsets.groups() == ["g"]
    offsets.forget("g")
    assert offsets.groups() == []
    journal.close()


def test_producer_ids_are_never_given_twice(tmp_path: Path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        context = Context(BrokerConfig(data_dir=tmp_path))
        given_out = [context.next_producer_id() for _ in range(1500)]
        assert seen.isdisjoint(given_out)
        assert len(set(given_out)) == 1500
        seen.update(given_out)
        context.journal.close()


def test_every_default_is_valid_and_parses() -> None:
    assert complaint({name: setting.default for name, setting in SETTINGS.items() if setting.default}) is None
    parsed = TopicConfig.parse({}, {})
    assert (parsed.delete, parsed.compact, parsed.retention_ms) == (True, False, 7 * 86_400_000)
    assert TopicConfig.parse({}, {"retention.ms": "5"}).retention_ms == 5
    assert TopicConfig.parse({"retention.ms": "6"}, {"retention.ms": "5"}).retention_ms == 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "-2"),
        ("retention.ms", None),
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,burn"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "half"),
        ("message.timestamp.type", "Now"),
        ("segment.bytes", "1"),
        ("nonsense", "1"),
    ],
)
def test_wrong_settings_are_complained_about(name: str, value: str | None) -> None:
    assert name in (complaint({name: value}) or "")


@pytest.mark.parametrize(
    "wrong", [{}, {"memory": True, "port": 70_000}, {"memory": True, "tls_cert": Path("cert.pem")}]
)
def test_wrong_broker_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        BrokerConfig(**wrong)


def test_every_advertised_version_can_be_read_and_written() -> None:
    for api_key, (low, high) in wire.SERVED.items():
        for version in range(low, high + 1):
            wire._request_readers(api_key, version)
            wire._response_writers(api_key, version)


@pytest.mark.parametrize(
    "frame", [b"", b"\0\0", b"\0\0\0\1\0\0\0\1", b"\0\3\0\1\0\0\0\1\xff\xff\0", b"\x03\xe7" + bytes(8)]
)
def test_frames_that_do_not_parse_are_refused(frame: bytes) -> None:
    with pytest.raises(wire.UnservedRequestError):
        wire.decode(memoryview(frame))
