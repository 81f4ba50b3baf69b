"""Market: speed and exactness of Shapley values, and what labels bought by them bring.

Peers in the same run: the published recursion on a plain argsort, always; pyDVL, opendataval and datascope where
another interpreter has them (``--peers PYTHON`` or EASEML_PEER_PYTHON): their old pins do not fit this project's.

    pip install pyDVL==0.10.0 opendataval==1.3.0 "transformers<4.40" datascope==0.0.32    # Python 3.11, of its own
    python tests/benchmarks/bench_market.py [--quick] [--peers /path/to/venv/bin/python]
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import subprocess
import tempfile
import time
import tracemalloc
from pathlib import Path

import market_pool
import numpy as np
from figures import tell
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from easeml.market import knn_shapley

POINTS, WIDTH, K = 1000, 32, 5

PEERS = {
    "pyDVL": """
from sklearn.neighbors import KNeighborsClassifier
from pydvl.valuation import Dataset, KNNShapleyValuation
def make(x, y, x_val, y_val, k):
    model = KNeighborsClassifier(k, algorithm="brute")
    valuation = KNNShapleyValuation(model, Dataset(x_val, y_val), progress=False)
    return lambda: valuation.fit(Dataset(x, y)).result.values
""",
    "opendataval": """
import torch
from opendataval.dataval.knnshap import KNNShapley
def make(x, y, x_val, y_val, k):
    classes = int(max(y.max(), y_val.max())) + 1
    tensors = [torch.tensor(x).float(), torch.eye(classes)[torch.tensor(y)], torch.tensor(x_val).float(),
               torch.eye(classes)[torch.tensor(y_val)]]
    valuation = KNNShapley(k_neighbors=k).input_data(*tensors)
    return lambda: valuation.train_data_values().evaluate_data_values()
""",
    "datascope (K=1)": """
from datascope.importance import SklearnModelAccuracy, ShapleyImportance
from sklearn.neighbors import KNeighborsClassifier
def make(x, y, x_val, y_val, k):
    utility = SklearnModelAccuracy(KNeighborsClassifier(1))
    importance = ShapleyImportance(method="neighbor", utility=utility).fit(x, y)
    return lambda: importance.score(x_val, y_val)
""",
}
TIMED = """
import sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
data = np.load(sys.argv[1])
run = make(data["x"], data["y"], data["x_val"], data["y_val"], int(sys.argv[3]))
begin = time.process_time()
values = np.asarray(run(), float)
seconds = time.process_time() - begin
np.savez(sys.argv[2], values=values, seconds=seconds)
"""


def data(n, points):
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(n, WIDTH)),
        rng.integers(0, 4, n),
        rng.normal(size=(points, WIDTH)),
        rng.integers(0, 4, points),
    )


def timed(call):
    begin = time.process_time()
    value = call()
    return value, time.process_time() - begin


def plain(x, y, x_val, y_val, k):
    """The published recursion, vectorised over ranks, on distances by subtraction and an argsort per point."""
    values = np.zeros(len(x))
    for query, code in zip(x_val, y_val, strict=True):
        order = np.argsort(((x - query) ** 2).sum(axis=1), kind="stable")
        found = np.append((y[order] == code).astype(float), 0.0)
        steps = (found[:-1] - found[1:]) / np.maximum(k, np.arange(1, len(x) + 1))
        values[order] += np.cumsum(steps[::-1])[::-1]
    return values / len(x_val)


def peer(name, python, rows):
    """Return a peer's values and seconds, or in words why there are none."""
    if not python:
        return "absent: no interpreter given"
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(given, **dict(zip(("x", "y", "x_val", "y_val"), rows, strict=True)))
        command = [python, "-c", PEERS[name] + TIMED, str(given), str(told), str(K)]
        alone = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
        if done.returncode:
            return f"absent: {done.stderr.strip().splitlines()[-1][:60]}"
        with np.load(told) as result:
            return result["values"], float(result["seconds"])


def speed(table, n, bar, python, quick):
    rows = data(n, POINTS)
    values, seconds = timed(lambda: knn_shapley(*rows, k=K))
    tracemalloc.start()
    knn_shapley(*(part[:64] if i > 1 else part for i, part in enumerate(rows)), k=K)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # peers take minutes at 100k: their time is proportional to validation rows, so a tenth of these is enough
    points = POINTS // 10 if quick or n > 10_000 else POINTS
    few = rows[0], rows[1], rows[2][:points], rows[3][:points]
    mine = values if points == POINTS else knn_shapley(*few, k=K)
    reference, slow = timed(lambda: plain(*few, K))
    peers = [f"argsort {slow * POINTS / points:.1f}"]
    for name in PEERS:
        told = peer(name, python, few)
        if isinstance(told, str):
            peers.append(f"{name} {told}")
        else:
            off = "" if "K=1" in name else f" (off {np.abs(told[0] - mine).max():.0e})"
            peers.append(f"{name} {told[1] * POINTS / points:.1f}{off}")
    table.add_row(f"exact values, N = {n:,}, CPU s", f"{seconds:.2f}", "\n".join(peers), bar)
    measured = ", ".join(f"{told} s" for told in peers if "absent" not in told)
    most = float(bar.removeprefix("<= "))
    tell(f"exact KNN-Shapley values of {n:,} rows, {POINTS} validation rows", seconds, "s", most=most, peer=measured)
    memory = f"{peak / 8 / n:.0f} x N doubles"
    table.add_row(f"  memory beyond the rows, N = {n:,}", memory, "", "about 64 x N doubles + 2 copies of the rows")
    off = np.abs(reference - mine).max()
    table.add_row(f"  agreement with the argsort reference, N = {n:,}", f"{off:.1e}", "", "1e-9")
    truncated, short = timed(lambda: knn_shapley(*rows, k=K, truncate=0.01))
    limit = "<= 1 s, error <= 0.01" if n > 10_000 else "error <= 0.01"
    off = np.abs(truncated - values).max()
    table.add_row(f"  truncated, K* = 100, N = {n:,}", f"{short:.2f} s, error {off:.1e}", "", limit)


def oracle():
    """Largest difference from the values by all 2^N subsets, N <= 10, K from 1 to 12."""
    worst, rng = 0.0, np.random.default_rng(0)
    for n, k in itertools.product(range(1, 11), (1, 3, 5, 12)):
        x, y, query = rng.normal(size=(n, 2)), rng.integers(0, 2, n), rng.normal(size=2)
        order = np.argsort(((x - query) ** 2).sum(axis=1))
        found = (y == 1).astype(float)
        worth = [sum([found[row] for row in order if mask >> row & 1][:k]) / k for mask in range(2**n)]
        steps = [[] for _ in range(n)]
        for row, mask in itertools.product(range(n), range(2**n)):
            if not mask >> row & 1:
                steps[row].append((worth[mask | 1 << row] - worth[mask]) / (n * math.comb(n - 1, mask.bit_count())))
        # summed without rounding: the reference must not be worse than what it judges
        values = np.array([math.fsum(some) for some in steps])
        worst = max(worst, float(np.abs(values - knn_shapley(x, y, query[None], [1], k=k)).max()))
    return worst


def acquisition(table, seeds, *, quick):
    mean: dict[str, list[float]] = {}
    alone = () if quick else tuple((kind,) for kind in market_pool.KINDS)
    for name in ("digits", "segments"):
        for kinds in (market_pool.KINDS, *alone):
            mixed = len(kinds) > 1
            policies = ["random", "published", "margin", "filter_margin", "filter_diverse"]
            after, useful, spent = {}, {}, {}
            for policy in policies:
                runs, spent[policy] = timed(
                    lambda p=policy, n=name, k=kinds: [
                        market_pool.buy(p, market_pool.scenario(n, k, seed), seed) for seed in range(seeds)
                    ]
                )
                after[policy] = np.mean([run[0] for run in runs], axis=0)
                useful[policy] = np.mean([run[1] for run in runs])
                mean.setdefault(policy, []).append(after[policy][-1])
            gains = [after["filter_margin"][-1] - after[peer][-1] for peer in ("random", "published")]
            if mixed:
                told = f"{name}: accuracy after 200 labels beyond that by chance"
                peer = f"published {gains[0] - gains[1]:+.3f}"
                tell(told, gains[0], least=0.08 if seeds > 1 else None, peer=peer)
            ours = " / ".join(f"{after['filter_margin'][place]:.3f}" for place in (1, 2, 4))
            others = "\n".join(
                f"{policy} " + " / ".join(f"{after[policy][place]:.3f}" for place in (1, 2, 4)) for policy in policies
                if policy != "filter_margin"
            )  # fmt: skip
            table.add_row(
                f"{name} {'mixed' if mixed else kinds[0]}: accuracy after 50 / 100 / 200 labels",
                f"{ours}\n{gains[0]:+.3f} random, {gains[1]:+.3f} published\n{useful['filter_margin']:.0%} useful, "
                f"{spent['filter_margin'] / seeds:.1f} CPU s a run",
                others,
                ">= random + .08,\n>= published + .05" if mixed else ">= random - .02",
            )
    figures = {policy: f"{np.mean(accuracies):.3f}" for policy, accuracies in mean.items()}
    others = ", ".join(f"{policy} {figure}" for policy, figure in figures.items() if policy != "filter_margin")
    table.add_row("mean of all scenarios after 200 labels", figures["filter_margin"], others, "")


def stream(table):
    """The same loop through the service: ten questions open at once, answered rows read from the training topic."""
    for name in ("digits", "segments"):
        rows = market_pool.scenario(name, market_pool.KINDS, 0)
        after, seconds = timed(lambda r=rows: market_pool.buy_on_stream(r))
        random = market_pool.buy("random", rows, 0)[0]
        ours, others = (" / ".join(f"{curve[place]:.3f}" for place in (0, 1, 2, 4)) for curve in (after, random))
        table.add_row(
            f"{name} mixed through the stream, one seed: accuracy after 0 / 50 / 100 / 200 labels",
            f"{ours}\n{after[-1] - random[-1]:+.3f} random, {seconds:.0f} CPU s",
            f"random {others}",
            ">= random + .08",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="N = 10,000 and the mixed pools only, one seed")
    parser.add_argument("--peers", default=os.environ.get("EASEML_PEER_PYTHON", ""), help="interpreter that has peers")
    options = parser.parse_args()
    table = Table("figure", "ours", "peers", "to reach", title=f"Market, {POINTS} validation rows, d={WIDTH}, K={K}")
    speed(table, 10_000, "<= 0.3", options.peers, options.quick)
    if not options.quick:
        speed(table, 100_000, "<= 4", options.peers, options.quick)
    off = oracle()
    tell("difference of a value from that by all 2^N subsets", off, most=1e-15)
    table.add_row("difference from all 2^N subsets, N <= 10, K <= 12", f"{off:.1e}", "", "1e-15")
    acquisition(table, 1 if options.quick else 6, quick=options.quick)
    stream(table)
    Console(width=170).print(table)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
