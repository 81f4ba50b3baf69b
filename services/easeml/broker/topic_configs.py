"""Topic configuration: the names, defaults and checks of Apache Kafka, and what this broker reads of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_BOOLEAN, _STRING, _INT, _LONG, _DOUBLE, _LIST = 1, 2, 3, 5, 6, 7
_FOREVER = 2**63 - 1
_INT_MAX = 2**31 - 1
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One topic setting: default, wire type and check of its text."""

    default: str
    kind: int
    is_valid: Callable[[str], bool]


def _whole(low: int, high: int = _FOREVER) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return low <= int(text) <= high
        except ValueError:
            return False

    return check


def _ratio(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False


def _one_of(*allowed: str) -> Callable[[str], bool]:
    return lambda text: text in allowed


def _policy(text: str) -> bool:
    return all(part.strip() in {"compact", "delete"} for part in text.split(",")) and bool(text)


def _anything(text: str) -> bool:
    return len(text) < 1 << 15


_FLAG = _one_of("true", "false")

SETTINGS: dict[str, Setting] = {
    "cleanup.policy": Setting("delete", _LIST, _policy),
    "compression.type": Setting(
        "producer", _STRING, _one_of("producer", "uncompressed", "gzip", "lz4", "snappy", "zstd")
    ),
    "delete.retention.ms": Setting(str(_DAY_MS), _LONG, _whole(0)),
    "file.delete.delay.ms": Setting("60000", _LONG, _whole(0)),
    "flush.messages": Setting(str(_FOREVER), _LONG, _whole(1)),
    "flush.ms": Setting(str(_FOREVER), _LONG, _whole(0)),
    "index.interval.bytes": Setting("4096", _INT, _whole(0, _INT_MAX)),
    "max.compaction.lag.ms": Setting(str(_FOREVER), _LONG, _whole(1)),
    "max.message.bytes": Setting("1048588", _INT, _whole(0, _INT_MAX)),
    "message.timestamp.type": Setting("CreateTime", _STRING, _one_of("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": Setting("0.5", _DOUBLE, _ratio),
    "min.compaction.lag.ms": Setting("0", _LONG, _whole(0)),
    "min.insync.replicas": Setting("1", _INT, _whole(1, _INT_MAX)),
    "preallocate": Setting("false", _BOOLEAN, _FLAG),
    "retention.bytes": Setting("-1", _LONG, _whole(-1)),
    "retention.ms": Setting(str(7 * _DAY_MS), _LONG, _whole(-1)),
    "segment.bytes": Setting(str(1 << 30), _INT, _whole(1 << 20, _INT_MAX)),
    "segment.index.bytes": Setting("10485760", _INT, _whole(4, _INT_MAX)),
    "segment.jitter.ms": Setting("0", _LONG, _whole(0)),
    "segment.ms": Setting(str(7 * _DAY_MS), _LONG, _whole(1)),
    "unclean.leader.election.enable": Setting("false", _BOOLEAN, _FLAG),
    "leader.replication.throttled.replicas": Setting("", _LIST, _anything),
    "follower.replication.throttled.replicas": Setting("", _LIST, _anything),
}
"""Accepted settings. Those about replicas, throttles and preallocation are kept but have nothing to govern on
a single node; ``compression.type`` other than ``producer`` is kept, the batches stay as they were sent."""


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """The settings that the log reads on its hot path, parsed once."""

    compact: bool
    delete: bool
    log_append_time: bool
    max_message_bytes: int
    segment_bytes: int
    segment_ms: int
    retention_ms: int
    retention_bytes: int
    delete_retention_ms: int
    min_compaction_lag_ms: int
    max_compaction_lag_ms: int
    min_cleanable_dirty_ratio: float

    @classmethod
    def parse(cls, overrides: Mapping[str, str], defaults: Mapping[str, str]) -> TopicConfig:
        """Read the topic's own settings over the broker's defaults over Kafka's."""

        def text(name: str) -> str:
            return overrides.get(name, defaults.get(name, SETTINGS[name].default))

        policies = {part.strip() for part in text("cleanup.policy").split(",")}
        return cls(
            compact="compact" in policies,
            delete="delete" in policies,
            log_append_time=text("message.timestamp.type") == "LogAppendTime",
            max_message_bytes=int(text("max.message.bytes")),
            segment_bytes=int(text("segment.bytes")),
            segment_ms=int(text("segment.ms")),
            retention_ms=int(text("retention.ms")),
            retention_bytes=int(text("retention.bytes")),
            delete_retention_ms=int(text("delete.retention.ms")),
            min_compaction_lag_ms=int(text("min.compaction.lag.ms")),
            max_compaction_lag_ms=int(text("max.compaction.lag.ms")),
            min_cleanable_dirty_ratio=float(text("min.cleanable.dirty.ratio")),
        )


def complaint(overrides: Mapping[str, str | None]) -> str | None:
    """Say what is wrong with the settings, or return None."""
    for name, value in overrides.items():
        setting = SETTINGS.get(name)
        if setting is None:
            return f"Unknown topic config name: {name}"
        if value is None or not setting.is_valid(value):
            return f"Invalid value {value} for configuration {name}"
    return None
