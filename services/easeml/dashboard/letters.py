"""Dead letters: who gave what up and why, without the messages themselves; these are read when somebody looks."""

from __future__ import annotations

import sys
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from easeml.dashboard.paging import newest
from easeml.errors import NotFoundError, SchemaError
from easeml.stream import codec, deadletters
from easeml.stream.bulk import BulkReader
from easeml.stream.deadletters import OPEN, DeadLetter
from easeml.stream.messages import Record
from easeml.stream.poison import PREFIX
from easeml.stream.reader import decoded
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME, UPLOADS, Topic

PAGE = 25
_KEPT = 100_000
_BYTES, _CHARACTERS, _TOLD = 512, 20_000, 300
_READABLE = 100_000
"""Bytes of a message above which its content is too much to read."""
_ENDING = ".dlq"


@dataclass
class Letters:
    """The newest dead letters of the cluster, in the order in which they were given up."""

    _letters: list[DeadLetter] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _states: dict[str, str] = field(default_factory=dict)
    _older: int = 0

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
            if len(self._states) > _KEPT:
                del self._states[next(iter(self._states))]
            return
        letter = _slim(deadletters.letter_of(replace(raw, key=None, value=None, headers=()), headers, OPEN))
        if letter.id in self._known:
            return
        self._known.add(letter.id)
        insort(self._letters, letter, key=lambda one: (one.time, one.letter))
        if len(self._letters) > _KEPT:
            self._known.remove(self._letters.pop(0).id)
            self._older += 1

    def _state(self, letter: DeadLetter) -> str:
        return self._states.get(letter.id, OPEN)

    def _open(self) -> list[DeadLetter]:
        return [one for one in self._letters if self._state(one) == OPEN] if self._states else self._letters

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
        still = self._open()
        shown, where = newest(self._letters if closed else still, start, PAGE)
        return {
            "letters": [_told(replace(one, state=self._state(one)), texts=texts) for one in shown],
            "open": len(still),
            "older": self._older,
            **where,
        }

    def find(self, name: str) -> DeadLetter:
        """Return a letter without its message.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        known = next((one for one in self._letters if one.letter == name), None)
        if known is None:
            raise NotFoundError(f"There is no dead letter {name!r}.", mend="Read the list again.")
        return replace(known, state=self._state(known))


def _slim(letter: DeadLetter) -> DeadLetter:
    """Return a letter that takes little memory: the names that most have in common once, and no more than is listed."""
    return replace(
        letter,
        topic=sys.intern(letter.topic),
        service=sys.intern(letter.service),
        reason=sys.intern(letter.reason),
        message=letter.message[:_TOLD],
    )


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
    topic = _topic_of(name)
    return topic is not None and topic.restricted


def holds_labels(name: str) -> bool:
    """Return whether the content of a letter may tell labels of test rows, as a file on the wrong topic does too."""
    return restricted(name) or _topic_of(name) is UPLOADS


def _topic_of(name: str) -> Topic | None:
    return BY_NAME.get(name.split(":", 1)[0].removesuffix(_ENDING))


def _told(letter: DeadLetter, *, texts: bool) -> dict[str, Any]:
    return {
        "letter": letter.letter,
        "state": letter.state,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "service": letter.service,
        "reason": letter.reason,
        "message": letter.message[:_TOLD] if texts and not restricted(letter.letter) else "",
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
