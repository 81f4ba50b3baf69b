"""AutoML scheduling: compute spent until the tenants' average loss is small, against simpler rules on the same draws.

    python tests/benchmarks/bench_scheduler.py [--quick]

Tenants are drawn from the test part of the Oboe matrix; the scheduler knows its history part, and costs only as it
predicts them. ``popular`` is what users do without a scheduler: the models of the best mean in the history, tenants in
turn. The synthetic tenants tell their costs, which nothing predicts. ``--quick`` takes 4 draws. The reference data lie
in ``EASEML_REFERENCE_DATA``, else beside the checkout.
"""

from __future__ import annotations

import argparse
import heapq
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import tell
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from easeml.automl import Scheduler
from easeml.automl.turns import Turns

DATA = Path(os.environ.get("EASEML_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "automl"
CAP = 100.0
"""Seconds; a run that takes longer counts as this long."""
SYN = {("0.01", "0.1"): 2.70, ("0.01", "1.0"): 6.0, ("0.5", "0.1"): 1.38, ("0.5", "1.0"): 0.96}
"""Percent of the cost until loss .01, measured elsewhere."""


class Town(NamedTuple):
    """Tasks with the quality and the cost of every model; those that are tenants, and the ones before them."""

    quality: np.ndarray
    cost: np.ndarray
    past: np.ndarray
    tenants: np.ndarray
    tell: bool

    def scheduler(self, policy, names):
        algorithms = [str(k) for k in range(self.quality.shape[1])]
        scheduler = Scheduler(algorithms, policy=policy, history=(self.quality[self.past], self.cost[self.past]))
        for name in names:
            scheduler.add_tenant(name, self.cost[self.tenants[int(name)]] if self.tell else None)
        return scheduler


class PublishedTurns(Turns):
    """HYBRID as published: once frozen, in turn for ever; no tenant is sure of its share."""

    def improved(self):
        if self.still < 10:
            super().improved()

    def _first_due(self, tenants, patience):
        first, end = super()._first_due(tenants, patience)
        return first, np.inf if patience > 1 else end

    def _greedy(self, tenants):
        return None if self.policy == "hybrid" and self.still >= 10 else super()._greedy(tenants)


class GreedyTurns(PublishedTurns):
    """GREEDY as published: no tenant is sure of its share."""


def oboe(draw, tenants=10):
    with np.load(DATA / "oboe_openml.npz") as data:
        quality, cost, split = (data[name] for name in ("quality", "cost", "split"))
    rows = np.random.default_rng(draw).choice(np.flatnonzero(split == 1), tenants, replace=False)
    cost = np.minimum(cost.astype(float), CAP)
    return Town(quality.astype(float), cost, np.flatnonzero(split == 0), rows, tell=False)


def synthetic(draw, spread, alpha):
    with np.load(DATA / "syn_seed1.npz") as data:
        quality, cost = (data[f"{name}_s{spread}_a{alpha}"].astype(float) for name in ("quality", "cost"))
    rows = np.random.default_rng(draw).choice(len(quality), 10, replace=False)
    return Town(quality, cost, np.setdiff1d(np.arange(len(quality)), rows), rows, tell=True)


def scheduled(town, policy, turns=None, devices=1):
    """Yield (time, tenant, model) of every finished run, until nothing is left."""
    names = [str(i) for i in range(len(town.tenants))]
    scheduler = town.scheduler(policy, names)
    if turns is not None:
        scheduler._turns = turns(policy)
    busy = []

    def start(now, device):
        if (choice := scheduler.next(device)) is not None:
            tenant, model = int(choice[0]), int(choice[1])
            heapq.heappush(busy, (now + town.cost[town.tenants[tenant], model], device, tenant, model))

    for device in range(devices):
        start(0.0, device)
    while busy:
        now, device, tenant, model = heapq.heappop(busy)
        row = town.tenants[tenant]
        scheduler.finish(str(tenant), str(model), float(town.quality[row, model]), float(town.cost[row, model]))
        yield now, tenant, model
        start(now, device)


def in_order(town, order):
    """Yield (time, tenant, model) when everybody takes the models in the same order, tenants in turn."""
    now = 0.0
    for model in order:
        for tenant, row in enumerate(town.tenants):
            now += town.cost[row, model]
            yield now, tenant, int(model)


def reached(town, runs, losses):
    """Return the times at which the tenants' average loss was at most each of ``losses``, descending."""
    quality = town.quality[town.tenants]
    top, best, times = quality.max(axis=1), np.zeros(len(quality)), []
    for now, tenant, model in runs:
        best[tenant] = max(best[tenant], quality[tenant, model])
        while len(times) < len(losses) and (top - best).mean() <= losses[len(times)] + 1e-12:
            times.append(now)
        if len(times) == len(losses):
            break
    return np.array(times)


def left(town, runs, shares):
    """Return the tenants' average loss after each of ``shares`` of their whole cost, ascending."""
    quality = town.quality[town.tenants]
    limits = np.array(shares) * town.cost[town.tenants].sum()
    top, best, losses = quality.max(axis=1), np.zeros(len(quality)), []
    for now, tenant, model in runs:
        while len(losses) < len(limits) and now > limits[len(losses)]:
            losses.append((top - best).mean())
        if len(losses) == len(limits):
            break
        best[tenant] = max(best[tenant], quality[tenant, model])
    return np.array(losses)


def percent(town, runs, losses):
    return 100 * reached(town, runs, losses) / town.cost[town.tenants].sum()


def measured_here(draw):
    """Six tenants of the small matrix, the other sixteen tasks before them."""
    with np.load(DATA / "sklearn_river_18x22.npz") as data:
        quality, cost = data["quality"].astype(float), data["cost"].astype(float)
    rows = np.random.default_rng(draw).choice(len(quality), 6, replace=False)
    return Town(quality, cost, np.setdiff1d(np.arange(len(quality)), rows), rows, tell=False)


def popular(town, by):
    past = town.quality[town.past]
    means = past.mean(axis=0)
    wins = (past == past.max(axis=1, keepdims=True)).sum(axis=0)
    return np.argsort(-means, kind="stable") if by == "mean" else np.lexsort((-means, -wins))


RULES = {
    "popular": lambda town: in_order(town, popular(town, "mean")),
    "popular by number of wins": lambda town: in_order(town, popular(town, "wins")),
    "GP-UCB round-robin": lambda town: scheduled(town, "round_robin"),
    "GREEDY as published": lambda town: scheduled(town, "greedy", GreedyTurns),
    "HYBRID as published": lambda town: scheduled(town, "hybrid", PublishedTurns),
    "greedy": lambda town: scheduled(town, "greedy"),
    "hybrid": lambda town: scheduled(town, "hybrid"),
    "gp_ei": lambda town: scheduled(town, "gp_ei"),
}


def rules(table, draws):
    """Every rule on the same draws; loss .05 is for reading, .02 and .01 are judged."""
    towns = [oboe(draw) for draw in range(draws)]
    curves = {name: np.array([percent(t, rule(t), (0.05, 0.02, 0.01)) for t in towns]) for name, rule in RULES.items()}
    mean = {name: curve.mean(axis=0) for name, curve in curves.items()}
    for name, (first, second, third) in mean.items():
        bar = ""
        if name == "hybrid":
            users, published = mean["popular"], mean["HYBRID as published"]
            bars = [min(users[1] / 15, published[1]), min(users[2] / 8, published[2])]
            told = "HYBRID: cost until the average loss is .02, of all there is to train"
            beside = f"what users do {users[1]:.1f} %, as published {published[1]:.2f} %"
            tell(told, second / 100, "%", most=bars[0] / 100, peer=beside)
            bar = _judged(f"<= {bars[0]:.2f} / {bars[1]:.2f} (1/15, 1/8 of popular; published)", [second, third], bars)
        if name == "gp_ei":
            tell("MM-GP-EI: the same", second / 100, "%", most=0.01)
            bar = _judged("<= 1.0 / 5.5", [second, third], [1.0, 5.5])
        times = (
            f"{mean['popular'][1] / second:.0f}x / {mean['popular'][2] / third:.0f}x"
            if name in {"hybrid", "gp_ei"}
            else ""
        )
        table.add_row(
            f"{name}: % of cost until loss .05 / .02 / .01", f"{first:.2f} / {second:.2f} / {third:.2f}", times, bar
        )


def curves(table, draws):
    """The loss that is left while compute is spent: all rules on the same draws."""
    towns = [oboe(draw) for draw in range(draws)]
    for name, rule in RULES.items():
        losses = np.mean([left(town, rule(town), (0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)) for town in towns], axis=0)
        shown = " / ".join(f"{loss:.3f}" for loss in losses)
        table.add_row(f"{name}: average loss after .05 / .1 / .3 / 1 / 3 / 10 % of the cost", shown, "", "")


def _judged(text, values, bars):
    return f"{text}: {'met' if all(value <= bar for value, bar in zip(values, bars, strict=True)) else 'MISSED'}"


def devices(table, draws):
    """Times until the same loss on one device and on several; loss .01 is judged."""
    losses = (0.02, 0.01, 0.002, 0.001)
    for policy in ("gp_ei", "hybrid"):
        towns = [oboe(draw, 40) for draw in range(draws)]
        alone = np.mean([reached(town, scheduled(town, policy), losses) for town in towns], axis=0)
        for count in (2, 4, 8, 16):
            times = [reached(town, scheduled(town, policy, devices=count), losses) for town in towns]
            gains = alone / np.mean(times, axis=0)
            shown = " / ".join(f"{gain:.1f}" for gain in gains)
            bar = "" if count > 8 else f">= {0.8 * count:.1f} at .01: {'met' if gains[1] >= 0.8 * count else 'MISSED'}"
            if policy == "gp_ei":
                least = 0.8 * count if count <= 8 else None
                tell(f"MM-GP-EI, 40 tenants, {count} devices: speed-up to loss .01", gains[1], "x", least=least)
            seconds = "one device: " + " / ".join(f"{value:.0f} s" for value in alone) if count == 2 else ""
            table.add_row(
                f"{policy}, 40 tenants, {count} devices: speed-up to loss .02/.01/.002/.001", shown, seconds, bar
            )


def decisions(table):
    """CPU time of next() alone and of next() and finish() together, 10 tenants, all 219 models."""
    for policy in ("round_robin", "hybrid", "gp_ei"):
        town = oboe(0)
        scheduler = town.scheduler(policy, [str(i) for i in range(10)])
        asked, told = [], []
        for _ in range(600):
            begin = time.process_time_ns()
            tenant, model = scheduler.next()
            middle = time.process_time_ns()
            row = town.tenants[int(tenant)]
            scheduler.finish(tenant, model, float(town.quality[row, int(model)]), float(town.cost[row, int(model)]))
            asked.append(middle - begin)
            told.append(time.process_time_ns() - middle)
        each = np.array([asked, np.array(asked) + told]) / 1e6
        middle, late = np.median(each[0]), np.percentile(each[0], 99)
        tell(f"{policy}: a decision among 10 tenants x 219 models", middle, "ms", most=1)
        table.add_row(
            f"{policy}: a decision, 10 tenants x 219 models, CPU ms, median / 99 %",
            f"{middle:.2f} / {late:.2f}",
            f"with learning the result {np.median(each[1]):.2f}",
            _judged("<= 1", [middle], [1.0]),
        )


def workloads(table, draws):
    """Synthetic tenants, who tell their costs, and the small matrix, whose costs are predicted."""
    peers = ("popular", "GP-UCB round-robin", "HYBRID as published", "hybrid", "gp_ei")
    towns = [measured_here(draw) for draw in range(draws)]
    of = {name: np.mean([percent(town, RULES[name](town), (0.01,))[0] for town in towns]) for name in peers}
    ours, shown = of.pop("hybrid"), ", ".join(f"{name} {value:.1f}" for name, value in of.items())
    table.add_row("hybrid, scikit-learn and river, 6 tenants: % of cost until loss .01", f"{ours:.1f}", shown, "")
    for (spread, alpha), measured in SYN.items():
        towns = [synthetic(draw, spread, alpha) for draw in range(draws)]
        of = {name: np.array([percent(town, RULES[name](town), (0.01,))[0] for town in towns]) for name in peers}
        ours = of.pop("hybrid")
        others = ", ".join(f"{name} {values.mean():.2f}" for name, values in of.items())
        table.add_row(
            f"hybrid, SYN({spread}, {alpha}): % of cost until loss .01",
            f"{ours.mean():.2f} +- {ours.std() / draws**0.5:.2f}",
            others,
            _judged(f"<= {1.15 * measured:.2f}", [ours.mean()], [1.15 * measured]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 draws")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"The reference data are not in {DATA}; set EASEML_REFERENCE_DATA.")
    draws = 4 if options.quick else 20
    table = Table("figure", "measured", "beside", "to reach", title=f"AutoML scheduling, {draws} paired draws")
    rules(table, draws)
    curves(table, draws)
    devices(table, draws)
    decisions(table)
    workloads(table, draws if options.quick else 40)
    Console(width=190).print(table)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
