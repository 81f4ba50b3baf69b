"""Numbers as people write them: thousands separators, decimal commas, percent, currencies, accounting brackets.

``1,234`` is a thousand in one country and a little more than one in another; one value cannot tell, a column can.
``amount_format`` decides for a whole column, ``amounts`` reads by that decision and leaves what breaks it NaN.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOSTLY = 0.9
"""Share of a column that decides for the rest."""
_CURRENCIES = r"[$€£¥₹₽₩₺]|(?:US\$|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|Fr\.)(?![A-Za-z])"
_AMOUNT = re.compile(
    rf"""(?P<open>\()?\s*(?P<sign>[+\-−])?\s*(?P<before>{_CURRENCIES})?\s*(?P<inner>[+\-−])?\s*
    (?P<core>\d[\d.,'’\u00a0\u202f\u2009\ ]*|[.,]\d+)(?P<power>[eE][+\-]?\d{{1,3}})?
    \s*(?P<percent>%)?\s*(?P<after>{_CURRENCIES})?\s*(?P<close>\))?""",
    re.VERBOSE,
)
_SPACED = re.compile(r"\d{1,3}(?:[ '’\u00a0\u202f\u2009]\d{3})+(?=[.,]|$)")
_GAPS = re.compile(r"[ '’\u00a0\u202f\u2009]")
_POINT = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d*)?")
_COMMA = re.compile(r"(?:\d{1,3}(?:\.\d{3})+|\d*)(?:,\d*)?")
_EITHER_POINT = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_EITHER_COMMA = re.compile(r"[1-9]\d{0,2},\d{3}")
_SAMPLE = 300


@dataclass(frozen=True, slots=True)
class AmountFormat:
    """How the numbers of a column are written.

    Parameters
    ----------
    plain : bool
        Whether all are what a programming language writes.
    decimal_comma : bool
        Whether the comma is the decimal mark and the point separates thousands.
    percent : bool
        Whether every number is followed by ``%``; it is read as a hundredth.
    currency : str
        The one currency that occurs, or "".
    """

    plain: bool = True
    decimal_comma: bool = False
    percent: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True)
class _Written:
    core: str
    sign: float
    power: str
    percent: bool
    currency: str


def plain_numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the texts that are plain finite numbers as numbers, NaN for all others."""
    parsed = pd.to_numeric(pd.Series(list(texts), dtype=object), errors="coerce")
    numbers = parsed.to_numpy(np.float64, na_value=np.nan).copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def amount_format(texts: Sequence[str], counts: NDArray[np.int64]) -> AmountFormat | None:
    """Return how the numbers of a column are written, or None when fewer than 90 % of it are numbers.

    Parameters
    ----------
    texts : sequence of str
        Distinct values, stripped, none missing.
    counts : ndarray of int64
        How many rows hold each.
    """
    total = counts.sum()
    plain = np.isfinite(plain_numbers(texts))
    if plain.all():
        return AmountFormat()
    sample = [text for text, known in zip(texts[:_SAMPLE], plain, strict=False) if not known]
    if sample and sum(_written(text) is not None for text in sample) == 0 and len(texts) > _SAMPLE:
        return AmountFormat() if counts[plain].sum() >= MOSTLY * total else None
    written = [_written(text) for text in texts]
    found = [(item, int(count)) for item, count in zip(written, counts, strict=True) if item is not None]
    weight = sum(count for _, count in found)
    if weight < MOSTLY * total:
        return AmountFormat() if counts[plain].sum() >= MOSTLY * total else None
    percent = sum(count for item, count in found if item.percent) / weight
    currencies: dict[str, int] = {}
    for item, count in found:
        if item.currency:
            currencies[item.currency] = currencies.get(item.currency, 0) + count
    style = AmountFormat(
        plain=False,
        decimal_comma=_decimal_comma(found),
        percent=percent >= 0.5,
        currency=max(currencies, key=lambda name: (currencies[name], name)) if currencies else "",
    )
    if counts[plain].sum() >= MOSTLY * total and not style.decimal_comma and not style.percent:
        style = AmountFormat(plain=False, currency=style.currency)
    return style if counts[np.isfinite(amounts(texts, style))].sum() >= MOSTLY * total else None


def amounts(texts: Sequence[str], style: AmountFormat) -> NDArray[np.float64]:
    """Return texts as numbers by the decision of their column; NaN where a text breaks it."""
    if style.plain:
        return plain_numbers(texts)
    return np.fromiter((_number(text, style) for text in texts), np.float64, len(texts))


def _written(text: str) -> _Written | None:
    match = _AMOUNT.fullmatch(text)
    if match is None or bool(match["open"]) != bool(match["close"]) or (match["sign"] and match["inner"]):
        return None
    core = match["core"].rstrip()
    spaced = _SPACED.match(core)
    if spaced:
        core = _GAPS.sub("", spaced[0]) + core[spaced.end() :]
    if not core.isascii() or not (_POINT.fullmatch(core) or _COMMA.fullmatch(core)):
        return None
    negative = bool(match["open"]) or (match["sign"] or match["inner"] or "") in ("-", "−")
    currency = (match["before"] or match["after"] or "").strip()
    return _Written(core, -1.0 if negative else 1.0, match["power"] or "", bool(match["percent"]), currency)


def _decimal_comma(found: list[tuple[_Written, int]]) -> bool:
    """Whether the values that can only be read one way use the comma as decimal mark."""
    comma = point = 0
    for item, count in found:
        core = item.core
        if not set(core) & {".", ","} or _EITHER_POINT.fullmatch(core) or _EITHER_COMMA.fullmatch(core):
            continue
        if _POINT.fullmatch(core):
            point += count
        else:
            comma += count
    return comma > point


def _number(text: str, style: AmountFormat) -> float:
    item = _written(text)
    if item is None or item.percent != style.percent or (item.currency and item.currency != style.currency):
        return np.nan
    if style.decimal_comma:
        if not _COMMA.fullmatch(item.core):
            return np.nan
        digits = item.core.replace(".", "").replace(",", ".")
    else:
        if not _POINT.fullmatch(item.core):
            return np.nan
        digits = item.core.replace(",", "")
    number = item.sign * float(digits + item.power)
    return number / 100 if style.percent else number
