"""The topics of the broker: created, found, changed and deleted; remembered in the journal."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easeml.broker import topic_configs
from easeml.broker.journal import Journal
from easeml.broker.log import PartitionLog
from easeml.broker.topic_configs import TopicConfig

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_PREFIX = "topic/"


@dataclass(slots=True)
class Topic:
    """A topic and the logs of its partitions."""

    name: str
    id: uuid.UUID
    overrides: dict[str, str]
    partitions: list[PartitionLog] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)


def is_legal_name(name: str) -> bool:
    """Whether Kafka allows the topic name."""
    return bool(_NAME.fullmatch(name)) and name not in {".", ".."}


class Topics:
    """All topics.

    Parameters
    ----------
    journal : Journal
        Where topics are remembered.
    folder : Path or None
        Parent of the partitions' folders; None keeps the logs in memory.
    defaults : mapping
        The broker's overrides of the topic configuration defaults.
    now_ms : callable
        Clock, ms since the epoch.
    """

    def __init__(
        self, journal: Journal, folder: Path | None, defaults: Mapping[str, str], now_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._folder = folder
        self.defaults = dict(defaults)
        self._now_ms = now_ms
        self._topics: dict[str, Topic] = {}
        for name, kept in journal.with_prefix(_PREFIX):
            topic = Topic(name, uuid.UUID(kept["id"]), kept["configs"], starts=kept["starts"])
            topic.partitions = self._open(topic, kept["partitions"], is_new=False)
            self._topics[name] = topic

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._topics.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._topics

    def get(self, name: str) -> Topic | None:
        """Return the topic, or None."""
        return self._topics.get(name)

    def log(self, name: str, partition: int) -> PartitionLog | None:
        """Return the log of a partition, or None where there is none."""
        topic = self._topics.get(name)
        if topic is None or not 0 <= partition < len(topic.partitions):
            return None
        return topic.partitions[partition]

    def logs(self) -> Iterator[PartitionLog]:
        """Yield every partition's log."""
        for topic in self:
            yield from topic.partitions

    def create(self, name: str, partitions: int, overrides: Mapping[str, str]) -> Topic:
        """Create a topic whose name and settings were checked before.

        Like every change here it raises ``OSError``, and is not made, where the disk refuses it.
        """
        topic = Topic(name, uuid.uuid4(), dict(overrides))
        self.add_partitions(topic, partitions)
        self._topics[name] = topic
        return topic

    def add_partitions(self, topic: Topic, partitions: int) -> None:
        """Grow a topic to ``partitions``."""
        fresh = self._open(topic, partitions, is_new=True)
        try:
            self._save(topic, partitions=partitions)
        except OSError:
            for log in fresh:
                log.remove()
            raise
        topic.partitions += fresh

    def _open(self, topic: Topic, partitions: int, *, is_new: bool) -> list[PartitionLog]:
        config = TopicConfig.parse(topic.overrides, self.defaults)
        logs: list[PartitionLog] = []
        for index in range(len(topic.partitions), partitions):
            name = f"{topic.name}-{index}"
            folder = None if self._folder is None else self._folder / name
            try:
                if is_new and folder is not None:
                    # Remains of a deleted topic of the same name must not come back to life.
                    shutil.rmtree(folder, ignore_errors=True)
                start = topic.starts.get(str(index), 0)
                logs.append(PartitionLog(name, folder, config, self._now_ms, start))
            except OSError:
                for log in logs:
                    (log.remove if is_new else log.close)()
                raise
        return logs

    def _save(self, topic: Topic, **changes: Any) -> None:
        """Remember a topic with what is about to change, before it does."""
        kept = {
            "id": str(topic.id),
            "partitions": len(topic.partitions),
            "configs": topic.overrides,
            "starts": topic.starts,
        }
        self._journal.put((_PREFIX + topic.name, kept | changes))

    def configure(self, topic: Topic, overrides: Mapping[str, str]) -> None:
        """Replace the topic's own settings, checked before."""
        self._save(topic, configs=dict(overrides))
        topic.overrides = dict(overrides)
        config = TopicConfig.parse(topic.overrides, self.defaults)
        for log in topic.partitions:
            log.config = config

    def delete_records(self, topic: Topic, partition: int, offset: int) -> int:
        """Drop what lies before ``offset``; return the first readable offset."""
        log = topic.partitions[partition]
        start = max(log.start_offset, min(offset, log.end_offset))
        starts = {**topic.starts, str(partition): start}
        self._save(topic, starts=starts)
        topic.starts = starts
        log.delete_before(start)
        return start

    def delete(self, topic: Topic) -> None:
        """Delete a topic and its data."""
        cleaned = [(f"cleaned/{log.name}", None) for log in topic.partitions]
        self._journal.put((_PREFIX + topic.name, None), *cleaned)
        del self._topics[topic.name]
        for log in topic.partitions:
            log.remove()

    def value(self, topic: Topic, setting: str) -> str:
        """Return the effective text of a setting."""
        default = topic_configs.SETTINGS[setting].default
        return topic.overrides.get(setting, self.defaults.get(setting, default))

    def close(self) -> None:
        """Close all files."""
        for log in self.logs():
            log.close()
