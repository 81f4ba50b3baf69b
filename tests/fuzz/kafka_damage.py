"""Requests in Kafka's protocol that no sound client sends, made of those that a real client has sent."""

from __future__ import annotations

import random
import socket
import struct
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from crc32c import crc32c
from damage import LONGS, scrambled

from easeml.broker import wire

HOST = "127.0.0.1"
LARGEST = 100 * 2**20
"""Bytes of the largest request that the broker takes."""
_KEPT = 6
_BATCH = struct.Struct(">qiibI")
_SECONDS = 30


class Tap:
    """A relay that notes what clients send; a context manager. ``port`` is where clients connect."""

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.port = int(self._listening.getsockname()[1])
        self._heard: list[bytearray] = []
        self._target = 0

    def lead_to(self, port: int) -> None:
        """Relay to this port from now on."""
        self._target = port
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:  # closed
                return
            far = socket.create_connection((HOST, self._target))
            noted = bytearray()
            self._heard.append(noted)
            for source, sink, notes in ((near, far, noted), (far, near, None)):
                threading.Thread(target=_pump, args=(source, sink, notes), daemon=True).start()

    def frames(self) -> list[bytes]:
        """Return the requests that were sent, few of each kind, without the length before them."""
        kinds: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        for noted in self._heard:
            at = 0
            while at + 4 <= len(noted):
                size = int.from_bytes(noted[at : at + 4])
                frame = bytes(noted[at + 4 : at + 4 + size])
                if len(kinds[frame[:4]]) < _KEPT:
                    kinds[frame[:4]][frame[8:]] = frame  # between the two stands the number of the request
                at += 4 + size
        return [frame for found in kinds.values() for frame in found.values()]


def _pump(source: socket.socket, sink: socket.socket, notes: bytearray | None) -> None:
    try:
        while data := source.recv(65536):
            if notes is not None:
                notes += data
            sink.sendall(data)
    except OSError:  # either side has gone
        pass
    finally:
        sink.close()


def converse(bootstrap: str, topic: str) -> None:
    """Do with a broker what clients do with one."""
    base = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin = AdminClient(base)
    group = {"group.id": f"{topic}-group", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def done(futures: dict) -> None:
        for future in futures.values():
            future.result(_SECONDS)

    done(admin.create_topics([NewTopic(topic, 2, 1), NewTopic(f"{topic}-gone", 1, 1)]))
    done(admin.create_partitions([NewPartitions(topic, 3)]))
    done(admin.describe_configs([resource]))
    entry = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))
    for more in ({}, {"enable.idempotence": True}, {"acks": 0}, {"compression.type": "gzip"}):
        producer = Producer(base | more)
        for number in range(5):
            producer.produce(topic, f"value {number}".encode() * 9, b"key", number % 2, headers=[("name", b"value")])
        assert producer.flush(_SECONDS) == 0
    consumer = Consumer(base | group)
    consumer.subscribe([topic])
    message = consumer.poll(_SECONDS)
    assert message is not None
    assert message.error() is None
    consumer.commit(message, asynchronous=False)
    places = [TopicPartition(topic, 0, OFFSET_BEGINNING)]
    consumer.committed(places, _SECONDS)
    consumer.offsets_for_times([TopicPartition(topic, 0, 1)], _SECONDS)
    consumer.get_watermark_offsets(places[0], _SECONDS)
    done(admin.describe_consumer_groups([group["group.id"]]))
    consumer.close()
    admin.list_consumer_groups().result(_SECONDS)
    done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group["group.id"])]))
    done(admin.list_offsets({places[0]: OffsetSpec.latest()}))
    done(admin.delete_consumer_groups([group["group.id"]]))
    done(admin.delete_records([TopicPartition(topic, 0, 1)]))
    done(admin.delete_topics([f"{topic}-gone"]))
    admin.describe_cluster().result(_SECONDS)


class Regular:
    """A client that goes on with its work, whatever others send."""

    def __init__(self, bootstrap: str) -> None:
        base = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._topic = f"regular-{uuid.uuid4().hex}"
        admin = AdminClient(base)
        admin.create_topics([NewTopic(self._topic, 1, 1)])[self._topic].result(_SECONDS)
        self._producer = Producer(base)
        self._consumer = Consumer(base | {"group.id": "regular", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])
        self._sent = 0
        self._bootstrap = bootstrap

    def works(self, seconds: float) -> None:
        """Send a message and receive it, and let somebody new ask for the topics."""
        value = f"message {self._sent}".encode()
        self._sent += 1
        self._producer.produce(self._topic, value)
        assert self._producer.flush(seconds) == 0, "a message was not taken"
        message = self._consumer.poll(seconds)
        assert message is not None, "a message did not come back"
        assert message.error() is None, message.error()
        assert message.value() == value, f"{message.value()!r} came instead of {value!r}"
        fresh = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        assert self._topic in fresh.list_topics(timeout=seconds).topics, "a topic is gone"

    def close(self) -> None:
        """Stop."""
        self._consumer.close()


# -- kinds of damage ---------------------------------------------------------------------------------------------------


def _counts(rng: random.Random, frame: bytes) -> bytes:
    """Let a number, perhaps a count, be another."""
    size = rng.choice((2, 4, 4, 4, 8))
    place = rng.randrange(min(8, len(frame)), len(frame) + 1)
    number = rng.choice([n for n in LONGS if -(2 ** (8 * size - 1)) <= n < 2 ** (8 * size - 1)])
    return frame[:place] + number.to_bytes(size, signed=True) + frame[place + size :]


def _batch(rng: random.Random, frame: bytes) -> bytes:
    """Damage records and let the check sum be right all the same."""
    place = frame.find(b"\2", 16)
    while place >= 16 and place + 5 < len(frame):
        start = place - 16
        _, length, _, _, crc = _BATCH.unpack_from(frame, start)
        content = frame[place + 5 : start + 12 + length]
        if crc32c(content) == crc:
            changed = scrambled(rng, content)
            head = _BATCH.pack(0, len(changed) + 9, 0, 2, crc32c(changed))
            return frame[:start] + head + changed + frame[start + 12 + length :]
        place = frame.find(b"\2", place + 1)
    return _counts(rng, frame)


def _kind(rng: random.Random, frame: bytes) -> bytes:
    """Let the request be of another kind or version."""
    key = rng.choice((*wire.SERVED, -1, 4, 99, 32767)) if rng.random() < 0.5 else int.from_bytes(frame[:2])
    version = rng.choice((*range(13), -1, 32767))
    return struct.pack(">hh", key, version) + frame[4:]


def damaged(rng: random.Random, frames: Sequence[bytes]) -> tuple[str, bytes]:
    """Return a kind of damage and the bytes of a connection that suffered it."""
    by_kind: dict[bytes, list[bytes]] = defaultdict(list)
    for frame in frames:
        by_kind[frame[:2]].append(frame)
    frame = rng.choice(rng.choice(list(by_kind.values())))
    (kind,) = rng.choices(("bytes", "counts", "batch", "kind", "cut", "splice", "length", "noise", "many", "http"),
                          (25, 25, 12, 10, 8, 8, 5, 3, 4, 1))  # fmt: skip
    match kind:
        case "bytes":
            frame = frame[:8] + scrambled(rng, frame[8:])
        case "counts":
            frame = _counts(rng, frame)
        case "batch":
            frame = _batch(rng, rng.choice([f for f in frames if f[:2] == b"\0\0"]))
        case "kind":
            frame = _kind(rng, frame)
        case "cut":
            frame = frame[: rng.randrange(len(frame))]
        case "splice":
            other = rng.choice(frames)
            frame = frame[: rng.randrange(len(frame) + 1)] + other[rng.randrange(len(other) + 1) :]
        case "noise":
            frame = rng.randbytes(rng.choice((0, 1, 9, 400)))
        case "length":
            near = len(frame) + rng.choice((-1, 1, 100))
            length = rng.choice((near, near, 0, -1, -(2**31), 2**31 - 1, LARGEST, LARGEST + 1))
            return kind, length.to_bytes(4, signed=True) + frame
        case "http":
            return kind, rng.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0" + bytes(500)))
        case "many":
            chosen = [*rng.choices(frames, k=rng.choice((3, 40))), _counts(rng, frame), frame]
            return kind, b"".join(len(one).to_bytes(4) + one for one in chosen)
    return kind, len(frame).to_bytes(4) + frame


def is_complete(answer: bytes) -> bool:
    """Whether an answer has come to its end."""
    return len(answer) >= 4 and len(answer) >= 4 + int.from_bytes(answer[:4])
