"""Dates as people write them: ISO, day first, month first, month names, two-digit years, several in one column.

Whether ``03/04/2021`` is in March or in April is decided by those values of the column, written with the same
separator, that can only be read one way; a point means day first, as in the countries that write it. Values that
nobody can decide are left out, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOSTLY = 0.9
"""Share of a column that decides for the rest."""
PIVOT = 69
"""Two-digit years from here on are of the 20th century (POSIX)."""
_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
_DIGITS = re.compile(r"(?P<a>\d{1,4})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})" + _TIME)
_DAY_NAME = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s./-]*(?P<month>[A-Za-z]{3,9})\.?[\s,./-]*(?P<year>\d{4}|\d{2})"
    + _TIME
)
_NAME_DAY = re.compile(
    r"(?:[A-Za-z]{3,9},\s+)?(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4}|\d{2})"
    + _TIME
)
_COMPACT = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:$|[T ])")
_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class DateFormat:
    """How the dates of a column are read.

    Parameters
    ----------
    day_first : tuple of (str, bool)
        Per separator, whether the day stands before the month; a separator that is not named is undecided.
    compact : bool
        Whether eight digits are a date.
    """

    day_first: tuple[tuple[str, bool], ...] = ()
    compact: bool = False


@dataclass(frozen=True, slots=True)
class DateReading:
    """What a column of texts says.

    Parameters
    ----------
    moments : ndarray of datetime64[us]
        UTC; NaT where a text is no date or cannot be decided.
    undecided : ndarray of bool
        Dates whose day and month nobody can tell apart.
    """

    moments: NDArray[np.datetime64]
    undecided: NDArray[np.bool_]


def date_format(texts: Sequence[str], counts: NDArray[np.int64], *, compact: bool = False) -> DateFormat | None:
    """Return how the dates of a column are read, or None when fewer than 90 % of it are dates.

    Parameters
    ----------
    texts : sequence of str
        Distinct values, stripped, none missing.
    counts : ndarray of int64
        How many rows hold each.
    compact : bool
        Whether eight digits may be a date (the column's name says so, or the user).
    """
    sample = texts[:: max(len(texts) // _SAMPLE, 1)]
    if sum(_match(text, compact=compact) is not None for text in sample) < 0.5 * len(sample):
        return None
    votes: dict[str, list[int]] = {}
    for text, count in zip(texts, counts.tolist(), strict=True):
        match = None if _ISO.match(text) else _DIGITS.fullmatch(text)
        if match is None or _year_first(match):
            continue
        a, b = int(match["a"]), int(match["b"])
        vote = votes.setdefault(match["mark"], [0, 0])
        vote[0] += count * (12 < a <= 31 and b <= 12)
        vote[1] += count * (12 < b <= 31 and a <= 12)
    style = DateFormat(_decided(votes), compact)
    reading = dates(texts, style)
    fits = ~np.isnat(reading.moments) | reading.undecided
    return style if counts[fits].sum() >= MOSTLY * counts.sum() else None


def _decided(votes: dict[str, list[int]]) -> tuple[tuple[str, bool], ...]:
    """Return day or month first per separator; one without evidence follows the others, a point is day first."""
    decided: dict[str, bool] = {}
    for mark, (day, month) in votes.items():
        if day + month and max(day, month) >= MOSTLY * (day + month):
            decided[mark] = day > month
    others = {first for mark, first in decided.items() if mark != "."}
    for mark, (day, month) in votes.items():
        if mark in decided or day + month:
            continue
        if mark == ".":
            decided[mark] = True
        elif len(others) == 1:
            decided[mark] = next(iter(others))
    return tuple(sorted(decided.items()))


def dates(texts: Sequence[str], style: DateFormat) -> DateReading:
    """Return texts as moments by the decision of their column."""
    moments = np.full(len(texts), np.datetime64("NaT"), "datetime64[us]")
    undecided = np.zeros(len(texts), bool)
    order = dict(style.day_first)
    iso = np.fromiter((_ISO.match(text) is not None for text in texts), np.bool_, len(texts))
    if iso.any():
        chosen = pd.Series([text for text, own in zip(texts, iso, strict=True) if own], dtype=object)
        parsed = pd.to_datetime(chosen, utc=True, format="ISO8601", errors="coerce")
        moments[iso] = parsed.dt.tz_localize(None).to_numpy("datetime64[us]")
    for place in np.flatnonzero(np.isnat(moments)).tolist():
        moment = _moment(texts[place], order, compact=style.compact)
        if moment is None:
            undecided[place] = True
        elif moment:
            moments[place] = np.datetime64(moment, "us")
    return DateReading(moments, undecided)


def _match(text: str, *, compact: bool) -> re.Match[str] | None:
    for pattern in (_DIGITS, _DAY_NAME, _NAME_DAY, *((_COMPACT,) if compact else ())):
        match: re.Match[str] | None = pattern.fullmatch(text)
        if match is not None and (pattern in (_DIGITS, _COMPACT) or _month(match["month"])):
            return match
    return None


def _year_first(match: re.Match[str]) -> bool:
    return len(match["a"]) > 2 or int(match["a"]) > 31


def _month(name: str) -> int:
    """Return the number of an English month or its abbreviation, 0 for anything else."""
    word = name.lower()
    word = "sep" if word == "sept" else word
    return next((place for place, full in enumerate(_NAMES, 1) if full == word or full[:3] == word), 0)


def _moment(text: str, order: dict[str, bool], *, compact: bool) -> datetime | str | None:
    """Return the moment of a text in UTC without zone; "" for no date, None for one that cannot be decided."""
    match = _match(text, compact=compact)
    if match is None:
        return ""
    if match.re is not _DIGITS:
        month = int(match["month"]) if match.re is _COMPACT else _month(match["month"])
        return _built(match, match["year"], month, int(match["day"])) or ""
    a, b = int(match["a"]), int(match["b"])
    if _year_first(match):
        return _built(match, match["a"], b, int(match["c"])) or ""
    if a > 12 or b > 12:
        day, month = (a, b) if a > 12 else (b, a)
    elif a == b or match["mark"] in order:
        day, month = (a, b) if order.get(match["mark"], True) else (b, a)
    else:
        return None if _built(match, match["c"], b, a) else ""
    return _built(match, match["c"], month, day) or ""


def _built(match: re.Match[str], year: str, month: int, day: int) -> datetime | None:
    """Return the moment, or None where the calendar or the clock has none."""
    if len(year) not in (2, 4):
        return None
    full = int(year) if len(year) == 4 else int(year) + (1900 if int(year) >= PIVOT else 2000)
    clock = match.groupdict() if match.re is not _COMPACT else {}
    try:
        moment = datetime(full, month, day, tzinfo=UTC)
        if clock.get("hour") is None:
            return moment.replace(tzinfo=None)
        hour = int(clock["hour"])
        if clock["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + 12 * clock["half"].lower().startswith("p")
        moment = datetime(
            full,
            month,
            day,
            hour,
            int(clock["minute"]),
            int(clock["second"] or 0),
            int((clock["fraction"] or "0").ljust(6, "0")[:6]),
            tzinfo=_zone(clock["zone"]),
        )
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
