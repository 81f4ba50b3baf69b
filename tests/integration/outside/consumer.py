"""Reads Ease.ML topics with nothing of Ease.ML: confluent-kafka, fastavro and the files in ``schemas/``.

    python consumer.py --bootstrap 127.0.0.1:9092 --schemas ../../../schemas

prints every message of every topic, up to the present end, as one JSON line: topic, partition, offset, key, headers,
type and data. Numbers that travel as bytes (their schema names a ``dtype``) become numbers, NaN becomes null.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

PREFIX = "easeml."
FORMATS = {"<i4": "<i", "<i8": "<q", "<f4": "<f", "<f8": "<d"}


class Schemas:
    """Schemas by the id in front of every message."""

    def __init__(self, folder: Path) -> None:
        lock = json.loads((folder / "registry.lock.json").read_text())
        self.raw = {entry["id"]: json.loads((folder / f"{name}.avsc").read_text()) for name, entry in lock.items()}
        self.parsed = {number: fastavro.parse_schema(schema) for number, schema in self.raw.items()}

    def decode(self, value: bytes) -> tuple[str, Any]:
        """Return the full name of the record and its content as plain Python values."""
        magic, number = struct.unpack_from(">bI", value)
        if magic != 0:
            raise ValueError(f"the message begins with {magic}, not 0")
        schema = self.raw[number]
        content = fastavro.schemaless_reader(io.BytesIO(value[5:]), self.parsed[number], None)
        return f"{schema['namespace']}.{schema['name']}", plain(schema, content, {})


def plain(schema: Any, value: Any, names: dict[str, Any]) -> Any:
    """Return a decoded value with its packed numbers unpacked."""
    if isinstance(schema, list):  # a union of null and something
        some = next(branch for branch in schema if branch != "null")
        return None if value is None else plain(some, value, names)
    schema = names.get(schema, {"type": schema}) if isinstance(schema, str) else schema
    kind = schema["type"]
    if kind == "record":
        names[schema["name"]] = schema
        return {field["name"]: plain(field["type"], value[field["name"]], names) for field in schema["fields"]}
    if kind == "array":
        return [plain(schema["items"], item, names) for item in value]
    if kind == "map":
        return {key: plain(schema["values"], item, names) for key, item in value.items()}
    if isinstance(kind, dict | list):
        return plain(kind, value, names)
    if kind == "bytes" and "dtype" in schema:
        return [item for (item,) in struct.iter_unpack(FORMATS[schema["dtype"]], value)]
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def messages(bootstrap: str, topics: list[str]) -> Iterator[Message]:
    """Yield what the topics hold now; no topics: all of Ease.ML's."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "outside",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        known = consumer.list_topics(timeout=15).topics
        wanted = topics or [name for name in sorted(known) if name.startswith(PREFIX)]
        unread = {(name, partition) for name in wanted for partition in known[name].partitions}
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for name, partition in unread])
        while unread:
            message = consumer.poll(30)
            if message is None:
                raise TimeoutError(f"no message for 30 s; unread: {unread}")
            if message.error() is None:
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                unread.discard((message.topic(), message.partition()))
            else:
                raise RuntimeError(message.error().str())
    finally:
        consumer.close()


def main() -> None:
    """Print the topics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, help="host:port of the Kafka cluster")
    parser.add_argument("--schemas", required=True, type=Path, help="the folder schemas/")
    parser.add_argument("topics", nargs="*", help="topics to read; none: all")
    options = parser.parse_args()
    schemas = Schemas(options.schemas)
    for message in messages(options.bootstrap, options.topics):
        kind, data = (None, None) if message.value() is None else schemas.decode(message.value())
        line = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": (message.key() or b"").decode(),
            "headers": {name: value.decode() for name, value in message.headers() or ()},
            "type": kind,
            "data": data,
        }
        print(json.dumps(line, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    main()
