"""Committed offsets of consumer groups, durable through the journal. They do not expire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from easeml.broker.journal import Journal

_PREFIX = "offset/"
_SEPARATOR = "\x00"


class Committed(NamedTuple):
    """One committed position."""

    offset: int
    leader_epoch: int
    metadata: str


NOTHING = Committed(-1, -1, "")


class Offsets:
    """Committed offsets by group and partition.

    Parameters
    ----------
    journal : Journal
        Where they are kept.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._groups: dict[str, dict[tuple[str, int], Committed]] = {}
        for key, value in journal.with_prefix(_PREFIX):
            group, topic, partition = key.rsplit(_SEPARATOR, 2)
            self._groups.setdefault(group, {})[topic, int(partition)] = Committed(*value)

    def commit(self, group: str, positions: Iterable[tuple[str, int, Committed]]) -> None:
        """Store positions; they are durable on return. Raises ``OSError`` and changes nothing if the disk refuses."""
        new = {(topic, partition): position for topic, partition, position in positions}
        if new:
            self._journal.put(*((_key(group, *place), list(position)) for place, position in new.items()))
            self._groups.setdefault(group, {}).update(new)

    def fetch(self, group: str, topic: str, partition: int) -> Committed:
        """Return the committed position, :data:`NOTHING` where there is none."""
        return self._groups.get(group, {}).get((topic, partition), NOTHING)

    def all_of(self, group: str) -> dict[tuple[str, int], Committed]:
        """Return all positions of a group."""
        return self._groups.get(group, {})

    def groups(self) -> list[str]:
        """Return the groups that have positions."""
        return [group for group, kept in self._groups.items() if kept]

    def forget(self, group: str, partitions: Iterable[tuple[str, int]] | None = None) -> None:
        """Drop positions of a group: those named, or all. Raises ``OSError`` like :meth:`commit`."""
        kept = self._groups.get(group, {})
        gone = set(kept) if partitions is None else kept.keys() & set(partitions)
        if gone:
            self._journal.put(*((_key(group, *each), None) for each in gone))
        for each in gone:
            del kept[each]

    def forget_topic(self, topic: str) -> None:
        """Drop all positions in a deleted topic."""
        for group, kept in self._groups.items():
            self.forget(group, [each for each in kept if each[0] == topic])


def _key(group: str, topic: str, partition: int) -> str:
    return f"{_PREFIX}{group}{_SEPARATOR}{topic}{_SEPARATOR}{partition}"
