"""Error detection: alarms on clean tables, and what is found of planted errors.

    python tests/benchmarks/bench_detection.py [--tables 20]

Clean: the share of tables of 30 independent columns of one law that raise any alarm. Planted: one error per chosen row
of a real table; precision counts every alarm that is no planted error, but those that the table without errors raises
too are told apart (``new``), for a real table has odd values of its own.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from easeml.datamagic.cleaning.detection import detect_errors
from easeml.relation import Relation

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
CELLWISE = ("outlier", "dependency", "typo", "spelling", "clash")

_NAMES = ["Austria", "Australia", "Iran", "Iraq", "Niger", "Nigeria", "Slovakia", "Slovenia", "Mali", "Malta", "Guinea"]
_NAMES += ["Guyana", "Spain", "Jordan", "Poland", "Holland", "Finland", "Iceland", "Ireland", "Gambia", "Zambia"]
_ZIPF = 1.0 / np.arange(1, len(_NAMES) + 1)
_ZIPF /= _ZIPF.sum()
Law = Callable[[np.random.Generator, int], np.ndarray]
LAWS: dict[str, Law] = {
    "gaussian": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: np.exp(rng.normal(size=n)),
    "t3": lambda rng, n: rng.standard_t(3, size=n),
    "mixture": lambda rng, n: rng.normal(size=n) + 8.0 * (rng.random(n) < 0.2),
    "counts": lambda rng, n: rng.poisson(np.exp(rng.normal(1, 0.8, size=n))).astype(float),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.8, 0.0, np.exp(rng.normal(size=n))),
    "uniform": lambda rng, n: rng.random(n),
    "rounded": lambda rng, n: rng.normal(size=n).round(1),
    "small scale": lambda rng, n: rng.normal(3, 1, size=n).clip(1, 5).round(),
    "words": lambda rng, n: np.array([f"kind {name}" for name in "abcdefghijkl"], object)[
        np.minimum(rng.geometric(0.3, size=n), 12) - 1
    ],
    "names": lambda rng, n: np.array(_NAMES, object)[rng.choice(len(_NAMES), n, p=rng.permutation(_ZIPF))],
}


HARD = ("names",)
"""Rare words of their own that look like a slip of a frequent one: told in the table, not counted in its sum."""


def relation_of(frame: pd.DataFrame) -> Relation:
    return Relation.from_frame(frame, row_ids=[f"r{place}" for place in range(len(frame))])


def clean_table(law: str, rows: int, seed: int, columns: int = 30) -> Relation:
    """Return a table in which nothing is wrong: independent columns of one law."""
    rng = np.random.default_rng([seed, rows, list(LAWS).index(law)])
    return relation_of(pd.DataFrame({f"c{place}": LAWS[law](rng, rows) for place in range(columns)}))


def alarms(relation: Relation, seed: int = 0) -> pd.DataFrame:
    """Return what is told at a score of a half; doubles aside, for tables of few values have true ones."""
    found = detect_errors(relation, rng=np.random.default_rng(seed))
    return found[(found["score"] >= 0.5) & ~found["kind"].isin(["duplicate", "missing"])]


def real_tables() -> Iterator[tuple[str, pd.DataFrame]]:
    for name, load in (
        ("iris", load_iris),
        ("wine", load_wine),
        ("breast_cancer", load_breast_cancer),
        ("diabetes", lambda **options: load_diabetes(scaled=False, **options)),
    ):
        yield name, load(as_frame=True).data.astype(float)
    for name in ("supreme", "nursery"):
        path = DATA / "cpclean" / f"{name}_systematic" / "train_clean.parquet"
        if path.exists():
            yield name, pd.read_parquet(path).drop(columns="label")


def planted(frame: pd.DataFrame, kind: str, rng: np.random.Generator, share: float = 0.02) -> tuple[pd.DataFrame, set]:
    """Return a copy with errors of one kind, and the cells that hold them."""
    frame = frame.copy()
    numeric = kind in ("unit", "sign", "swap")
    names = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name]) == numeric]
    if kind == "sign":
        names = [name for name in names if (frame[name] > 0).mean() > 0.95]
    cells = set()
    if not names or (kind == "swap" and len(names) < 2):
        return frame, cells
    for row in rng.permutation(len(frame))[: max(3, round(share * len(frame)))]:
        name = names[rng.integers(len(names))]
        old = frame.loc[row, name]
        if kind == "unit":
            frame.loc[row, name] = old * 100.0
        elif kind == "sign":
            frame.loc[row, name] = -old
        elif kind == "swap":
            other = names[(names.index(name) + 1 + int(rng.integers(len(names) - 1))) % len(names)]
            frame.loc[row, [name, other]] = frame.loc[row, [other, name]].to_numpy()
            if frame.loc[row, other] != old or old != frame.loc[row, name]:
                cells |= {(f"r{row}", other)}
        else:
            cut = int(rng.integers(1, max(len(old), 2)))
            frame.loc[row, name] = old[:cut] + old[cut + 1 :]
        if frame.loc[row, name] != old:
            cells.add((f"r{row}", name))
    return frame, cells


def found_cells(relation: Relation) -> set[tuple[str, str]]:
    found = alarms(relation)
    found = found[found["kind"].isin(CELLWISE)]
    return set(zip(found["row_id"], found["column"], strict=True))


def planted_figures(seeds: int) -> Iterator[tuple[str, str, int, float, float, float]]:
    """Yield table, kind, alarms of the table as it is, precision of new alarms, recall, and precision of all."""
    for name, frame in real_tables():
        before = found_cells(relation_of(frame))
        for kind in ("unit", "sign", "swap", "typo"):
            figures = []
            for seed in range(seeds):
                dirty, cells = planted(frame, kind, np.random.default_rng(seed))
                if not cells:
                    continue
                said = found_cells(relation_of(dirty))
                hits, new = len(said & cells), len(said - before)
                figures.append(
                    (
                        len(said & cells - before) / max(new, 1) if new else 1.0,
                        hits / len(cells),
                        hits / max(len(said), 1),
                    )
                )
            if figures:
                yield name, kind, len(before), *np.mean(figures, axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=20, help="clean tables per law and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2000, 20_000])
    parser.add_argument("--laws", nargs="+", default=list(LAWS))
    options = parser.parse_args()
    table = Table("law", "rows", "tables with an alarm", "alarms", "kinds", "s", title="Clean tables of 30 columns")
    total = raised = 0
    for law in options.laws:
        for rows in options.sizes:
            count = options.tables if rows < 20_000 else max(1, options.tables // 5)
            started = time.perf_counter()
            found = [alarms(clean_table(law, rows, seed)) for seed in range(count)]
            hit = sum(len(own) > 0 for own in found)
            if law not in HARD:
                total, raised = total + count, raised + hit
            kinds = pd.concat(found)["kind"].value_counts().to_dict()
            spent = time.perf_counter() - started
            table.add_row(law, f"{rows:,}", f"{hit} of {count}", str(sum(map(len, found))), str(kinds), f"{spent:.1f}")
    table.add_row("all", "", f"{raised} of {total} ({raised / max(total, 1):.1%})", "", "to reach: 5 %", "")
    Console(width=150).print(table)
    table = Table(
        "table", "planted", "own alarms", "precision (new)", "recall", "precision (all)", title="Planted errors"
    )
    for name, kind, own, new, recall, precision in planted_figures(3):
        table.add_row(name, kind, str(own), f"{new:.2f}", f"{recall:.2f}", f"{precision:.2f}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
