"""Words that are probably another, frequent word: spelt in another way (Zurich, ZÜRICH for Zürich), or misspelt.

Spelt in another way: alike but for case, accents, spaces and punctuation between letters. Signs that may be all that
tells two words apart (A+ and A-, <50 and >50, C and C#, 1.5 and 15) count.

Distance: restricted Damerau-Levenshtein (insertion, deletion, substitution, swap of neighbours; Damerau, CACM 1964).
Candidates are found by common deletions (symmetric deletes, as in SymSpell), so ten thousand words cost ten thousand
look-ups, not a hundred million distances. Words that differ in a digit are never taken for misspelt: A12 is not A13.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from unicodedata import combining, normalize

import numpy as np
from numpy.typing import NDArray

LEAST_RATIO = 10
"""How much more frequent the right word must be."""
_LEAST_ALIKE = 3
_SELDOM = 0.01
_MOST_SINGLE = 2
_LEAST_LENGTH = 4
_LONG = 8
_MOST_LENGTH = 40
_BETWEEN = re.compile(r"(?<=[^\W\d_])[\s._'’-]+(?=[^\W\d_])")
_PARTS = re.compile(r"[^\W_]+")


class Correction(NamedTuple):
    """A misspelt word.

    Parameters
    ----------
    right : str
        The frequent word.
    distance : int
        Edits between them; 0: only case, accents, spaces or punctuation differ.
    score : float
        How sure, in (0, 1).
    """

    right: str
    distance: int
    score: float


def edits(a: str, b: str, most: int) -> int:
    """Return the edit distance of two words, or ``most + 1`` when it is larger; O(len(a) * len(b)).

    >>> edits("Berlin", "Brelin", 2), edits("Berlin", "Paris", 2)
    (1, 3)
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    older: list[int] = []
    old = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(old[j] + 1, row[j - 1] + 1, old[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        older, old = old, row
    return min(old[-1], most + 1)


def _plain(word: str) -> str:
    bare = "".join(mark for mark in normalize("NFKD", word.casefold()) if not combining(mark))
    return _BETWEEN.sub("", bare.strip().rstrip(".")).strip()


def _differ_in_little(word: str, right: str) -> bool:
    """Whether two words of as many parts differ in one that is too short to be misspelt: grade A, grade B."""
    parts, others = (_PARTS.findall(own.casefold()) for own in (word, right))
    return len(parts) == len(others) and any(
        part != other and len(other) < _LEAST_LENGTH for part, other in zip(parts, others, strict=True)
    )


def _digits(word: str) -> str:
    return "".join(mark for mark in word if mark.isdigit())


def _deletes(word: str, count: int) -> Iterator[str]:
    """Yield the word with up to ``count`` letters taken out."""
    seen, last = {word}, {word}
    yield word
    for _ in range(count):
        last = {own[:place] + own[place + 1 :] for own in last for place in range(len(own))} - seen
        seen |= last
        yield from last


class Speller:
    """Finds the frequent word that a rare one is meant to be.

    Parameters
    ----------
    words : sequence of str
        Distinct words.
    counts : ndarray of int64
        How often each occurs.

    Notes
    -----
    Of words that are spelt alike, the one that occurs at least three times and twice as often as another is right.
    A misspelt word is ten times as rare as the right one, and hardly repeats: one letter wrong in the same way time and
    again is a word of its own. Short words (under four letters) are not taken for misspelt, those from eight letters on
    within two edits, all others within one.
    """

    def __init__(self, words: Sequence[str], counts: NDArray[np.int64]) -> None:
        self._counts = dict(zip(words, counts.tolist(), strict=True))
        self._plain: dict[str, list[str]] = defaultdict(list)
        self._near: dict[str, list[str]] = defaultdict(list)
        for word, count in sorted(self._counts.items()):
            plain = _plain(word)
            if not plain or count < _LEAST_ALIKE:
                continue
            self._plain[plain].append(word)
            if count >= LEAST_RATIO and _LEAST_LENGTH <= len(plain) <= _MOST_LENGTH:
                for key in _deletes(plain, self._reach(plain)):
                    self._near[key].append(word)

    @staticmethod
    def _reach(plain: str) -> int:
        return 2 if len(plain) >= _LONG else 1

    def correct(self, word: str) -> Correction | None:
        """Return what a word is meant to be, or None when it stands for itself; the more frequent wins a tie."""
        plain, count = _plain(word), self._counts.get(word, 1)
        alike = self._plain.get(plain, []) if plain else []
        found = [(0, -self._counts[own], own) for own in alike if own != word and self._counts[own] >= 2 * count]
        if not found and _LEAST_LENGTH <= len(plain) <= _MOST_LENGTH:
            others = {other for key in _deletes(plain, self._reach(plain)) for other in self._near.get(key, [])}
            found = list(self._misspelt(word, plain, count, others))
        if not found:
            return None
        distance, weight, right = min(found)
        sure = 0.95 if distance == 0 else 0.9 if distance == 1 else 0.7
        return Correction(right, distance, sure * (1 - count / (count - weight)))

    def _misspelt(self, word: str, plain: str, count: int, others: Iterable[str]) -> Iterator[tuple[int, int, str]]:
        for other in others:
            target = _plain(other)
            most = self._reach(min(plain, target, key=len))
            distance = edits(plain, target, most)
            if (
                other != word
                and 0 < distance <= most
                and self._counts[other] >= LEAST_RATIO * count
                and count <= _MOST_SINGLE + _SELDOM * self._counts[other]
                and not _differ_in_little(word, other)
                and _digits(word) == _digits(other)
            ):
                yield distance, -self._counts[other], other
