"""What must become of a message, told by the released schemas and the rules of the envelope alone."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import fastavro
from avro_rules import Unfit, walk

from easeml.stream.messages import Record
from easeml.stream.schemas import released
from easeml.stream.topics import ALGORITHMS, APPS, BY_NAME, TICKS, partition_of

ACCEPTED = "accepted"
EITHER = "either"
"""No rule decides: whatever happens is right, as long as it happens once."""
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_APP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_CONTENT = ("application/vnd.confluent.avro", "avro/binary", "application/avro")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_PARSED = {number: fastavro.parse_schema(schema.document) for number, schema in released().items()}
_LAST_MS = 253_402_300_799_000
_NAMES = {number: schema.full_name for number, schema in released().items()}


@dataclass(frozen=True)
class Rules:
    """What the rules depend on beside the message.

    Parameters
    ----------
    apps : frozenset of str
        Apps that are defined.
    routed : frozenset of (str, str)
        Topic and record name of what the service cares for.
    partitions : int
        Partitions of every topic.
    limit : int
        Bytes of the largest message.
    """

    apps: frozenset[str]
    routed: frozenset[tuple[str, str]]
    partitions: int
    limit: int


def judge(record: Record, rules: Rules) -> str:
    """Return ``accepted``, ``either``, or the reason under which the message must be given up.

    ``accepted`` is what schema and envelope say: the service may still find the data senseless.
    """
    value = record.value
    if value is None:
        return ACCEPTED
    shared = record.topic in (APPS.name, ALGORITHMS.name)
    if len(value) > rules.limit and not shared:
        return "too_large"
    pairs, unusual = _texts(record), False
    if pairs is None or pairs.get("content-type", _CONTENT[0]).partition(";")[0].strip().lower() not in _CONTENT:
        return "schema"
    number = int.from_bytes(value[1:5])
    if len(value) < 5 or value[0] != 0 or number not in _PARSED:
        return "schema"
    try:
        found = walk(value, released()[number].document, 5)
    except Unfit:
        return "schema"
    unusual |= found.unusual
    if not unusual and not fastavro_takes(value, number):
        raise AssertionError(f"fastavro refuses what the specification allows: {value.hex()}")
    if found.end != len(value) or not _is_sound(record, pairs, number, found.texts):
        return "schema"
    if unusual or ("ce_time" in pairs and not _RFC_3339.fullmatch(pairs["ce_time"])):
        return EITHER
    return _content(record, number, found.texts, rules)


def _content(record: Record, number: int, texts: dict[str, str], rules: Rules) -> str:
    name = released()[number].payload.__name__
    if name not in [payload.__name__ for payload in BY_NAME[record.topic].payloads]:
        return "wrong_payload"
    if name == "Tick":
        read = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), _PARSED[number], None)
        if not math.isfinite(read["time"]):
            return "not_finite"
    if record.topic in (TICKS.name, APPS.name, ALGORITHMS.name) or (record.topic, name) not in rules.routed:
        return ACCEPTED
    if texts["app"] not in rules.apps:
        return "unknown_app"
    return ACCEPTED if partition_of(texts["app"], rules.partitions) == record.partition else "wrong_partition"


def fastavro_takes(value: bytes, number: int) -> bool:
    """Whether fastavro reads a message."""
    try:
        fastavro.schemaless_reader(io.BytesIO(value[5:]), _PARSED[number], None)
    except Exception:  # it has no common error
        return False
    return True


def _texts(record: Record) -> dict[str, str] | None:
    pairs = {}
    for name, value in record.headers:
        lower = name.lower()
        if lower.startswith("ce_") or lower in ("content-type", "traceparent"):
            try:
                pairs[lower] = (value or b"").decode()
            except UnicodeDecodeError:
                return None
    return pairs


def _is_sound(record: Record, pairs: dict[str, str], number: int, texts: dict[str, str]) -> bool:
    """Whether key, app and CloudEvents attributes keep the rules."""
    members = [member["name"] for member in released()[number].document["fields"]]
    if "app" in members and not _APP.fullmatch(texts["app"]):
        return False
    try:
        (record.key or b"").decode()
    except UnicodeDecodeError:
        return False
    attributes = any(name.startswith("ce_") for name in pairs)
    if "ce_time" not in pairs or not attributes:
        return max(record.timestamp_ms, 0) <= _LAST_MS and (not attributes or _are_sound(pairs, number))
    return _are_sound(pairs, number)


def _are_sound(pairs: dict[str, str], number: int) -> bool:
    required = [pairs.get(name, "") for name in ("ce_id", "ce_source", "ce_type")]
    if pairs.get("ce_specversion") != "1.0" or not all(map(_PRINTABLE.fullmatch, required)):
        return False
    if pairs["ce_type"] != _NAMES[number]:
        return False
    try:
        moment = datetime.fromisoformat(pairs.get("ce_time", "1970-01-01T00:00:00Z"))
    except ValueError:
        return False
    return moment.tzinfo is not None and _is_of_a_year(moment)


def _is_of_a_year(moment: datetime) -> bool:
    """Whether a moment is in the years 1 to 9999 in Greenwich too."""
    try:
        here = moment.replace(tzinfo=UTC) - (moment.utcoffset() or timedelta())
    except OverflowError:
        return False
    return here <= datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def describe(record: Record) -> str:
    """Return a message as one line of JSON, to be played again."""
    return json.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "timestamp_ms": record.timestamp_ms,
            "key": None if record.key is None else record.key.hex(),
            "value": None if record.value is None else record.value.hex(),
            "headers": [(name, value.hex()) for name, value in record.headers],
        }
    )
