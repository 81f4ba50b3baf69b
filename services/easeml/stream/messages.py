"""Messages as the broker has them: bytes in, bytes out."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One message that was read.

    Parameters
    ----------
    topic, partition, offset : str, int, int
        Where it was read.
    key, value : bytes or None
        Message key and body; a None value is a tombstone.
    headers : tuple of (str, bytes)
        Message headers.
    timestamp_ms : int
        Broker timestamp in milliseconds since 1970 UTC.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = 0

    @property
    def seconds(self) -> float:
        """Broker timestamp in seconds since 1970 UTC; 0 where the broker has none."""
        return max(self.timestamp_ms, 0) / 1000


@dataclass(frozen=True, slots=True)
class Message:
    """One message to be written to an explicit partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
