"""Dead letters: who gave what up and why, without the messages themselves; these are read when somebody looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from easeml.errors import NotFoundError, SchemaError
from easeml.stream import codec, deadletters
from easeml.stream.bulk import BulkReader
from easeml.stream.deadletters import OPEN, DeadLetter
from easeml.stream.messages import Record
from easeml.stream.poison import PREFIX
from easeml.stream.reader import decoded
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME

PAGE = 25
_KEPT = 20_000
_BYTES, _CHARACTERS = 512, 20_000
_READABLE = 100_000
"""Bytes of a message above which its content is too much to read."""
_ENDING = ".dlq"


@dataclass
class Letters:
    """All dead letters of the cluster, the oldest forgotten beyond some thousands."""

    _letters: dict[str, DeadLetter] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)

    def fold(self, records: Iterable[Record]) -> bool:
        """Take messages of dead-letter topics in; return whether there were any."""
        some = False
        for raw in records:
            self._fold(raw)
            some = True
        return some

    def _fold(self, raw: Record) -> None:
        headers = deadletters.headers_of(raw)
        if deadletters.MARK in headers:
            self._states[headers.get(deadletters.MARKED, "")] = headers[deadletters.MARK]
            _shorten(self._states)
            return
        letter = deadletters.letter_of(replace(raw, value=None, headers=()), headers, OPEN)
        self._letters.setdefault(letter.id, letter)
        _shorten(self._letters)

    def _all(self) -> list[DeadLetter]:
        return [replace(one, state=self._states.get(one.id, OPEN)) for one in self._letters.values()]

    def page(self, *, closed: bool, start: int, texts: bool) -> dict[str, Any]:
        """Return some letters, the newest first, as plain data.

        Parameters
        ----------
        closed : bool
            Those that were redriven or discarded, too.
        start : int
            Letters left out before.
        texts : bool
            With their causes in words, which may quote what was in the message.
        """
        every = self._all()
        found = sorted((one for one in every if closed or one.state == OPEN), key=lambda one: (-one.time, one.letter))
        return {
            "letters": [_told(one, texts=texts) for one in found[start : start + PAGE]],
            "start": start,
            "count": len(found),
            "open": sum(one.state == OPEN for one in every),
            "page": PAGE,
        }

    def find(self, name: str) -> DeadLetter:
        """Return a letter without its message.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        known = next((one for one in self._all() if one.letter == name), None)
        if known is None:
            raise NotFoundError(f"There is no dead letter {name!r}.", mend="Read the list again.")
        return known


def fetch(settings: Settings, known: DeadLetter) -> DeadLetter:
    """Return a letter with its message, read from the broker.

    Raises
    ------
    NotFoundError
        When it has expired.
    """
    where = known.raw
    reader = BulkReader(settings)
    try:
        reader.begin({(where.topic, where.partition): (where.offset, where.offset + 1)})
        found = reader.chunk()
    finally:
        reader.close()
    if not found:
        raise NotFoundError(f"Dead letter {known.letter!r} has expired.", mend="Read the list again.")
    return deadletters.letter_of(found[0], deadletters.headers_of(found[0]), known.state)


def restricted(name: str) -> bool:
    """Return whether a letter is from a topic that only the owner of the test set may read."""
    topic = BY_NAME.get(name.split(":", 1)[0].removesuffix(_ENDING))
    return topic is not None and topic.restricted


def _told(letter: DeadLetter, *, texts: bool) -> dict[str, Any]:
    return {
        "letter": letter.letter,
        "state": letter.state,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "service": letter.service,
        "reason": letter.reason,
        "message": letter.message[:_CHARACTERS] if texts and not restricted(letter.letter) else "",
        "at": letter.time,
    }


def view(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter with its content as plain data: decoded where that is possible, else its first bytes."""
    value = letter.raw.value or b""
    kept = [(name, (content or b"").decode(errors="replace")) for name, content in letter.raw.headers]
    headers = [(name, content[:_CHARACTERS]) for name, content in kept if not name.startswith(PREFIX)]
    shown = _told(letter, texts=True) | {"message": letter.message[:_CHARACTERS]}
    return shown | {
        "key": (letter.raw.key or b"").decode(errors="replace"),
        "headers": headers,
        "bytes": len(value),
        "begins": value[:_BYTES].hex(" "),
        "content": _content(letter),
    }


def _content(letter: DeadLetter) -> Any:
    if len(letter.raw.value or b"") > _READABLE:
        return None
    try:
        event = decoded(letter.raw)
    except SchemaError:
        return None
    return None if event is None else codec.json_of(event.data)


def _shorten(known: dict[str, Any]) -> None:
    while len(known) > _KEPT:
        del known[next(iter(known))]
