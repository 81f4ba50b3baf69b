"""A pandas frame as a block: columns inferred or held to the app's, labels coded, rows identified."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout
from easeml.relation.candidates import Candidates
from easeml.relation.columns import codes_of, encode, infer, texts_of
from easeml.relation.validation import check_row_ids
from easeml.stream.payloads import Column


def block_of_frame(
    frame: pd.DataFrame,
    label: str | None,
    classes: Sequence[str] | None,
    columns: Sequence[Column] | None,
    row_ids: Sequence[str] | None,
    *,
    require_labels: bool,
) -> tuple[Block, tuple[str, ...]]:
    """Return the rows of a frame and the label domain; arguments and errors as in ``Relation.from_frame``."""
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDataError(f"Column {twice[0]!r} occurs twice.", mend="Give every column its own name.")
    frame = frame.set_axis(names, axis=1)
    typed = _columns(frame, label, columns)
    given = _given_ids(frame, row_ids)
    # Before the content is known, an error can only name the place of a row.
    shown = given or tuple(f"#{place}" for place in range(len(frame)))
    check_row_ids(shown)
    domain, labels = _labels(frame, label, classes, shown, required=require_labels)
    numeric, codes, texts, tensor = _parts(frame, typed, shown)
    block = Block(typed, shown, numeric, codes, texts, tensor, labels, Candidates())
    return (block if given else replace(block, row_ids=_content_ids(block))), domain


def _columns(frame: pd.DataFrame, label: str | None, columns: Sequence[Column] | None) -> tuple[Column, ...]:
    names = [name for name in frame.columns if name != label]
    if label is not None and label not in frame.columns:
        raise InvalidDataError(f"No label column {label!r}.", mend=f"Columns are {', '.join(names)}.")
    if columns is None:
        return tuple(infer(name, frame[name]) for name in names)
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


def _labels(
    frame: pd.DataFrame, label: str | None, classes: Sequence[str] | None, row_ids: Sequence[str], *, required: bool
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    if label is None:
        if required:
            raise InvalidDataError("These rows need labels.", mend="Name the label column.")
        return (), np.full(len(frame), -1, np.int32)
    domain = tuple(sorted(set(texts_of(frame[label])) - {None})) if classes is None else tuple(classes)
    codes = codes_of(frame[label], domain, row_ids, f"Label {label!r}")
    if required and (codes < 0).any():
        raise InvalidDataError(
            f"Label {label!r}, row {row_ids[int(np.argmax(codes < 0))]!r}: missing.",
            mend="Label every row, or publish unlabelled rows to the pool.",
        )
    return domain, codes


def _given_ids(frame: pd.DataFrame, row_ids: Sequence[str] | None) -> tuple[str, ...]:
    if row_ids is not None:
        if len(row_ids) != len(frame):
            raise InvalidDataError(f"{len(row_ids)} row ids for {len(frame)} rows.", mend="Give one per row.")
        return tuple(map(str, row_ids))
    if frame.index.name is not None or pd.api.types.is_string_dtype(frame.index):
        return tuple(map(str, frame.index))
    return ()


def _parts(frame: pd.DataFrame, columns: tuple[Column, ...], row_ids: Sequence[str]) -> tuple[NDArray[Any], ...]:
    widths, places = layout(columns)
    rows = len(frame)
    parts: dict[str, NDArray[Any]] = {
        NUMERIC: np.empty((rows, widths[NUMERIC])),
        CODES: np.empty((rows, widths[CODES]), np.int32),
        TEXTS: np.empty((rows, widths[TEXTS]), object),
        TENSOR: np.empty((rows, widths[TENSOR])),
    }
    for column, (part, place) in zip(columns, places, strict=True):
        cells = encode(column, frame[column.name], row_ids)
        parts[part][:, place] = cells.reshape(rows, -1)
    return tuple(parts.values())


def _content_ids(block: Block) -> tuple[str, ...]:
    """Return ids from the rows' content; the k-th repetition of a row ends in ``-k``."""
    seen: Counter[str] = Counter()
    ids = []
    for row in range(len(block)):
        digest = hashlib.blake2b(digest_size=8)
        for part in (block.numeric, block.codes, block.tensor, block.labels):
            digest.update(part[row].tobytes())
        digest.update(repr(block.texts[row].tolist()).encode("utf-8", "surrogatepass"))
        name = digest.hexdigest()
        ids.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return tuple(ids)
