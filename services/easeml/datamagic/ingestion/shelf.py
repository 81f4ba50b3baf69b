"""Digests that only grow: the service writes each once, and a worker process reads on from where it was.

What is known of an app is as large as its pillars, and every slice of a large file is compared with it. It travels by a
file in memory, 8 bytes a digest, of which a slice is told how far to read; the worker keeps what it has read, sorted.
Source: O'Neil et al., The log-structured merge-tree, Acta Informatica 1996.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from easeml.errors import UnavailableError

Words = NDArray[np.uint64]
T = TypeVar("T")
_KEPT = 2
"""Apps whose digests a worker process keeps."""
_BYTES = 8
_HEAD = 16
"""Bytes of a file's name for itself: a file that was closed may have left its path to another."""


class Digests:
    """A set of digests: sorted runs, each at least twice as long as the next.

    Adding n of them one batch at a time costs O(n log n) in all; asking for one costs O(log n) per run.

    >>> digests = Digests.of(np.array([7, 3], np.uint64))
    >>> digests.has(np.array([3, 4], np.uint64)).tolist(), len(digests)
    ([True, False], 2)
    """

    def __init__(self) -> None:
        self._runs: list[Words] = []

    @classmethod
    def of(cls, words: Words) -> Self:
        """Return the set of some digests."""
        own = cls()
        own.add(words)
        return own

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, words: Words) -> None:
        """Add digests; one that comes again counts again."""
        run = np.sort(words)
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # merges what is sorted already
        if len(run):
            self._runs.append(run)

    def has(self, words: Words) -> NDArray[np.bool_]:
        """Return which of some digests are there."""
        found = np.zeros(len(words), bool)
        for run in self._runs:
            found |= run[np.minimum(np.searchsorted(run, words), len(run) - 1)] == words
        return found

    def every(self) -> Words:
        """Return all of them."""
        return np.concatenate([np.empty(0, np.uint64), *self._runs])


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a shelf was filled.

    Parameters
    ----------
    token : str
        Names the shelf.
    path : str
        Its file, for processes of this machine.
    start, stop : int
        The first digest that counts, and the one after the last.
    """

    token: str
    path: str
    start: int
    stop: int


class Shelf(Generic[T]):
    """The digests of a list of things that only grows, in a file that is gone with this process.

    Parameters
    ----------
    digests : callable
        Returns the digests of one thing.
    """

    def __init__(self, digests: Callable[[T], Words]) -> None:
        self._digests = digests
        self._things: Sequence[T] | None = None
        self._file: IO[bytes]

    def mark(self, things: Sequence[T], since: int = 0) -> Mark:
        """Fill the shelf up to the end of the list, and return the place of all things but the first ``since``."""
        if things is not self._things:
            self._things, self._ends, self._token = things, [0], secrets.token_hex(8)
            self._file, self._path = _opened()
            self._file.write(self._token.encode())
        for thing in things[len(self._ends) - 1 :]:
            words = self._digests(thing)
            self._file.write(words.tobytes())
            self._ends.append(self._ends[-1] + len(words))
        self._file.flush()
        return Mark(f"{self._token}.{since}", self._path, self._ends[since], self._ends[-1])


def _opened() -> tuple[IO[bytes], str]:
    if hasattr(os, "memfd_create"):
        file: Any = os.fdopen(os.memfd_create("easeml-digests"), "wb")
        return file, f"/proc/{os.getpid()}/fd/{file.fileno()}"
    file = tempfile.NamedTemporaryFile(prefix="easeml-digests-")  # noqa: SIM115 - gone with the shelf
    return file, file.name


_kept: OrderedDict[str, dict[str, tuple[int, Digests]]] = OrderedDict()


def read(app: str, marks: dict[str, Mark]) -> dict[str, Digests]:
    """Return the digests of an app up to its marks, by name; those that this process knows are not read again.

    Raises
    ------
    UnavailableError
        When a shelf was cleared meanwhile: ask for other marks.
    """
    before, now = _kept.pop(app, {}), {}
    for mark in marks.values():
        end, digests = before.get(mark.token, (mark.start, Digests()))
        if end > mark.stop:  # an earlier slice is done again
            end, digests = mark.start, Digests()
        digests.add(_words(mark, end))
        now[mark.token] = (mark.stop, digests)
    _kept[app] = now
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return {name: now[mark.token][1] for name, mark in marks.items()}


def _words(mark: Mark, start: int) -> Words:
    try:
        with open(mark.path, "rb") as file:  # noqa: PTH123 - the path of an open file
            name = file.read(_HEAD).decode("ascii", "replace")
            file.seek(_HEAD + start * _BYTES)
            content = file.read((mark.stop - start) * _BYTES)
    except OSError as error:
        raise UnavailableError(f"What is known is no longer at {mark.path}: {error}.", mend="Try again.") from error
    if name != mark.token.partition(".")[0]:
        raise UnavailableError(f"What is known is no longer at {mark.path}.", mend="Try again.")
    return np.frombuffer(content, np.uint64)
