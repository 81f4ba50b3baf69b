"""A large relation against the plain pandas frame: memory, seconds per operation, bytes in Arrow and Parquet.

``python bench_relation.py [ROWS]``: a million rows x 30 columns, 5 % of the cells uncertain with 5 candidates each.
The bar is 2x the memory of the plain frame.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from figures import tell

from easeml.relation import Relation
from easeml.relation.arrow import read_parquet, relation_of, table_of, write_parquet
from easeml.relation.candidates import Candidates
from easeml.relation.rendering import html_of
from easeml.stream.payloads import ColumnKind

ROWS, SHARE, CHOICES = 1_000_000, 0.05, 5
BAR = 2.0


def numeric_frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """30 measured numbers."""
    cells = np.random.default_rng(seed).normal(size=(rows, 30)).round(4)
    return pd.DataFrame(cells, columns=[f"x{place}" for place in range(30)])


def mixed_frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Columns as pandas reads them from a file: 20 numbers, 5 words of few kinds, 2 truths, 2 moments, 1 text."""
    rng = np.random.default_rng(seed)
    data: dict[str, object] = {f"x{place}": rng.normal(size=rows).round(4) for place in range(20)}
    words = np.array([f"kind-{place:02}" for place in range(20)], object)
    data |= {f"c{place}": pd.Series(words[rng.integers(20, size=rows)], dtype="str") for place in range(5)}
    data |= {f"b{place}": rng.random(rows) < 0.5 for place in range(2)}
    start = np.datetime64("2020-01-01T00:00:00", "us")
    data |= {f"t{place}": start + rng.integers(10**14, size=rows).astype("timedelta64[us]") for place in range(2)}
    data["note"] = pd.Series([f"note {number} of the customer" for number in range(rows)], dtype="str")
    return pd.DataFrame(data)


def uncertain(relation: Relation, seed: int = 1) -> Candidates:
    """Candidates for 5 % of the cells of every column that is no text, in the codes of the relation."""
    rng, rows = np.random.default_rng(seed), len(relation)
    parts = []
    for place, column in enumerate(relation.columns):
        chosen = np.flatnonzero(rng.random(rows) < SHARE)
        size = {ColumnKind.CATEGORICAL: len(column.categories), ColumnKind.BOOLEAN: 2}.get(column.kind)
        if column.kind is ColumnKind.TEXT:
            continue
        many = min(CHOICES, size or CHOICES)
        value = rng.normal(size=(len(chosen), many)).round(4)
        if size is not None:
            value = (rng.integers(size, size=(len(chosen), 1)) + np.arange(many)) % size
        prior = rng.random((len(chosen), many)) + 0.1
        prior /= prior.sum(axis=1, keepdims=True)
        parts.append((np.repeat(chosen, many), np.full(value.size, place), value.ravel(), prior.ravel()))
    row, column_, value, prior = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((value, column_, row))
    zeros = np.zeros(len(row), np.int8)
    return Candidates(row[order], column_[order], value[order].astype(float), prior[order], zeros, (), ("knn/1",))


def array_bytes(array: np.ndarray) -> int:
    """Bytes that an array really takes; one number shown many times is one number."""
    own = array.itemsize if array.strides and not any(array.strides) else array.nbytes
    if array.dtype != object:
        return own
    return own + sum(map(sys.getsizeof, {id(one): one for one in array.ravel().tolist() if one is not None}.values()))


def relation_bytes(relation: Relation) -> dict[str, int]:
    """Bytes of each part of a relation."""
    block = relation.block
    size = {part: array_bytes(getattr(block, part)) for part in ("numeric", "codes", "texts", "tensor", "labels")}
    size["row ids"] = sys.getsizeof(block.row_ids) + sum(map(sys.getsizeof, block.row_ids))
    table = block.candidates
    arrays = [getattr(table, field.name) for field in fields(table)]
    size["candidates"] = sum(array_bytes(one) for one in arrays if isinstance(one, np.ndarray))
    return size


def frame_bytes(frame: pd.DataFrame) -> int:
    return int(frame.memory_usage(deep=True).sum())


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measured(frame: pd.DataFrame) -> list[tuple[str, float, float, str]]:
    """Return (what, ours, peer, unit) of every figure for one frame."""
    lines: list[tuple[str, float, float, str]] = []

    def timed(what: str, work: Callable[[], object], peer: Callable[[], object] | None = None):
        took, result = seconds(work)
        lines.append((what, took, seconds(peer)[0] if peer else float("nan"), "s"))
        return result

    plain = frame_bytes(frame)
    relation = timed("from frame", lambda: Relation.from_frame(frame), lambda: frame.copy(deep=True))
    table = uncertain(relation)
    relation = timed("merge the candidates", lambda: relation.propose(table))
    size = relation_bytes(relation)
    lines.append(("memory of the relation", sum(size.values()) / 1e6, plain / 1e6, "MB"))
    lines += [(f"  {part}", own / 1e6, float("nan"), "MB") for part, own in size.items() if own > 1e4]
    lines.append(("uncertain cells", len(relation.block.candidates.distributions().row), float("nan"), ""))
    lines.append(("candidates", len(table), float("nan"), ""))
    timed("entropy", relation.entropy)
    timed("sample a world", lambda: relation.sample_world(np.random.default_rng(0)))
    timed("most probable world", relation.most_probable_world)
    timed("content hash", relation.content_hash)
    timed("html", lambda: html_of(relation))
    arrow = timed("to Arrow", lambda: table_of(relation), lambda: plain_table(frame))
    lines.append(("Arrow table", arrow.nbytes / 1e6, plain_table(frame).nbytes / 1e6, "MB"))
    back = timed("from Arrow", lambda: relation_of(arrow))
    assert back.content_hash() == relation.content_hash()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.parquet"), Path(folder, "plain.parquet")
        write_peer = lambda: frame.to_parquet(theirs, compression="zstd")  # noqa: E731 - a peer in one line
        timed("to Parquet", lambda: write_parquet(relation, ours), write_peer)
        back = timed("from Parquet", lambda: read_parquet(ours), lambda: pd.read_parquet(theirs))
        lines.append(("Parquet file", ours.stat().st_size / 1e6, theirs.stat().st_size / 1e6, "MB"))
    assert back.content_hash() == relation.content_hash()
    return lines


def plain_table(frame: pd.DataFrame):
    import pyarrow as pa

    return pa.Table.from_pandas(frame)


def main(rows: int) -> None:
    for name, frame in (("numeric", numeric_frame(rows)), ("mixed", mixed_frame(rows))):
        print(f"{f'{name}, {rows:,} x {frame.shape[1]}':<36}{'relation':>12}{'frame':>12}{'ratio':>8}")
        for what, ours, peer, unit in measured(frame):
            told = f"{peer:>12,.2f}{ours / peer:>8.2f}" if peer == peer else f"{'':>20}"  # noqa: PLR0124 - NaN
            over = f"  (bar {BAR})" if what == "memory of the relation" else ""
            if what == "memory of the relation":
                beside = f"pandas {peer:,.0f} MB"
                tell(f"memory, {name}, {rows:,} rows, of the plain frame's", ours / peer, "x", most=BAR, peer=beside)
            print(f"{what:<36}{ours:>12,.2f}{told}  {unit}{over}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
