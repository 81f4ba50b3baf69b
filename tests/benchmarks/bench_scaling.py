"""How things grow: a service over partitions and processes, the algorithms over rows, models, classes and columns.

    python tests/benchmarks/bench_scaling.py

A figure of a curve is told beside those before it; the growth is the exponent of the straight line through the curve on
logarithmic axes (1: twice as much takes twice as long). Algorithms count CPU time of one thread. More processes than
cores bring nothing; then it is the CPU time per row that shows what sharing the partitions costs.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import tell
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "stream"))

import bench_stream
from bench_cpclean import synthetic
from kernel_house import House

from easeml.cpclean import CertainPredictions
from easeml.market.shapley import knn_shapley
from easeml.modelpicker import ModelPicker
from easeml.snoopy import FeasibilityStudy
from easeml.stream.topics import APPS, DATA_PRODUCTION

MESSAGES = 12_000


def curve(what: str, sizes: tuple[int, ...], cost: Callable[[int], float], unit: str) -> None:
    """Tell what something costs at each size, and how that grows."""
    costs = [cost(size) for size in sizes]
    growth = np.polyfit(np.log(sizes), np.log(costs), 1)[0]
    shown = ", ".join(f"{size:,}: {cost:,.3g}" for size, cost in zip(sizes, costs, strict=True))
    print(f"{what}: {shown} {unit}; growth {growth:.2f}", flush=True)
    tell(f"{what}: growth of the cost", growth, peer=f"{shown} {unit}")


def seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


# -- processes ---------------------------------------------------------------------------------------------------------


def processes() -> None:
    """Tell rows a second of one service in 1, 2 and 4 processes, on as many partitions."""
    rates, each = [], []
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            by_clock, by_cpu = shared(Path(folder), count)
        print(f"{count} partitions and processes: {by_clock:,.0f} rows/s, {by_cpu:,.0f} per CPU second", flush=True)
        rates.append(by_clock)
        each.append(by_cpu)
    tell("a service in 2 processes, of what it does in one", rates[1] / rates[0], "x")
    tell("a service in 4 processes, of what it does in one", rates[2] / rates[0], "x")
    tell("rows a CPU second in 4 processes, of those in one", each[2] / each[0], "%")


def shared(folder: Path, count: int) -> tuple[float, float]:
    """Return rows a second, by the clock and by CPU time, of so many processes that read what is there already."""
    with House(folder, ["scorer"], partitions=count) as house:
        house.program = Path(bench_stream.__file__)
        names = [f"app{number}" for number in range(8 * count)]
        for name in names:
            house.publish(APPS, replace(bench_stream.app(), app=name))
        house.flush()
        homes = [beside(house, folder / str(number)) for number in range(count)]
        try:
            for number, home in enumerate(homes):
                home.start("scorer", instance=str(number))
            for home in homes:
                home.wait_ready("scorer")
            plain = bench_stream.batch(0)
            told(homes, signal.SIGSTOP)  # for less than a session lasts: they shall find all of it there
            for number in range(MESSAGES):
                house.publish(DATA_PRODUCTION, replace(plain, app=names[number % len(names)]), f"b-{number}")
            house.flush()
            begin, cpu = time.perf_counter(), spent(homes)
            told(homes, signal.SIGCONT)
            while applied(homes) < MESSAGES:
                time.sleep(0.05)
            rows = MESSAGES * bench_stream.ROWS
            return rows / (time.perf_counter() - begin), rows / (spent(homes) - cpu)
        finally:
            for home in homes:
                home.stop("scorer", kill=True)


def applied(homes: list[House]) -> int:
    """Return how many messages all processes have applied."""
    positions = [home.health("scorer")[1]["positions"].get(DATA_PRODUCTION.name, {}) for home in homes]
    return sum(offset + 1 for each in positions for offset in each.values())


def told(homes: list[House], number: signal.Signals) -> None:
    """Send all processes a signal."""
    for home in homes:
        os.kill(home.processes["scorer"].pid, number)


def spent(homes: list[House]) -> float:
    """Return the CPU seconds of all processes."""
    return sum(bench_stream.cpu_seconds(home.processes["scorer"].pid) for home in homes)


def beside(house: House, folder: Path) -> House:
    """Return another home on the broker of a house."""
    folder.mkdir()
    other = House(folder, ["scorer"])
    other.program, other.settings, other.overrides = house.program, house.settings, house.overrides | {"home": folder}
    return other


# -- algorithms --------------------------------------------------------------------------------------------------------


def shapley(rows: int, width: int = 16) -> float:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(rows, width)), rng.normal(size=(200, width))
    labels, truth = rng.integers(3, size=rows), rng.integers(3, size=200)
    return seconds(lambda: knn_shapley(known, labels, asked, truth, k=5))


def picking(models: int, classes: int = 10, rows: int = 1000) -> float:
    """Microseconds for a row."""
    rng = np.random.default_rng(0)
    truth = rng.integers(classes, size=rows)
    right = rng.random((rows, models)) < np.linspace(0.5, 0.8, models)
    votes = np.where(right, truth[:, None], rng.integers(classes, size=(rows, models))).astype(np.int32)
    picker = ModelPicker(models, classes, budget=0, horizon=rows, rng=rng)
    return 1e6 / rows * seconds(lambda: [picker.step_batch(votes[i : i + 1], [i]) for i in range(rows)])


def cleaning(rows: int) -> float:
    """Milliseconds from an answer to the next row to clean."""
    train, labels, points, truth = synthetic(rows, rows // 10, 5, 500)
    made = CertainPredictions(train, labels, points, n_classes=2, rng=np.random.default_rng(0))
    steps = []
    for _ in range(20):
        row = int(made.next()[0])
        steps.append(seconds(lambda row=row: (made.answer(row, int(truth[row]), 1), made.next())))
    return 1e3 * float(np.median(steps))


def studying(rows: int) -> float:
    """Seconds to take in all rows."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=rows)
    features = rng.normal(size=(rows, 20)) + labels[:, None]
    study = FeasibilityStudy(3, rng=rng)
    return seconds(lambda: study.add(features, labels, [f"r{row}" for row in range(rows)]))


def main() -> None:
    processes()
    with threadpool_limits(1):
        curve("Market, exact values over training rows", (1000, 4000, 16_000, 64_000), shapley, "s")
        curve("Market, exact values over columns", (8, 32, 128), lambda width: shapley(8000, width), "s")
        curve("ModelPicker, a row over models", (10, 40, 160), picking, "µs")
        curve("ModelPicker, a row over classes", (2, 20, 200), lambda classes: picking(40, classes), "µs")
        curve("CPClean, the next row over training rows", (1000, 4000, 16_000), cleaning, "ms")
        curve("Snoopy, a study over training rows", (500, 1000, 2000, 4000), studying, "s")


if __name__ == "__main__":
    main()
