"""Certain predictions: exactness, speed and rows asked, against the bars and the named peers.

    python tests/benchmarks/bench_cpclean.py [--quick]

Times are processor seconds of one thread, which a busy machine spoils least. ``--quick`` runs small instances and the
first 150 validation points of the reference data; without it everything runs as the bars say. Peers: the published
runs of the authors' code (rows that they cleaned, in the reference data), random order, and the rows whose default
repair is most uncertain by themselves. The reference data lie in ``EASEML_REFERENCE_DATA``, else beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from figures import tell
from threadpoolctl import threadpool_limits

from easeml.cpclean import CandidateRows, CertainPredictions, certain_predictions
from easeml.cpclean.masses import entropy

DATA = Path(os.environ.get("EASEML_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "cpclean"


@dataclass
class Reference:
    """One reference data set as arrays."""

    name: str
    train: CandidateRows
    labels: np.ndarray
    points: np.ndarray
    point_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    truth: dict[int, int]
    default: dict[int, int]
    answers: pd.DataFrame
    authors: pd.DataFrame

    def predictions(self, points: int = 1000, rng: int = 0) -> CertainPredictions:
        return CertainPredictions(
            self.train,
            self.labels,
            self.points[:points],
            n_classes=2,
            rng=np.random.default_rng(rng),
            validation_labels=self.point_labels[:points],
        )

    def accuracy(self, cleaned: set[int], points: np.ndarray, labels: np.ndarray) -> float:
        """Return the accuracy of 3-NN on the default repairs, the cleaned rows replaced by their true ones."""
        chosen = self.train.row_ptr[:-1].copy()
        for row, default in self.default.items():
            chosen[row] += self.truth[row] if row in cleaned else default
        rows = np.arange(len(chosen) + 1)
        features = self.train.features[chosen]
        _, mass = certain_predictions(rows, features, np.ones(len(chosen)), self.labels, points, n_classes=2)
        return float((mass.argmax(axis=1) == labels).mean())


def encoded(frame: pd.DataFrame, features: pd.DataFrame) -> np.ndarray:
    """Return rows as vectors; ties are decided by rounding, so numbers are scaled as the reference scaled them."""
    parts = []
    for line in features.itertuples():
        if line.kind == "numeric":
            low, high = float(line.min), float(line.max)
            scale = 1 / (high - low) if high > low else 1.0
            parts.append((frame[line.column].to_numpy(float) * scale - low * scale)[:, None])
        elif line.kind == "onehot":
            value = frame[line.column].astype(str).to_numpy()
            parts.append((value[:, None] == np.array(line.categories.split("|"))).astype(float))
    return np.hstack(parts)


def reference(name: str, folder: Path = DATA) -> Reference:
    """Return a reference data set."""
    home = folder / f"{name}_systematic"
    table = {path.stem: pd.read_parquet(path) for path in home.glob("*.parquet")}
    features = pd.read_csv(home / "features.csv", keep_default_na=False)
    dirty, candidates, truth = table["train_dirty"], table["candidates"], table["truth"]
    versions = dirty.iloc[candidates["row"]].reset_index(drop=True)
    for column in candidates.columns.difference(["row", "cand", "methods", "prior"]):
        versions[column] = candidates[column].where(candidates[column].notna(), versions[column])
    clean = np.setdiff1d(np.arange(len(dirty)), candidates["row"])
    owner = np.append(candidates["row"], clean)
    order = np.argsort(owner, kind="stable")
    vectors = encoded(pd.concat([versions, dirty.iloc[clean]]), features)[order]
    sizes = np.bincount(owner)
    return Reference(
        name,
        CandidateRows(np.append(0, np.cumsum(sizes)), vectors, 1 / sizes[owner[order]]),
        dirty["label"].to_numpy(),
        encoded(table["val"], features)[:1000],
        table["val"]["label"].to_numpy()[:1000],
        encoded(table["test"], features),
        table["test"]["label"].to_numpy(),
        dict(zip(truth["row"].tolist(), truth["truth_cand"].tolist(), strict=True)),
        dict(zip(truth["row"].tolist(), truth["default_cand"].tolist(), strict=True)),
        table["reference_q1q2"],
        table["authors_cleaned"],
    )


def differences(data: Reference, made: CertainPredictions) -> tuple[int, float, float, float]:
    """Return how far fresh predictions are from the reference: certain points, mass, entropy (nats), best gain."""
    expected = data.answers[: len(made.certain)]
    _, values, points = made._contributions()
    best = np.zeros(len(made.certain))
    np.maximum.at(best, points, values)
    return (
        int((made.certain != (expected["certain"] == 1)).sum()),
        float(np.abs(made.label_mass[:, 0] - expected["p_class0"]).max()),
        float(np.abs(entropy(made.label_mass) - expected["entropy"]).max()),
        float(np.abs(best - expected["best_gain"].clip(lower=0)).max()),
    )


def cleaned_greedily(data: Reference, made: CertainPredictions, batch: int = 1) -> Iterator[int]:
    """Yield the rows asked about until every prediction is certain, the true repair answering each."""
    while not made.done:
        for row in made.next(batch).tolist():
            if not made.done:
                made.answer(row, data.truth[row], 1)
                yield row


def cleaned_in_order(data: Reference, made: CertainPredictions, order: np.ndarray) -> int:
    """Return how many rows of an order are needed until every prediction is certain."""
    for asked, row in enumerate(order.tolist()):
        if made.done:
            return asked
        made.answer(row, data.truth[row], 1)
    return len(order)


def synthetic(rows: int, dirty: int, candidates: int, points: int, width: int = 6, seed: int = 0):
    """Return a two-class mixture in which one cell of each dirty row is missing, its candidates quantiles."""
    rng = np.random.default_rng(seed)
    centre = 0.6 * rng.normal(size=(2, width))
    labels, point_labels = rng.integers(2, size=rows), rng.integers(2, size=points)
    clean = centre[labels] + rng.normal(size=(rows, width))
    uncertain = np.sort(rng.permutation(rows)[:dirty])
    sizes = np.ones(rows, int)
    sizes[uncertain] = candidates
    features = np.repeat(clean, sizes, axis=0)
    pointer = np.append(0, np.cumsum(sizes))
    column = rng.integers(width, size=dirty)
    quantiles = np.quantile(clean, np.linspace(0.02, 0.98, candidates), axis=0)
    for place in range(candidates):
        features[pointer[uncertain] + place, column] = quantiles[place, column]
    cell = clean[uncertain, column]
    truth = np.zeros(rows, int)
    truth[uncertain] = np.abs(quantiles[:, column] - cell).argmin(axis=0)
    prior = 1 / np.repeat(sizes, sizes)
    return (
        CandidateRows(pointer, features, prior),
        labels,
        centre[point_labels] + rng.normal(size=(points, width)),
        truth,
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def say(item: str, value: str, bar: str, holds: bool, goal: str = "") -> bool:
    print(f"  {'ok  ' if holds else 'MISS'} {item:<58} {value:>26}   bar {bar:<14} {'goal ' + goal if goal else ''}")
    return holds


def speed(name: str, shape: tuple[int, int, int, int], bars: tuple[float, float, float], goals: str) -> bool:
    """Time set-up with the first scan, the first choice, and later steps."""
    train, labels, points, truth = synthetic(*shape)
    start = time.process_time()
    made = CertainPredictions(train, labels, points, n_classes=2, rng=np.random.default_rng(0))
    setup = time.process_time() - start
    first = seconds(made.next)
    steps = []
    for _ in range(40):
        if made.done:
            break
        row = int(made.next()[0])
        steps.append(seconds(lambda row=row: (made.answer(row, int(truth[row]), 1), made.next())))
    later = float(np.median(steps))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    value = f"{setup:.2f} s / {first * 1e3:.1f} ms / {later * 1e3:.1f} ms"
    tell(f"{name}: first row to clean", setup + first, "s", most=bars[0] + bars[1])
    tell(f"{name}: a later row to clean", later * 1e3, "ms", most=bars[2] * 1e3)
    bar = f"{bars[0]:g} + {bars[1]:g} s / {bars[2] * 1e3:g} ms"
    print(f"       {name}: {(~made.certain).sum()} of {len(points)} points uncertain, peak {peak:.2f} GiB")
    return say(
        f"{name}: set-up with first scan / choice / later",
        value,
        bar,
        setup + first <= bars[0] + bars[1] and later <= bars[2],
        goals,
    )


def closed(data: Reference, rows: list[int]) -> float:
    """Return the share of the test gap between default and true repairs that cleaning these rows closes."""
    low, high = (data.accuracy(set(some), data.test, data.test_labels) for some in ((), data.truth))
    return (data.accuracy(set(rows), data.test, data.test_labels) - low) / (high - low)


def loop(data: Reference, points: int, bars: tuple[int, float] | None, goal: str) -> bool:
    """Clean a reference data set until every prediction is certain; print rows and gap beside the peers."""
    held = []
    start = time.process_time()
    made = data.predictions(points)
    rows = list(cleaned_greedily(data, made))
    spent = time.process_time() - start
    right = made.label_mass.argmax(axis=1) == data.point_labels[:points]
    true = data.accuracy(set(data.truth), data.points[:points], data.point_labels[:points])
    held.append(
        say(
            f"{data.name}: accuracy at the end - of the true repairs",
            f"{right.mean() - true:.4f}",
            "0",
            right.mean() == true,
        )
    )
    tenth = len(data.truth) // 10
    share = closed(data, rows[:tenth])
    figures = f"{len(rows)} rows, {share:.0%}, {spent:.1f} s"
    bar = f"{bars[0]}, {bars[1]:.0%}, 120 s" if bars else "-"
    told = int((data.authors["authors_full"] == 1).sum())
    most, least = bars or (None, None)
    tell(f"{data.name}: rows cleaned until certain", len(rows), "rows", most=most, peer=f"official code {told} rows")
    tell(f"{data.name}: gap closed by a tenth of them", share, "%", least=least)
    fits = bars is None or (len(rows) <= bars[0] and share >= bars[1] and spent <= 120)
    held.append(say(f"{data.name}: rows until certain, gap closed at 10 %, time", figures, bar, fits, goal))
    for run in ("full", "early"):
        told = data.authors[f"authors_{run}"]
        print(f"       peer: the authors' {run} run cleaned {(told == 1).sum()} rows; {(told < 0).sum()} untold")
    for batch in (5, 20):
        made = data.predictions(points)
        asked = list(cleaned_greedily(data, made, batch))
        print(f"       batches of {batch}: {len(asked)} rows, gap closed at 10 % {closed(data, asked[:tenth]):.0%}")
    for seed in range(3 if points == 1000 else 1):
        order = np.random.default_rng(seed).permutation(sorted(data.truth))
        needed = cleaned_in_order(data, data.predictions(points), order)
        print(f"       peer: random order {seed}: {needed} rows, {closed(data, order[:tenth].tolist()):.0%}")
    start = time.process_time()
    made = data.predictions(points)
    belief = made.potential()
    print(
        f"       potential {belief.accuracy:.3f}, expected {belief.expected:.3f}, certain {belief.certain:.3f} "
        f"in {time.process_time() - start:.1f} s; the true repairs reach {true:.3f}"
    )
    return all(held)


def exactness(data: Reference, points: int) -> bool:
    """Compare with the reference answers."""
    wrong, mass, nats, gain = differences(data, data.predictions(points))
    value = f"{wrong} / {mass:.0e} {nats:.0e} {gain:.0e}"
    holds = wrong == 0 and max(mass, nats, gain) <= 1e-9
    return say(f"{data.name}: certain wrong / mass, entropy, gain off", value, "0 / 1e-9", holds, "1e-12")


def brute_force(cases: int) -> bool:
    """Compare tiny training sets with every possible world: 2-4 classes, K 1-5, ties, uneven priors."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "property"))
    from test_cpclean_worlds import check, predictions, tiny

    wrong = 0
    for seed in range(cases):
        try:
            check(predictions(*tiny(seed, mixed=seed % 5 == 0)))
        except AssertionError as error:
            wrong += 1
            print(f"       case {seed}: {error}")
    return say(f"{cases} tiny sets against every world", f"{wrong} wrong", "0 / 1e-9", wrong == 0, "1e-12")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small instances, first 150 validation points")
    quick = parser.parse_args().quick
    held = []
    print("Certain predictions")
    held.append(brute_force(100 if quick else 1000))
    if quick:
        held.append(speed("N=2k, 200 dirty, V=200", (2000, 200, 5, 200), (1, 0.5, 0.02), ""))
        held.append(speed("N=2k, 95 % dirty, V=200", (2000, 1900, 5, 200), (10, 0, 0.2), ""))
    else:
        shapes = (
            ("N=10k, 1k dirty", (10_000, 1000, 5, 1000), (1, 0.5, 0.02), ".3 s + .1 s / 2 ms"),
            ("N=10k, 95 % dirty", (10_000, 9500, 5, 1000), (10, 0, 0.2), "1 s / 30 ms"),
            ("N=100k, 10k dirty", (100_000, 10_000, 5, 1000), (10, 0, 0.5), "3 s / 10 ms"),
        )
        held += [speed(*shape) for shape in shapes]
    if DATA.is_dir():
        points = 150 if quick else 1000
        for name, bars, goal in (("supreme", (620, 0.8), "590, 95 %, 30 s"), ("nursery", (2150, 0.0), "2050")):
            data = reference(name)
            held.append(exactness(data, points))
            held.append(loop(data, points, None if quick else bars, goal))
    else:
        print(f"  no reference data at {DATA}")
    return 0 if all(held) else 1


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(main())
