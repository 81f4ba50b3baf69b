"""CI: sample sizes, labels per decision, wrong decisions, leakage and a real history, each beside its bar.

Peers in the same run: the closed-form mixture that knows the share of changed predictions, and betting on the
whole stream (aGRAPA of Waudby-Smith and Ramdas), which does not; both may go on for ever, without a cap for truths
on the threshold. Published sizes are those of the plan.

    python tests/benchmarks/bench_ci.py [--quick]
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import pathlib
import sys
import time

import numpy as np
from figures import tell
from rich.console import Console
from rich.table import Table
from scipy.special import betaln
from scipy.stats import beta
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "property"))

from ci_worlds import judge, world

from easeml.ci import TestSetLedger, plan

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data")) / "ci"
CONDITION, CHANGED = "n - o > 0.02 +/- 0.01", 0.1


def rows(name):
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def fits(source, ours, theirs):
    if "rounded" in source:  # printed as e.g. 46K, cut off
        return theirs - 1 <= ours < theirs + 1000
    return abs(ours - theirs) <= (0.005 * theirs if source == "exact_binomial_worst_case" else 1)


def sample_sizes(table):
    found = rows("sample_sizes.csv")
    right = 0
    for row in found:
        adaptivity = {"hybrid": "first_change"}.get(row["adaptivity"], row["adaptivity"])
        protocol = {"reliability": float(row["reliability"]), "steps": int(row["steps"]), "adaptivity": adaptivity}
        ours = plan(row["condition"], **protocol).references.get(row["source"], -1)
        right += fits(row["source"], ours, int(row["n_reference"]))
    table.add_row("published sample sizes that match", f"{right} of {len(found)}", "", "all")


def labels_per_decision(rng, runs, gain, protocol, n, pool):
    """Labels and outcomes of single decisions through the ledger."""
    used, outcomes = [], []
    for _ in range(runs):
        old, new = world(rng, n, CHANGED, 0.0, gain)
        book = TestSetLedger(n, condition=CONDITION, mode="fp-free", rng=rng, **protocol)
        known = (rng.binomial(pool, CHANGED), pool) if pool else (0, 0)
        verdict = judge(book, "new", new, old, unlabelled=known)
        used.append(verdict.labels_used)
        outcomes.append(verdict.outcome)
    return np.array(used), outcomes


def closed_form(rng, runs, gain, delta, k=30):
    """Labels of the closed form for a known share of changed predictions, both sides in one mixture."""
    p0, p = 0.5 + 0.02 / (2 * CHANGED), 0.5 + gain / (2 * CHANGED)
    wins = np.cumsum(rng.random((runs, 20_000 if delta < 1e-9 else 6000)) < p, axis=1)
    fails = np.arange(1, wins.shape[1] + 1) - wins
    a, b = k * p0, k * (1 - p0)
    evidence = betaln(a + wins, b + fails) - betaln(a, b) - wins * math.log(p0) - fails * math.log1p(-p0)
    hit = evidence >= math.log(1 / delta)
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, wins.shape[1])


def agrapa(rng, runs, gain, delta, longest=40_000):
    """Labels when the share of changed predictions is unknown: bets on every example, changed or not."""
    mean, square, count = np.full(runs, 0.51), np.full(runs, 0.25 + 0.51**2), 1.0
    wealth, used, done = np.zeros((2, runs)), np.zeros(runs), np.zeros(runs, dtype=bool)
    for _ in range(longest):
        variance = np.maximum(square / count - (mean / count) ** 2, 1e-4)
        gap = mean / count - 0.51
        stake = np.clip(gap / (variance + gap**2), -0.5 / 0.49, 0.5 / 0.51)
        x = 0.5 + 0.5 * np.select([(u := rng.random(runs)) < (CHANGED + gain) / 2, u < CHANGED], [1.0, -1.0], 0.0)
        wealth += np.log1p(np.stack([np.maximum(stake, 0), np.minimum(stake, 0)]) * (x - 0.51))
        mean, square, count = mean + x, square + x**2, count + 1
        used += ~done & (u < CHANGED)
        done |= (wealth >= math.log(1 / delta)).any(axis=0)
        if done.all():
            break
    return used


PLAYS = (
    # steps, adaptivity, test examples, further unlabelled ones, part of the runs, bar
    (1, "none", 12_500, 10**7, 1, "<= 450 decisive, <= 1,250 on the threshold"),
    (1, "none", 12_500, 0, 1, "study, aGRAPA: 520 / 1,937 / 482"),
    (32, "none", 20_000, 0, 20, "study, d known: 601 / 1,878 / 570"),
    (32, "full", 60_000, 0, 20, "study, d known: 1,545 / 5,501 / 1,457"),
)


def label_table(table, quick):
    rng, runs = np.random.default_rng(7), 100 if quick else 2000
    for steps, adaptivity, n, pool, part, bar in PLAYS:
        protocol = {"reliability": 0.999, "steps": steps, "adaptivity": adaptivity}
        figures, some = [], max(runs // part, 20)
        for gain, outcome in ((0.0, "FAILED"), (0.02, "UNDECIDED"), (0.04, "PASSED")):
            used, outcomes = labels_per_decision(rng, some, gain, protocol, n, pool)
            right = np.mean([found == outcome for found in outcomes])
            figures.append(f"{np.median(used):,.0f} (<= {used.max():,}; {right:.1%} {outcome.lower()})")
        name, peer = ("closed form, d known", closed_form) if pool or steps > 1 else ("aGRAPA, d unknown", agrapa)
        if pool:
            told = "labels until a change of .04 passes n - o > 0.02 +/- 0.01, share of changes known"
            peer = f"a test set of fixed size {plan(CONDITION, **protocol).references['official_code']:,}"
            tell(told, np.median(used), "labels", most=450, peer=peer)
        figure = plan(CONDITION, **protocol)
        ends = [np.median(peer(rng, min(runs, 200), gain, 0.001 / figure.histories)) for gain in (0.0, 0.04)]
        known = "d known" if pool else f"d from {n:,} rows"
        table.add_row(
            f"H = {steps}, {adaptivity}, {known}: median labels at true difference 0 / .02 / .04, {some:,} runs",
            "\n".join(figures),
            f"{name} {ends[0]:,.0f} / {ends[1]:,.0f}\nreleased calculator {figure.references['official_code']:,}",
            bar,
        )


def wrong_decisions(table, quick):
    """Null runs on the threshold, where either verdict but 'undecided' is wrong just beside it."""
    rng, runs, n = np.random.default_rng(11), 500 if quick else 20_000, 500
    for delta in (0.05, 0.01):
        counts, start = {"PASSED": 0, "FAILED": 0, "UNDECIDED": 0}, time.process_time()
        for _ in range(runs):
            old, new = world(rng, n, 0.3, 0.08, 0.02)
            protocol = {"reliability": 1 - delta, "steps": 1, "adaptivity": "none"}
            book = TestSetLedger(n, condition="n - o > 0.02 +/- 0.05", rng=rng, **protocol)
            counts[judge(book, "new", new, old).outcome] += 1
        for outcome in ("PASSED", "FAILED"):
            wrong = counts[outcome]
            tell(f"wrongly {outcome.lower()} at delta {delta}, {runs:,} null runs", wrong / runs, "%", most=delta)
            low = beta.ppf(0.025, wrong, runs - wrong + 1) if wrong else 0.0
            high = beta.ppf(0.975, wrong + 1, runs - wrong)
            table.add_row(
                f"wrongly {outcome.lower()} at delta {delta}, {runs:,} null runs, both-wrong, d unknown",
                f"{wrong / runs:.4f} [{low:.4f}, {high:.4f}]",
                f"{time.process_time() - start:.0f} CPU s",
                f"<= {delta}",
            )


def attack(table, quick):
    """Keep each random predictor's sign, let them vote: how far may the vote's accuracy stray from 1/2?"""
    rng, runs, epsilon = np.random.default_rng(13), 100 if quick else 400, 0.05
    for adaptivity, bar in (("none", "about 30 %"), ("full", "0")):
        figures = plan(f"n > 0.5 +/- {epsilon}", reliability=0.99, steps=32, adaptivity=adaptivity)
        broken = 0
        for _ in range(runs):
            right = rng.integers(2, size=(32, figures.reference)) * 2 - 1
            signs = np.where(right.mean(axis=1) > 0, 1, -1)
            vote = (signs[:, None] * right).sum(axis=0) + rng.choice([-0.5, 0.5], size=figures.reference)
            broken += abs(float((vote > 0).mean()) - 0.5) > epsilon
        size = f"{figures.reference:,} examples"
        table.add_row(f"attack on the '{adaptivity}' size: eps broken", f"{broken} of {runs}", size, bar)
    passed, runs, n = 0, runs // 10, plan("n > 0.5 +/- 0.05", reliability=0.99, steps=33).reference
    for _ in range(runs):
        book = TestSetLedger(n, condition="n > 0.5 +/- 0.05", reliability=0.99, steps=33, rng=rng)
        guesses = rng.integers(2, size=(32, n))
        bits = [judge(book, str(i), guess).signal for i, guess in enumerate(guesses)]
        votes = np.where(np.array(bits)[:, None], guesses, 1 - guesses).sum(axis=0) + rng.choice([-0.5, 0.5], size=n)
        passed += judge(book, "vote", (votes > 16).astype(np.int64)).signal
    table.add_row("attack through the ledger: votes that pass n > 0.5", f"{passed} of {runs}", "", "0")


def emocontext(table, quick):
    found = np.array([[int(cell) for cell in row.values()] for row in rows("emocontext_commits.csv")])
    truth, commits = found[:, 0], found[:, 1:].T
    bought = []
    for seed in range(2 if quick else 10):
        rng = np.random.default_rng(seed)
        book = TestSetLedger(
            len(truth), condition="n - o > 0.02 +/- 0.02", reliability=0.998, steps=7, adaptivity="none", rng=rng
        )
        book.set_baseline("commit 1", commits[0])
        for number, predictions in enumerate(commits[1:], start=2):
            evaluation = book.propose(f"commit {number}", predictions)
            for index in evaluation:
                evaluation.observe(index, int(truth[index]))
        bought.append(book.labels_bought)
    published = plan("n - o > 0.02 +/- 0.02", reliability=0.998, steps=7, adaptivity="none").references
    peer = f"Hoeffding {published['paper_text']:,}, Bennett {published['formula_bennett_known_p=0.1']:,}"
    tell("EmoContext, 7 commits: test labels", max(bought), "labels", most=780, peer=peer)
    table.add_row(
        f"EmoContext, 7 commits: distinct labels, {len(bought)} orders",
        f"median {np.median(bought):.0f}, at most {max(bought)}",
        f"Hoeffding {published['paper_text']:,}, Bennett {published['formula_bennett_known_p=0.1']:,}",
        "<= 780",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the runs")
    options = parser.parse_args()
    table = Table("figure", "ours", "peers", "to reach", title=f"CI, {CONDITION}")
    if DATA.is_dir():
        sample_sizes(table)
        emocontext(table, options.quick)
    label_table(table, options.quick)
    wrong_decisions(table, options.quick)
    attack(table, options.quick)
    Console(width=170).print(table)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
