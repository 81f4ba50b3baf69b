"""Dead letters for people: list them, look at one, send them on their way again, or put them away.

A letter is open until a *mark* names its id: a message without a value in the same partition of the dead-letter
topic. The same message given up twice by one service, as after a crash, is one letter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from easeml.errors import ConflictError, NotFoundError
from easeml.stream.admin import existing
from easeml.stream.bulk import BulkReader
from easeml.stream.messages import Message, Record
from easeml.stream.poison import EVERY_SERVICE, PREFIX, REDRIVE, REDRIVE_FOR
from easeml.stream.reader import TopicReader
from easeml.stream.sending import send
from easeml.stream.settings import Settings

OPEN, REDRIVEN, DISCARDED = "open", "redriven", "discarded"
MARK = f"{PREFIX}mark"
MARKED = f"{PREFIX}marked"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that a service gave up, with its cause.

    Parameters
    ----------
    letter : str
        Name for people: ``<dead-letter topic>:<partition>:<offset>``.
    topic, partition, offset : str, int, int
        Where the original message was; offset -1 when it is not known.
    service : str
        Service that gave it up.
    reason, message : str
        Machine-readable cause and the text: what, where, how to mend it.
    time : float
        When, in seconds since 1970 UTC.
    raw : Record
        The original bytes and headers.
    id : str
        The same for the same message given up by the same service.
    state : str
        ``open``, ``redriven`` or ``discarded``.
    """

    letter: str
    topic: str
    partition: int
    offset: int
    service: str
    reason: str
    message: str
    time: float
    raw: Record
    id: str
    state: str = OPEN

    @property
    def original(self) -> tuple[str, int, int]:
        """Where the message was; the letter's own place when that is not known."""
        here = (self.raw.topic, self.raw.partition, self.raw.offset)
        return (self.topic, self.partition, self.offset) if self.offset >= 0 else here


def headers_of(raw: Record) -> dict[str, str]:
    """Return the headers of a message as text."""
    return {name: (value or b"").decode(errors="replace") for name, value in raw.headers}


def letter_of(raw: Record, headers: Mapping[str, str], state: str) -> DeadLetter:
    """Return the dead letter of a message that is no mark, given its ``headers_of``."""
    letter = f"{raw.topic}:{raw.partition}:{raw.offset}"
    return DeadLetter(
        letter,
        headers.get(f"{PREFIX}topic", raw.topic.removesuffix(".dlq")),
        int(_number(headers, "partition", raw.partition)),
        int(_number(headers, "offset", -1)),
        headers.get(f"{PREFIX}service", "?"),
        headers.get(f"{PREFIX}reason", "?"),
        headers.get(f"{PREFIX}message", ""),
        _number(headers, "time", raw.seconds),
        raw,
        headers.get(f"{PREFIX}id", letter),
        state,
    )


def _number(headers: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(headers.get(PREFIX + name, otherwise))
    except ValueError:  # anybody may write to the topic
        return otherwise


def read(settings: Settings, topic: str | None = None, *, closed: bool = False) -> Iterator[DeadLetter]:
    """Yield the open dead letters of the cluster, or of one topic.

    Parameters
    ----------
    settings : Settings
        Cluster.
    topic : str, optional
        A topic or its dead-letter topic.
    closed : bool
        Yield those that were redriven or discarded too.

    Raises
    ------
    NotFoundError
        When the topic has no dead-letter topic.
    """
    names = [name for name in existing(settings) if name.endswith(".dlq")]
    if topic is not None:
        wanted = topic if topic.endswith(".dlq") else f"{topic}.dlq"
        if wanted not in names:
            raise NotFoundError(f"There is no dead-letter topic {wanted}.", mend="'easeml topics' lists the topics.")
        names = [wanted]
    found: dict[str, tuple[Record, dict[str, str]]] = {}
    marks: dict[str, str] = {}
    reader = TopicReader(settings, names)
    try:
        for raw in reader.replay_raw():
            headers = headers_of(raw)
            if MARK in headers:
                identity = headers.get(MARKED, "")
                marks[identity] = headers[MARK]
                if not closed:
                    found.pop(identity, None)
                continue
            identity = headers.get(f"{PREFIX}id", f"{raw.topic}:{raw.partition}:{raw.offset}")
            if closed or identity not in marks:
                found.setdefault(identity, (raw, headers))
    finally:
        reader.close()
    for identity, (raw, headers) in found.items():
        yield letter_of(raw, headers, marks.get(identity, OPEN))


def find(settings: Settings, letter: str) -> DeadLetter:
    """Return the dead letter of this name, open or not.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    topic = letter.split(":", 1)[0]
    for found in read(settings, topic, closed=True):
        if found.letter == letter:
            return found
    raise NotFoundError(f"There is no dead letter {letter!r}.", mend="'easeml dead-letters list' shows their names.")


def redrive(settings: Settings, letters: Sequence[DeadLetter]) -> int:
    """Publish the original messages again, for the services that gave them up, and mark the letters.

    A message that several services gave up is sent once, for all of those whose letters are given.

    Returns
    -------
    int
        Number of messages sent.

    Raises
    ------
    ConflictError
        When a letter is not open any more.
    NotFoundError
        When a message that was too large to be kept in its letter has expired.
    UnavailableError
        When the broker does not take them.
    """
    _refuse_closed(letters)
    groups: dict[tuple[str, int, int], list[DeadLetter]] = {}
    for letter in letters:
        groups.setdefault(letter.original, []).append(letter)
    send(settings, [_again(settings, group) for group in groups.values()])
    send(settings, [_mark(letter, REDRIVEN) for letter in letters])
    return len(groups)


def discard(settings: Settings, letters: Sequence[DeadLetter]) -> None:
    """Mark letters as put away: their messages are given up for good.

    Raises
    ------
    ConflictError
        When a letter is not open any more.
    UnavailableError
        When the broker does not take the marks.
    """
    _refuse_closed(letters)
    send(settings, [_mark(letter, DISCARDED) for letter in letters])


def _refuse_closed(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        if letter.state != OPEN:
            raise ConflictError(
                f"Dead letter {letter.letter} was {letter.state} already.",
                mend="When its message fails again, a new letter tells so: 'easeml dead-letters list' shows it.",
            )


def _again(settings: Settings, group: Sequence[DeadLetter]) -> Message:
    first = group[0]
    times = 1 + max(sum(name == REDRIVE for name, _ in letter.raw.headers) for letter in group)
    kept = [(n, v or b"") for n, v in first.raw.headers if not n.startswith(PREFIX) and n not in (REDRIVE, REDRIVE_FOR)]
    again = [(REDRIVE, str(n + 1).encode()) for n in range(times)]
    services = {letter.service for letter in group}
    if EVERY_SERVICE not in services:
        again.append((REDRIVE_FOR, ",".join(sorted(services)).encode()))
    return Message(first.topic, first.partition, first.raw.key, _value(settings, first), (*kept, *again))


def _value(settings: Settings, letter: DeadLetter) -> bytes | None:
    if f"{PREFIX}size" not in headers_of(letter.raw):
        return letter.raw.value
    reader = BulkReader(settings)  # the letter holds an excerpt only
    try:
        reader.begin({(letter.topic, letter.partition): (letter.offset, letter.offset + 1)})
        found = reader.chunk()
    finally:
        reader.close()
    if not found or found[0].offset != letter.offset:
        raise NotFoundError(
            f"The message of dead letter {letter.letter} has expired; it was too large to be kept with it.",
            mend="Publish its content again in smaller parts, then 'easeml dead-letters discard' the letter.",
        )
    return found[0].value


def _mark(letter: DeadLetter, state: str) -> Message:
    headers = ((MARK, state.encode()), (MARKED, letter.id.encode()), (f"{PREFIX}time", repr(time.time()).encode()))
    return Message(letter.raw.topic, letter.raw.partition, letter.id.encode(), None, headers)
