"""Repair candidates, error detection and the 100k x 30 table: ``python tests/benchmarks/bench_repairs.py [ROWS]``.

Prints three tables. Repairs: RMSE (in standard deviations) of the best candidate of a cell, 10 % missing at random,
mean over three draws, beside mean imputation and the figures measured for the design (donors and quantiles alone).
Errors: precision and recall of injected ones at a score of 0.5. Size: time and peak memory from a CSV file to a
relation with candidates, as ``easeml.datamagic.read`` and ``propose_repairs`` take it. Memory is the resident set of
the process (the largest of samples every 5 ms) less what it was before the file was opened, when a small table had
gone the same way; it is divided by what the typed frame holds: ``memory_usage(deep=True)`` of pandas' own reading of
the file, words as Arrow has them.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from figures import tell
from river.datasets import ImageSegments, Phishing
from sklearn.datasets import load_breast_cancer, load_wine

from easeml.datamagic.cleaning.detection import detect_errors
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.reading import read_whole
from easeml.relation import Relation

DESIGN = {"breast_cancer": (0.28, 0.58), "wine": (0.44, 0.42), "segments": (0.44, 0.44), "phishing": (0.76, 0.04)}
"""RMSE of the best of five donors and of the best of five quantiles."""


def tables() -> Iterator[tuple[str, np.ndarray]]:
    yield "breast_cancer", load_breast_cancer().data
    yield "wine", load_wine().data
    for name, source in (("segments", ImageSegments), ("phishing", Phishing)):
        yield name, pd.DataFrame([row for row, _ in source()]).to_numpy(float)


def best_of(truth: np.ndarray, most: int, draws: int = 3) -> tuple[float, float, float]:
    """Return the RMSE of mean imputation, of the best candidate, and of the expected world."""
    spread = truth.std(axis=0)
    truth, spread = truth[:, spread > 1e-9], spread[spread > 1e-9]
    found = []
    for draw in range(draws):
        gone = np.random.default_rng(draw).random(truth.shape) < 0.1
        cells = np.where(gone, np.nan, truth)
        frame = pd.DataFrame(cells, columns=[f"c{place}" for place in range(truth.shape[1])])
        relation = Relation.from_frame(frame, row_ids=[f"r{place}" for place in range(len(frame))])
        repaired = propose_repairs(relation, max_candidates=most, rng=np.random.default_rng(draw))
        own = repaired.block.candidates
        error = ((own.value - truth[own.row, own.column]) / spread[own.column]) ** 2
        best = np.full(truth.size, np.inf)
        np.minimum.at(best, own.row.astype(np.int64) * truth.shape[1] + own.column, error)
        mean = ((np.nanmean(cells, axis=0) - truth) / spread)[gone]
        world = ((repaired.expected_world().block.numeric - truth) / spread)[gone]
        found.append([(mean**2).mean(), best[gone.ravel()].mean(), (world**2).mean()])
    mean, best, world = np.sqrt(np.array(found)).mean(axis=0)
    return float(mean), float(best), float(world)


def injected(rows: int = 2000, seed: int = 0) -> tuple[Relation, dict[str, set[tuple[str, str | None]]]]:
    """Return a relation with errors of every kind, and which they are."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(rows, 3))
    numbers = latent @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(rows, 6))
    towns = np.array(["Berlin", "Hamburg", "Dresden", "Leipzig", "Rostock", "Potsdam"])
    lands = np.array(["Berlin state", "Hamburg state", "Saxony", "Saxony", "Mecklenburg", "Brandenburg"])
    place = rng.integers(6, size=rows)
    frame = pd.DataFrame(numbers, columns=[f"n{index}" for index in range(6)])
    frame["town"], frame["land"] = towns[place], lands[place]
    ids = [f"r{index}" for index in range(rows)]
    chosen = rng.permutation(rows)
    errors: dict[str, set[tuple[str, str | None]]] = {
        name: set() for name in ("missing", "outlier", "dependency", "typo")
    }
    for row in chosen[:40]:
        column = f"n{rng.integers(6)}"
        frame.loc[row, column] = np.nan
        errors["missing"].add((ids[row], column))
    for row in chosen[40:80]:
        column = f"n{rng.integers(6)}"
        frame.loc[row, column] *= 10 if abs(frame.loc[row, column]) > 1 else -50
        errors["outlier"].add((ids[row], column))
    for row in chosen[80:110]:
        frame.loc[row, "land"] = rng.choice([name for name in sorted(set(lands)) if name != frame.loc[row, "land"]])
        errors["dependency"].add((ids[row], "land"))
    for row in chosen[110:130]:
        word = frame.loc[row, "town"]
        cut = int(rng.integers(1, len(word)))
        frame.loc[row, "town"] = word[:cut] + word[cut + 1 :]
        errors["typo"].add((ids[row], "town"))
    doubled = pd.concat([frame, frame.iloc[chosen[200:220]]], ignore_index=True)
    errors["duplicate"] = {(f"r{rows + index}", None) for index in range(20)}
    return Relation.from_frame(doubled, row_ids=[f"r{index}" for index in range(len(doubled))]), errors


def detection(relation: Relation, errors: dict[str, set[tuple[str, str | None]]]) -> list[tuple[str, float, float]]:
    """Return kind, precision and recall of what is found with a score of at least a half."""
    found = detect_errors(relation, rng=np.random.default_rng(0))
    found = found[found["score"] >= 0.5]
    rows = []
    for kind, true in errors.items():
        own = found[found["kind"] == kind]
        said = {
            (row, None if pd.isna(column) else column) for row, column in zip(own["row_id"], own["column"], strict=True)
        }
        rows.append((kind, len(said & true) / max(len(said), 1), len(said & true) / len(true)))
    return rows


def wide(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table of 30 columns of all kinds, 5 % of its cells missing."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(rows, 5))
    numbers = latent @ rng.normal(size=(5, 20)) + 0.5 * rng.normal(size=(rows, 20))
    frame = pd.DataFrame(numbers.round(4), columns=[f"n{place}" for place in range(20)])
    for place in range(5):
        frame[f"k{place}"] = np.array([f"kind {name}" for name in "abcdefgh"])[
            np.digitize(latent[:, place], np.linspace(-1.5, 1.5, 7))
        ]
    frame["flag"] = np.where(latent[:, 0] > 0, "yes", "no")
    frame["count"] = rng.poisson(np.exp(latent[:, 1])).astype(float)
    frame["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta((1e7 * (latent[:, 2] + 5)).astype(int), unit="s")
    frame["price"] = np.exp(latent[:, 3]).round(2)
    frame["note"] = [f"note {place}" for place in rng.integers(rows, size=rows)]
    return frame.mask(rng.random(frame.shape) < 0.05)


class Peak:
    """Peak of the resident memory, watched from a thread; ``reset`` gives freed memory back first."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def now(self) -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self.now())

    def reset(self) -> int:
        gc.collect()
        pa.default_memory_pool().release_unused()
        if hasattr(self._libc, "malloc_trim"):
            self._libc.malloc_trim(0)
        self.peak = self.now()
        return self.peak

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def size(path: Path, base: int, watch: Peak) -> list[tuple[str, float, int, int]]:
    """Return step, seconds, and memory at its peak and at its end in bytes."""
    steps: list[tuple[str, float, int, int]] = []

    def step(name: str, begin: float) -> None:
        took, peak = time.perf_counter() - begin, watch.peak
        steps.append((name, took, peak - base, watch.reset() - base))

    begin = time.perf_counter()
    reading = read_whole(path)
    step("read by schema", begin)
    begin = time.perf_counter()
    relation = reading.relation
    del reading
    step("relation", begin)
    begin = time.perf_counter()
    done = propose_repairs(relation, rng=np.random.default_rng(0), progress=show if len(relation) > 5000 else None)
    step("propose repairs", begin)
    assert len(done.block.candidates)
    return steps


def measured(folder: Path) -> None:
    """Print a table of size, measured in a process that has done nothing else."""
    watch = Peak()
    size(folder / "small.csv", 0, watch)  # what is imported or cached once is not the table's
    steps = size(folder / "wide.csv", watch.reset(), watch)
    watch.close()
    plain = int(pd.read_csv(folder / "wide.csv").memory_usage(deep=True).sum())
    for name, seconds, peak, kept in steps:
        print(f"{name:<20}{seconds:>8.1f} s{peak / plain:>8.1f} x the frame at peak{kept / plain:>8.1f} x at the end")
    print(f"{'all':<20}{sum(seconds for _, seconds, _, _ in steps):>8.1f} s     (frame: {plain / 1e6:.0f} MB)")


def show(done: int, total: int, what: str) -> None:
    print(f"\r{what}: {done:,} of {total:,} rows", end="" if done < total else "\n", flush=True)


def main() -> None:
    print(
        f"{'table':<15}{'mean':>7}{'5 donors*':>11}{'5 quant.*':>11}{'best of 5':>11}{'best of 8':>11}{'expected':>10}"
    )
    for name, truth in tables():
        mean, five, _ = best_of(truth, 5)
        _, eight, world = best_of(truth, 8)
        donors, quantiles = DESIGN[name]
        tell(f"{name}: error of the best of 5 repairs", five, "sd", peer=f"mean {mean:.2f}, donors {donors:.2f}")
        print(f"{name:<15}{mean:>7.2f}{donors:>11.2f}{quantiles:>11.2f}{five:>11.3f}{eight:>11.3f}{world:>10.3f}")
    print("* figures of the design\n")
    print(f"{'error':<15}{'precision':>10}{'recall':>10}")
    for kind, precision, recall in detection(*injected()):
        print(f"{kind:<15}{precision:>10.2f}{recall:>10.2f}")
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"\n{rows:,} x 30, 5 % missing", flush=True)
    with tempfile.TemporaryDirectory() as name:
        wide(1000).to_csv(Path(name) / "small.csv", index=False)
        wide(rows).to_csv(Path(name) / "wide.csv", index=False)
        subprocess.run([sys.executable, __file__, "--measure", name], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(Path(sys.argv[2]))
    else:
        main()
