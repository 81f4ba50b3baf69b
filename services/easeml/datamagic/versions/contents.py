"""Digests of what a pillar holds: rows, candidates and answers, each whatever batch, order or code brought it.

A digest is a number of 256 bits; a set of things has the sum of theirs modulo 2^256, so it does not matter in which
order they come (Bellare & Micciancio, A New Paradigm for Collision-free Hashing, 1997: AdHash). Cells enter by value
and category by name, so that two batches with another order of categories agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation import Block
from easeml.stream.payloads import Answer, CandidateBatch, CandidateKind, Column, ColumnKind, RelationBatch

MODULUS = 2**256
Words = NDArray[np.uint64]

_LABEL = -1
_CODED = (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)
_MISSING = np.uint64(0)
_UNALTERED: dict[str, Any] = {
    "alternative_texts": (),
    "alternative_ptr": np.empty(0, np.int32),
    "alternative_source": np.empty(0, np.int32),
    "alternative_codes": np.empty(0, np.int32),
    "alternative_missing_texts": np.empty(0, np.int32),
    "alternative_probability": np.empty(0),
    "alternative_numeric": np.empty(0),
    "alternative_tensor": np.empty(0),
}


def digest_of(*parts: bytes | str) -> int:
    """Return the SHA-256 of parts as a number; their borders count.

    >>> digest_of("ab", "c") == digest_of("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest())


def hexadecimal(digest: int) -> str:
    """Return a digest as 64 hexadecimal digits."""
    return f"{digest % MODULUS:064x}"


def row_contents(batch: RelationBatch) -> bytes:
    """Return the SHA-256 of each row of a sound batch, one after the other: 32 bytes a row. Cost O(n d).

    A row is its id, features, label, candidates and alternatives; not its pillar, its version or its place.
    """
    plain = replace(batch, **_UNALTERED)
    block = Block.from_batch(plain)
    names = hashed([column.name for column in batch.columns]).tobytes()
    cells = np.ascontiguousarray(np.hstack([_features(block), _labels(batch)]))
    kinds = [str(column.kind) for column in batch.columns]
    head = hashlib.sha256(names + ",".join(kinds).encode())
    candidates = _candidate_lines(batch)
    alternatives = _alternative_lines(batch, plain)
    found = []
    for row in range(len(block)):
        digest = head.copy()
        digest.update(cells[row].tobytes())
        digest.update(candidates.get(row, b""))
        digest.update(alternatives.get(row, b""))
        digest.update(b"of" + batch.row_ids[row].encode("utf-8", "surrogatepass"))
        found.append(digest.digest())
    return b"".join(found)


def total(digests: bytes) -> int:
    """Return the sum of 32-byte digests.

    >>> total(bytes(31) + bytes([1]) + bytes(31) + bytes([255]))
    256
    """
    sums = np.frombuffer(digests, np.uint8).reshape(-1, 32).sum(axis=0, dtype=np.uint64)
    parts: list[int] = sums.tolist()
    return sum(part << 8 * (31 - place) for place, part in enumerate(parts)) % MODULUS


def candidate_contents(batch: CandidateBatch) -> Iterator[tuple[str, str, int]]:
    """Yield row id, column and digest of what a sound batch says about each cell; a whole row has no column."""
    if batch.kind is CandidateKind.ROWS:
        yield from _row_candidates(batch)
        return
    missing, values = set(batch.missing.tolist()), batch.values  # noqa: PD011 - no frame
    cells: dict[tuple[int, int], list[str]] = {}
    for place, (row, column) in enumerate(zip(batch.row.tolist(), batch.column.tolist(), strict=True)):
        line = _line(place in missing, values[place], float(batch.probability[place]))
        cells.setdefault((row, column), []).append(line)
    for (row, column), lines in cells.items():
        name = batch.columns[column]
        yield batch.row_ids[row], name, digest_of("candidates", batch.source, name, *sorted(lines))


def _row_candidates(batch: CandidateBatch) -> Iterator[tuple[str, str, int]]:
    missing, width = set(batch.missing.tolist()), len(batch.columns)
    values = batch.values  # noqa: PD011 - no frame
    rows: dict[int, list[str]] = {}
    for place, row in enumerate(batch.row.tolist()):
        cells = range(place * width, (place + 1) * width)
        lines = sorted(f"{batch.columns[at - cells.start]}\x1f{_line(at in missing, values[at], 0.0)}" for at in cells)
        rows.setdefault(row, []).append("\x1e".join([float(batch.probability[place]).hex(), *lines]))
    for row, alternatives in rows.items():
        yield batch.row_ids[row], "", digest_of("alternatives", batch.source, *sorted(alternatives))


def _line(missing: bool, value: str, probability: float) -> str:
    return f"{'missing' if missing else 'value'}\x1f{value}\x1f{probability.hex()}"


def answer_content(answer: Answer) -> int:
    """Return the digest of what an answer settles."""
    return digest_of("answer", answer.column or "", str(answer.kind), answer.text)


def hashed(names: Iterable[str]) -> Words:
    """Return 64 bits for each name."""
    array = np.array([*names, ""], object)[:-1]
    return pd.util.hash_array(array, categorize=False) if len(array) else np.empty(0, np.uint64)


def _features(block: Block) -> Words:
    """Return the cells of rows as words, missing ones as one word."""
    parts = [np.empty((len(block), 0), np.uint64)]
    for index, column in enumerate(block.columns):
        cells = block.column(index)
        if column.kind in _CODED:
            parts.append(np.append(hashed(_names(column)), _MISSING)[cells][:, None])
        elif column.kind is ColumnKind.TEXT:
            gone = np.array([text is None for text in cells], bool)
            words = hashed(["" if text is None else text for text in cells])
            parts.append(np.where(gone, _MISSING, words)[:, None])
        else:
            parts.append(_bits(cells).reshape(len(block), -1))
    return np.hstack(parts)


def _names(column: Column) -> tuple[str, ...]:
    return ("false", "true") if column.kind is ColumnKind.BOOLEAN else column.categories


def _bits(numbers: NDArray[np.float64]) -> Words:
    # One bit pattern for every zero and every missing number.
    return np.ascontiguousarray(np.where(np.isnan(numbers), np.nan, numbers + 0.0)).view(np.uint64)


def _labels(batch: RelationBatch) -> Words:
    codes = batch.labels if len(batch.labels) else np.full(len(batch.row_ids), -1, np.int32)
    return np.append(hashed(batch.classes), _MISSING)[codes][:, None]


def _candidate_lines(batch: RelationBatch) -> dict[int, bytes]:
    """Return the candidates of each row that has some, in an order of their own."""
    pointer = batch.candidate_ptr
    if not len(batch.candidate_column):
        return {}
    column, value = batch.candidate_column, batch.candidate_value
    words = _bits(value).copy()
    for index in np.unique(column):
        mine = column == index
        if index == _LABEL:
            words[mine] = hashed(batch.classes)[value[mine].astype(np.int64)]
        elif batch.columns[index].kind in _CODED:
            words[mine] = hashed(_names(batch.columns[index]))[value[mine].astype(np.int64)]
        elif batch.columns[index].kind is ColumnKind.TEXT:
            words[mine] = hashed(batch.candidate_texts)[value[mine].astype(np.int64)]
    titles = np.append(hashed([c.name for c in batch.columns]), np.uint64(1))
    sources = hashed(batch.sources)[batch.candidate_source]
    table = np.stack([titles[column], words, _bits(batch.candidate_probability), sources], axis=1)
    return _lines_by_row(b"candidates", pointer, table)


def _alternative_lines(batch: RelationBatch, plain: RelationBatch) -> dict[int, bytes]:
    """Return the alternatives of each row that has some, in an order of their own."""
    count = len(batch.alternative_probability)
    if not count:
        return {}
    rows = replace(
        plain,
        row_ids=tuple(map(str, range(count))),
        numeric=batch.alternative_numeric,
        codes=batch.alternative_codes,
        texts=batch.alternative_texts,
        missing_texts=batch.alternative_missing_texts,
        tensor=batch.alternative_tensor,
        labels=np.empty(0, np.int32),
        candidate_ptr=np.empty(0, np.int32),
        candidate_column=np.empty(0, np.int32),
        candidate_source=np.empty(0, np.int32),
        candidate_value=np.empty(0),
        candidate_probability=np.empty(0),
        candidate_texts=(),
    )
    cells = _features(Block.from_batch(rows))
    sources = hashed(batch.sources)[batch.alternative_source]
    table = np.hstack([cells, _bits(batch.alternative_probability)[:, None], sources[:, None]])
    return _lines_by_row(b"alternatives", batch.alternative_ptr, table)


def _lines_by_row(what: bytes, pointer: Sequence[int] | NDArray[np.int32], table: Words) -> dict[int, bytes]:
    bounds: list[int] = np.asarray(pointer).tolist()
    found = {}
    for row in np.flatnonzero(np.diff(pointer)).tolist():
        lines = sorted(line.tobytes() for line in table[bounds[row] : bounds[row + 1]])
        found[row] = what + b"".join(lines)
    return found
