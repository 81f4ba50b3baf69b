"""Producing and fetching: what goes in comes out, and what must be refused is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from broker_clients import Client, Record, RefusedError
from broker_wire import Wire, batch, schema
from confluent_kafka import KafkaError
from kio.schema.errors import ErrorCode

PRODUCE, INIT_PRODUCER_ID, API_VERSIONS = 0, 22, 18


def test_records_come_back_as_they_were_sent(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_ms="-1")
    sent = [
        Record(b"plain", b"key", (("trace", b"1"), ("trace", b"2")), 1_700_000_000_123),
        Record(None, b"tombstone", (), 1_700_000_000_124),
        Record(b"", None, (("empty", b""),), 1_700_000_000_125),
        Record(bytes(range(256)) * 40, b"\x00\xff", (), 1_700_000_000_126),
    ]
    offsets = client.produce(topic, sent)
    read = client.read(topic, 0, len(sent))
    assert offsets == [0, 1, 2, 3]
    assert [each._replace(offset=-1) for each in read] == sent
    assert [each.offset for each in read] == offsets


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_every_kind_of_acknowledgement(client: Client, make_topic: Callable[..., str], acks: int | str) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"%d" % index) for index in range(50)], acks=acks)
    assert [each.value for each in client.read(topic, 0, 50)] == [b"%d" % index for index in range(50)]


@pytest.mark.parametrize("compression", ["gzip", "lz4", "zstd", "snappy"])
def test_compressed_batches_pass_unchanged(
    bootstrap_servers: str, make_topic: Callable[..., str], compression: str
) -> None:
    from broker_clients import ConfluentClient

    client = ConfluentClient(bootstrap_servers)
    topic = make_topic()
    client.produce(topic, [Record(b"x" * 500)] * 200, compression=compression)
    assert [each.value for each in client.read(topic, 0, 200)] == [b"x" * 500] * 200


def test_aiokafka_reads_and_writes_gzip(bootstrap_servers: str, make_topic: Callable[..., str]) -> None:
    from broker_clients import AiokafkaClient

    client = AiokafkaClient(bootstrap_servers)
    topic = make_topic()
    client.produce(topic, [Record(b"x" * 500)] * 200, compression="gzip")
    assert len(client.read(topic, 0, 200)) == 200


def test_partitions_are_separate(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(3)
    for partition in range(3):
        client.produce(topic, [Record(b"p%d" % partition, partition=partition)] * (partition + 1))
    assert [client.bounds(topic, partition) for partition in range(3)] == [(0, 1), (0, 2), (0, 3)]
    assert [each.value for each in client.read(topic, 1, 1, partition=2)] == [b"p2"]


def test_reading_from_the_middle_of_a_batch(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"%d" % index) for index in range(100)])
    assert [each.offset for each in client.read(topic, 37, 63)] == list(range(37, 100))


def test_a_batch_larger_than_the_fetch_limit_still_comes(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    for _ in range(3):
        client.produce(topic, [Record(b"y" * 200_000)])
    assert [len(each.value or b"") for each in client.read(topic, 0, 3, fetch_max_bytes=1024)] == [200_000] * 3


def test_a_waiting_reader_is_woken(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    read: list[Record] = []
    reader = threading.Thread(target=lambda: read.extend(client.read(topic, 0, 1)))
    reader.start()
    time.sleep(1)
    client.produce(topic, [Record(b"at last")])
    reader.join(60)
    assert [each.value for each in read] == [b"at last"]


def test_offset_out_of_range(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"only")])
    with pytest.raises(RefusedError) as caught:
        client.read(topic, 1000, 1)
    assert caught.value.code in {ErrorCode.offset_out_of_range, KafkaError._AUTO_OFFSET_RESET}


def test_out_of_range_resets_to_the_beginning(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"only")])
    assert [each.value for each in client.read(topic, 1000, 1, reset="earliest")] == [b"only"]


def test_unknown_topic_is_refused(bootstrap_servers: str, name: str) -> None:
    from broker_clients import ConfluentClient

    with pytest.raises(RefusedError) as caught:
        ConfluentClient(bootstrap_servers).produce(name, [Record(b"lost", partition=0)])
    assert caught.value.code in {ErrorCode.unknown_topic_or_partition, KafkaError._UNKNOWN_TOPIC}
    with Wire(bootstrap_servers) as wire:
        assert _produce(wire, name, batch(b"lost")).error_code is ErrorCode.unknown_topic_or_partition


def test_too_large_a_message_is_refused_and_the_broker_goes_on(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    with pytest.raises(RefusedError) as caught:
        client.produce(topic, [Record(b"z" * 60_000_000)], largest=100_000_000)
    assert caught.value.code == ErrorCode.message_too_large
    assert client.produce(topic, [Record(b"z" * 900_000)]) == [0]
    assert len(client.read(topic, 0, 1)[0].value or b"") == 900_000


def test_a_frame_beyond_the_request_limit_closes_the_connection(
    client: Client, bootstrap_servers: str, make_topic: Callable[..., str]
) -> None:
    with Wire(bootstrap_servers) as wire:
        wire.send_bytes((2**31 - 1).to_bytes(4, "big") + bytes(1000))
        assert wire.is_closed()
    topic = make_topic()
    assert client.produce(topic, [Record(b"goes on")]) == [0]


def test_an_idempotent_producer_writes_each_record_once(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    values = [b"%d" % index for index in range(5000)]
    client.produce(topic, [Record(value) for value in values], idempotent=True)
    assert [each.value for each in client.read(topic, 0, 5000)] == values
    assert client.bounds(topic) == (0, 5000)


def _produce(wire: Wire, topic: str, records: bytes) -> object:
    import datetime as dt

    kind = schema(PRODUCE, 8)
    types = __import__(kind.__module__, fromlist=["x"])
    request = kind(
        transactional_id=None,
        acks=-1,
        timeout=dt.timedelta(seconds=10),
        topic_data=(
            types.TopicProduceData(name=topic, partition_data=(types.PartitionProduceData(index=0, records=records),)),
        ),
    )
    return wire.ask(request).responses[0].partition_responses[0]


def test_sequence_numbers_are_checked(bootstrap_servers: str, make_topic: Callable[..., str]) -> None:
    import datetime as dt

    topic = make_topic()
    with Wire(bootstrap_servers) as wire:
        request = schema(INIT_PRODUCER_ID, 1)(transactional_id=None, transaction_timeout=dt.timedelta(seconds=60))
        first = wire.ask(request)
        assert wire.ask(request).producer_id != first.producer_id
        identity = {"producer_id": first.producer_id, "epoch": first.producer_epoch}
        one = batch(b"a", b"b", sequence=0, **identity)
        two = batch(b"c", sequence=2, **identity)
        assert _produce(wire, topic, one).base_offset == 0
        assert _produce(wire, topic, two).base_offset == 2
        # A retry is answered with the offset the batch has already, and not written again.
        again = _produce(wire, topic, one)
        assert (again.error_code, again.base_offset) == (ErrorCode.none, 0)
        gap = _produce(wire, topic, batch(b"e", sequence=9, **identity))
        assert gap.error_code is ErrorCode.out_of_order_sequence_number
        assert _produce(wire, topic, batch(b"d", sequence=3, **identity)).base_offset == 3


def test_a_damaged_batch_is_refused(bootstrap_servers: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    damaged = bytearray(batch(b"sound"))
    damaged[-1] ^= 1
    with Wire(bootstrap_servers) as wire:
        assert _produce(wire, topic, bytes(damaged)).error_code is ErrorCode.corrupt_message
        assert _produce(wire, topic, batch(b"sound")).base_offset == 0


def test_answers_come_in_the_order_of_the_requests(bootstrap_servers: str) -> None:
    with Wire(bootstrap_servers) as wire:
        request = schema(API_VERSIONS, 2)()
        for _ in range(20):
            wire.send(request)
        assert [wire.receive(API_VERSIONS, 2)[0] for _ in range(20)] == list(range(1, 21))


def test_an_unknown_version_of_api_versions_is_negotiated_down(bootstrap_servers: str) -> None:
    with Wire(bootstrap_servers) as wire:
        # A request header of version 2: key, version, correlation id, no client id, no tagged fields.
        body = API_VERSIONS.to_bytes(2, "big") + (99).to_bytes(2, "big") + (7).to_bytes(4, "big") + b"\xff\xff\x00"
        wire.send_bytes(len(body).to_bytes(4, "big") + body)
        correlation, answer = wire.receive(API_VERSIONS, 0)
        assert correlation == 7
        assert answer.error_code is ErrorCode.unsupported_version
        assert any(each.api_key == API_VERSIONS for each in answer.api_keys)
