"""A pandas frame as a block: columns inferred or held to the app's, labels coded, rows identified."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout
from easeml.relation.candidates import Candidates
from easeml.relation.columns import RowNames, codes_of, encode, infer, texts_of, unseen_of
from easeml.relation.validation import check_row_ids
from easeml.stream.payloads import Column

MOST_CLASSES = 50
"""More distinct labels than this, most of them once, are a quantity."""
MOST_FRACTIONS = 20
"""More distinct labels than this that are no whole numbers are a quantity."""

_HASHED_ROWS = 1 << 12

Unseen = tuple[int, str, str]
"""Place of the row, column and value of a category that the app does not know."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a frame is read; the fields are arguments of ``Relation.from_frame``."""

    label: str | None = None
    classes: Sequence[str] | None = None
    columns: Sequence[Column] | None = None
    row_ids: Sequence[str] | None = None
    ids_generated: bool = False
    require_labels: bool = False
    unseen: Literal["refuse", "missing"] = "refuse"


def block_of_frame(frame: pd.DataFrame, reading: Reading) -> tuple[Block, tuple[str, ...], tuple[Unseen, ...]]:
    """Return the rows of a frame, the label domain and the unseen values; errors as in ``Relation.from_frame``."""
    if not isinstance(frame, pd.DataFrame):
        raise InvalidDataError(
            f"The rows are a {type(frame).__name__}, not a data frame.", mend="Give a pandas DataFrame, one row each."
        )
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDataError(f"Column {twice[0]!r} occurs twice.", mend="Give every column its own name.")
    frame = _with_label(frame.set_axis(names, axis=1), reading)
    given = _given_ids(frame, reading)
    # Before the content is known, an error can only name the place of a row.
    rows = RowNames(None, frame.index) if reading.ids_generated or not given else RowNames(given)
    typed = _columns(frame, reading.label, reading.columns, rows)
    check_row_ids(given)
    domain, labels = _labels(frame, reading, rows)
    unseen: list[Unseen] = []
    if reading.unseen == "missing":
        frame, unseen = _without_unseen(frame, typed)
    numeric, codes, texts, tensor = _parts(frame, typed, rows)
    block = Block(typed, given or ("",) * len(frame), numeric, codes, texts, tensor, labels, Candidates())
    return (block if given else replace(block, row_ids=content_ids(block))), domain, tuple(unseen)


def _with_label(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Return the frame with its label column, which unlabelled rows of known classes need not have."""
    if reading.label is None or reading.label in frame.columns:
        return frame
    if not reading.classes or reading.require_labels:
        raise InvalidDataError(f"No label column {reading.label!r}.", mend=f"Columns are {', '.join(frame.columns)}.")
    return frame.assign(**{reading.label: None})


def _without_unseen(frame: pd.DataFrame, columns: tuple[Column, ...]) -> tuple[pd.DataFrame, list[Unseen]]:
    """Return the frame with unknown categories missing, and what they were, by row."""
    found: list[Unseen] = []
    for column in columns:
        cells = unseen_of(column, frame[column.name])
        if cells:
            kept = frame[column.name].astype(object).copy()
            kept.iloc[[place for place, _ in cells]] = None
            frame = frame.assign(**{column.name: kept})
            found += [(place, column.name, value) for place, value in cells]
    return frame, sorted(found)


def _columns(
    frame: pd.DataFrame, label: str | None, columns: Sequence[Column] | None, rows: RowNames
) -> tuple[Column, ...]:
    names = [name for name in frame.columns if name != label]
    if columns is None:
        return tuple(infer(name, frame[name], rows) for name in names)
    wanted = [column.name for column in columns]
    for what, odd in (
        ("Unknown", [name for name in names if name not in wanted]),
        ("Missing", [name for name in wanted if name not in names]),
    ):
        if odd:
            raise InvalidDataError(
                f"{what} column {', '.join(map(repr, odd))}.", mend=f"The app's columns are {', '.join(wanted)}."
            )
    return tuple(columns)


def _labels(frame: pd.DataFrame, reading: Reading, rows: RowNames) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    label = reading.label
    if label is None:
        if reading.require_labels:
            raise InvalidDataError("These rows need labels.", mend="Name the label column.")
        return (), np.full(len(frame), -1, np.int32)
    domain = _domain(frame[label], label) if reading.classes is None else tuple(reading.classes)
    codes = codes_of(frame[label], domain, rows, f"Label {label!r}")
    if reading.require_labels and (codes < 0).any():
        raise InvalidDataError(
            f"Label {label!r}, {rows[int(np.argmax(codes < 0))]}: missing.",
            mend="Label every row, or publish unlabelled rows to the pool.",
        )
    return domain, codes


def _domain(labels: pd.Series[Any], label: str) -> tuple[str, ...]:
    """Return the classes of a label column; a measured quantity has none."""
    texts = texts_of(labels)
    domain = tuple(sorted(set(texts) - {None}))
    known = int((texts != None).sum())  # noqa: E711 - elementwise
    fractions = pd.api.types.is_float_dtype(labels.dtype) and (labels.dropna() % 1 != 0).any()
    if (len(domain) > MOST_CLASSES and 2 * len(domain) > known) or (fractions and len(domain) > MOST_FRACTIONS):
        raise InvalidDataError(
            f"Label {label!r} has {len(domain):,} different values in {known:,} rows; it is a quantity, and version 1 "
            "is for classification.",
            mend="Name the column that holds the class, or cut the quantity into classes first (pandas.cut).",
        )
    return domain


def _given_ids(frame: pd.DataFrame, reading: Reading) -> tuple[str, ...]:
    row_ids = reading.row_ids
    if row_ids is not None:
        if len(row_ids) != len(frame):
            raise InvalidDataError(f"{len(row_ids)} row ids for {len(frame)} rows.", mend="Give one per row.")
        return tuple(map(str, row_ids))
    if reading.ids_generated:
        return ()
    if frame.index.name is not None or pd.api.types.is_string_dtype(frame.index):
        return tuple(map(str, frame.index))
    return ()


def _parts(frame: pd.DataFrame, columns: tuple[Column, ...], names: RowNames) -> tuple[NDArray[Any], ...]:
    widths, places = layout(columns)
    rows = len(frame)
    parts: dict[str, NDArray[Any]] = {
        NUMERIC: np.empty((rows, widths[NUMERIC])),
        CODES: np.empty((rows, widths[CODES]), np.int32),
        TEXTS: np.empty((rows, widths[TEXTS]), object),
        TENSOR: np.empty((rows, widths[TENSOR])),
    }
    for column, (part, place) in zip(columns, places, strict=True):
        cells = encode(column, frame[column.name], names)
        parts[part][:, place] = cells.reshape(rows, place.stop - place.start)
    return tuple(parts.values())


def content_ids(block: Block) -> tuple[str, ...]:
    """Return ids from the rows' content; the k-th repetition of a row ends in ``-k``."""
    names = [name for start in range(0, len(block), _HASHED_ROWS) for name in _names(block, start)]
    if len(set(names)) == len(names):
        return tuple(names)
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        if seen[name]:
            names[place] = f"{name}-{seen[name]}"
        seen[name] += 1
    return tuple(names)


def _names(block: Block, start: int) -> Iterator[str]:
    """Yield a digest of the content of each of some rows, whose numbers lie side by side in one piece of memory."""
    rows = slice(start, min(start + _HASHED_ROWS, len(block)))
    parts: list[NDArray[Any]] = [block.numeric[rows], block.codes[rows], block.tensor[rows], block.labels[rows, None]]
    table = np.hstack([np.ascontiguousarray(part).view(np.uint8) for part in parts if part.size])
    cells, width = table.tobytes(), table.shape[1]
    texts = block.texts[rows]
    words: Iterable[str] = map(repr, texts.tolist()) if texts.shape[1] else repeat("[]", len(texts))
    for end, text in zip(range(width, len(cells) + 1, width), words, strict=True):
        content = cells[end - width : end] + text.encode("utf-8", "surrogatepass")
        yield hashlib.blake2b(content, digest_size=8).hexdigest()
