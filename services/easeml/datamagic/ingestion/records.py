"""Where the records of a large text end, found by one pass forward: as ``readers.records`` will read them.

A quote opens only at the start of a field. One that never closes, or is followed by a letter where it closes, makes
its first line a broken record, and the next line is looked at anew.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.readers.account import Dialect
from easeml.datamagic.readers.records import MOST_LINES

_QUOTE, _NEWLINE, _BACKSLASH, _BLANK = b'"\n\\ '
_MOST_BLANKS = 256
Places = NDArray[np.int64]


def last_end(text: bytes, dialect: Dialect | None) -> int:
    r"""Return the end of the last whole record of a text that begins with one and may go on; 0 where there is none.

    Parameters
    ----------
    text : bytes
        Whole records and the beginning of another.
    dialect : Dialect or None
        How they are written; None: every line is one.

    Notes
    -----
    Cost: O(n), vectorised, and O(1) in Python per quoted field where some quote is astray.

    >>> comma = Dialect(",", ".", False, False, (), 2, 0, 0, "")
    >>> last_end(b'1,5" pipe\n2,"a\nb"\n3,"c\nd', comma)
    17
    """
    if dialect is None or (not dialect.escaped and b'"' not in text):
        return text.rfind(b"\n") + 1
    if dialect.escaped:
        return _escaped_end(text)
    data = np.frombuffer(text, np.uint8)
    lines = np.flatnonzero(data == _NEWLINE)
    if not len(lines):
        return 0
    quotes = np.flatnonzero(data == _QUOTE)
    first = np.ones(len(quotes), bool)
    first[1:] = np.diff(quotes) > 1
    begins = quotes[first]
    sizes = np.diff(np.append(np.flatnonzero(first), len(quotes)))
    opens = _opens(data, begins, dialect)
    closes = _closes(data, begins + sizes, dialect)
    return _end(lines, begins, sizes % 2 == 1, opens, closes)


def _escaped_end(text: bytes) -> int:
    """Return the end of the last line whose end does not belong to its last value."""
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        slash = end
        while slash and text[slash - 1] == _BACKSLASH:
            slash -= 1
        if (end - slash) % 2 == 0:
            return end + 1
    return 0


def _opens(data: NDArray[np.uint8], begins: Places, dialect: Dialect) -> NDArray[np.bool_]:
    """Return which runs of quotes begin a field."""
    before = begins - 1
    if dialect.spaced:
        for _ in range(_MOST_BLANKS):
            blank = (before >= 0) & (data[np.maximum(before, 0)] == _BLANK)
            if not blank.any():
                break
            before = before - blank
    found = data[np.maximum(before, 0)]
    starts: NDArray[np.bool_] = (before < 0) | (found == _NEWLINE) | (found == ord(dialect.delimiter))
    return starts


def _closes(data: NDArray[np.uint8], after: Places, dialect: Dialect) -> NDArray[np.bool_]:
    """Return which runs of quotes may end a field."""
    found = data[np.minimum(after, len(data) - 1)]
    ends: NDArray[np.bool_] = (after >= len(data)) | np.isin(
        found, np.frombuffer(f"{dialect.delimiter}\r\n".encode(), np.uint8)
    )
    return ends


def _end(
    lines: Places, begins: Places, odd: NDArray[np.bool_], opens: NDArray[np.bool_], closes: NDArray[np.bool_]
) -> int:
    inside = (np.cumsum(odd) - odd) % 2 == 1
    astray = np.where(inside, odd & ~closes, (odd & ~opens) | (~odd & opens & ~closes))
    pairs = begins[odd]
    spans = np.searchsorted(lines, pairs[1::2]) - np.searchsorted(lines, pairs[::2][: len(pairs) // 2])
    if astray.any() or (spans >= MOST_LINES).any():
        return _walked(lines, begins, odd, opens, closes)
    whole = np.flatnonzero(np.searchsorted(pairs, lines) % 2 == 0)
    record = int(whole[-1]) + 1 if len(whole) else 0
    if len(pairs) % 2 and len(lines) - record > MOST_LINES:
        return _walked(lines, begins, odd, opens, closes)  # the last quote can never close
    return int(lines[record - 1]) + 1 if record else 0


def _walked(
    lines: Places, begins: Places, odd: NDArray[np.bool_], opens: NDArray[np.bool_], closes: NDArray[np.bool_]
) -> int:
    """Go from field to field; each quote is looked at once more only after one that was astray."""
    line_of = np.searchsorted(lines, begins).tolist()
    partner = np.flatnonzero(odd)
    following = np.append(partner, -1)[np.searchsorted(partner, np.arange(len(begins)), side="right")].tolist()
    odds, starts, ends = odd.tolist(), opens.tolist(), closes.tolist()
    count, total = len(begins), len(lines)
    at = least = record = reached = 0
    while at < count:
        line = line_of[at]
        if line < least or not starts[at]:
            at += 1
            continue
        record = record if reached == line and record >= least else line
        close = following[at] if odds[at] else at
        if close < 0:
            if total - record <= MOST_LINES:
                return int(lines[record - 1]) + 1 if record else 0
            broken = True
        else:
            broken = not ends[close] or line_of[close] - record >= MOST_LINES
        if broken:
            least = record + 1
            at = bisect_left(line_of, least)
            reached = -1
            continue
        reached, at = line_of[close], close + 1
    return int(lines[-1]) + 1
