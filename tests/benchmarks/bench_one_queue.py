"""One queue: labels needed when a person answers the questions of all askers by bits per cost, or in turns.

    python tests/benchmarks/bench_one_queue.py [--quick] [--sets segments,phishing] [--first-seed 4000]
    python tests/benchmarks/bench_one_queue.py --calibrate

Each app (see ``one_queue_app.py``) is played once per policy with the same rows and seeds: the question that tells most
per cost in the one list; round-robin over the askers that have a question; cleaning before labelling before picking;
labelling before cleaning before picking; any question by chance. An asker's own questions go in the order of their bits
everywhere but in the last. After every 5 answers all models are trained anew and the served one's accuracy is taken.

Labels to the same accuracy, for two policies: both mean curves over the seeds are smoothed (mean of three places); for
each level of 50, 55, ... 95 % of the way from the accuracy at the start to the best that either of the two reaches, the
labels at which a curve first reaches it, in a straight line between places, all labels where it never does; their mean.
The figure is the mean over sets of what the one list saves. A single app's curve jumps, when models are trained anew
and the pick changes, by more than policies differ, and its best place is chance: what is saved seed by seed, the same
figure from single curves, is diluted towards 0 and stands beside it, as does the difference of the mean accuracies.

Where labels raise the accuracy of neither policy there is nothing to save: 0. So it is on Supreme, whose best model by
validation is as good at once as after 120 labels.

The scale was developed on digits, bananas and nursery with seeds from 100 to 349; seeds below 30, from 1000 to 1029,
from 2000 to 2019 and from 3000 to 3019 of any set were seen while it was. ``--calibrate`` measures on the former which
share of the bits that acquisition promises is kept: the fall of a forest's log loss on the test rows while 80 labels
are bought.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import product

import numpy as np
from one_queue_app import ACQUISITION, CLEANING, EVERY, LABELS, PICKING, App, market_of, rows_of
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestClassifier
from threadpoolctl import threadpool_limits

from easeml.market import belief as market_belief

LEVELS = np.arange(0.5, 0.951, 0.05)
ASKERS = (CLEANING, ACQUISITION, PICKING)
ONE_LIST = "one list"


def best(questions):
    return max(questions, key=lambda asked: asked.bits)


def one_list(app, rng, asked):
    return best(app.open)


def in_turns(app, rng, asked):
    """The asker who was asked longest ago."""
    last = {asker: max((n for n, one in enumerate(asked) if one == asker), default=-1) for asker in ASKERS}
    turn = min({one.asker: None for one in app.open}, key=lambda asker: (last[asker], ASKERS.index(asker)))
    return best([one for one in app.open if one.asker == turn])


def in_order(order, app, rng, asked):
    first = min({one.asker: None for one in app.open}, key=order.index)
    return best([one for one in app.open if one.asker == first])


def by_chance(app, rng, asked):
    return app.open[int(rng.integers(len(app.open)))]


POLICIES = {
    ONE_LIST: one_list,
    "round-robin": in_turns,
    "cleaning first": partial(in_order, (CLEANING, ACQUISITION, PICKING)),
    "labelling first": partial(in_order, (ACQUISITION, CLEANING, PICKING)),
    "by chance": by_chance,
}


@lru_cache(1)
def known(name, seed):
    return rows_of(name, seed)


def play(name, seed, policy):
    """Return the served accuracy after 0, 5, ... answers, and how many answers each asker got."""
    with threadpool_limits(1):
        app, rng = App(known(name, seed), seed), np.random.default_rng(seed)
        curve, asked = [app.accuracy], []
        for number in range(1, LABELS + 1):
            app.proceed()
            question = POLICIES[policy](app, rng, asked)
            asked.append(question.asker)
            app.answer(question)
            if number % EVERY == 0:
                app.train()
                curve.append(app.accuracy)
        return np.array(curve), [asked.count(asker) for asker in ASKERS]


def smooth(curve):
    ends = np.concatenate([curve[:1], curve, curve[-1:]])
    mean = np.convolve(ends, np.ones(3) / 3, "valid")
    # nothing has been asked yet at the start: policies begin level
    mean[0] = curve[0]
    return mean


def labels_needed(curve, levels):
    """Return the mean number of labels at which a curve first reaches the levels."""
    needed = []
    for level in levels:
        reached = np.flatnonzero(curve >= level - 1e-12)
        if not len(reached):
            needed.append(LABELS)
        elif reached[0] == 0:
            needed.append(0.0)
        else:
            place = reached[0] - 1
            needed.append(EVERY * (place + (level - curve[place]) / (curve[place + 1] - curve[place])))
    return float(np.mean(needed))


def compared(mine, other):
    """Return the labels that two policies need to the same accuracies."""
    mine, other = smooth(mine), smooth(other)
    levels = mine[0] + LEVELS * (max(mine.max(), other.max()) - mine[0])
    return labels_needed(mine, levels), labels_needed(other, levels)


def saved(mine, other):
    return 1 - mine / other if other else 0.0


def log_loss(owned, rows):
    """Of a forest, in bits; 2 % of its belief is spread over all classes, for what it has never seen."""
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=0).fit(*owned)
    x, y = rows.test
    belief = np.zeros((len(y), rows.classes))
    belief[:, forest.classes_] = forest.predict_proba(x)
    return float(-np.log2(0.98 * belief[np.arange(len(y)), y] + 0.02 / rows.classes).mean())


def promised_and_kept(job):
    """Return the bits promised of 80 labels, and those by which the log loss falls."""
    name, seed, policy, cleaned = job
    with threadpool_limits(1):
        rows = known(name, seed)
        x, y = rows.owned()
        for row in rows.truth if cleaned else ():
            x[row], y[row] = rows.told(row)
        market = market_of(rows, x, y, policy, np.random.default_rng(seed))
        before, promised = log_loss(market.owned, rows), 0.0
        for _ in range(8):
            batch = market.next(10)
            promised += batch.information_gain.sum() / market_belief.KEPT
            for row in batch.row_ids:
                market.answer(row, int(rows.pool[1][int(row)]))
        return promised, before - log_loss(market.owned, rows)


def calibrate(pool):
    table = Table("set", "rows asked about", "training rows", "promised", "kept", title="Bits of 80 labels, 3 seeds")
    total = np.zeros(2)
    for name, policy, cleaned in product(("digits", "bananas", "nursery"), ("filter_margin", "random"), (False, True)):
        jobs = [(name, seed, policy, cleaned) for seed in range(100, 103)]
        mean = np.mean(list(pool.map(promised_and_kept, jobs)), axis=0)
        total += mean
        bits = [f"{value:.3f}" for value in mean]
        table.add_row(name, policy, "cleaned" if cleaned else "doubtful", *bits)
    table.add_row("all", "", "", *(f"{value:.3f}" for value in total), f"{total[1] / total[0]:.2f} kept")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--sets", default="supreme,nursery,digits,segments,bananas,phishing")
    parser.add_argument("--first-seed", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--calibrate", action="store_true", help="which share of promised bits acquisition keeps")
    options = parser.parse_args()
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:
        if options.calibrate:
            Console(width=180).print(calibrate(pool))
            return
        seeds = range(options.first_seed, options.first_seed + (2 if options.quick else options.seeds))
        sets = options.sets.split(",")
        jobs = list(product(sets, seeds, POLICIES))
        played = dict(zip(jobs, pool.map(play, *zip(*jobs, strict=True), chunksize=len(POLICIES)), strict=True))
    Console(width=180).print(figures(sets, seeds, played))


def figures(sets, seeds, played):
    table = Table(
        "set", "policy", "labels, one list : policy", "saving", "seed by seed", "mean accuracy, one list - policy",
        "accuracy after 0 / 30 / 60 / 90 / 120", "answers: " + " / ".join(ASKERS),
        title=f"One queue, {len(seeds)} seeds, {LABELS} answers",
    )  # fmt: skip
    savings: dict[str, list[float]] = {}
    for name in sets:
        for policy in POLICIES:
            mine, other = (np.array([played[name, seed, one][0] for seed in seeds]) for one in (ONE_LIST, policy))
            given = np.mean([played[name, seed, policy][1] for seed in seeds], axis=0)
            row = ["", "", "", ""]
            if policy != ONE_LIST:
                labels = compared(mine.mean(axis=0), other.mean(axis=0))
                single = np.sum([compared(*curves) for curves in zip(mine, other, strict=True)], axis=0)
                ahead = (mine - other).mean(axis=1)
                error = ahead.std(ddof=1) / len(seeds) ** 0.5
                savings.setdefault(policy, []).append(saved(*labels))
                row = [
                    f"{labels[0]:.1f} : {labels[1]:.1f}",
                    f"{savings[policy][-1]:+.1%}",
                    f"{saved(*single):+.1%}",
                    f"{ahead.mean():+.4f} +/- {error:.4f}",
                ]
            accuracies = " / ".join(f"{accuracy:.3f}" for accuracy in other.mean(axis=0)[:: 30 // EVERY])
            table.add_row(name, policy, *row, accuracies, " / ".join(f"{count:.0f}" for count in given))
    for policy, values in savings.items():
        bar = ">= +10 %, no set below -5 %" if policy == "round-robin" else ""
        table.add_row("mean", policy, "", f"{np.mean(values):+.1%}", f"worst {min(values):+.1%}", bar)
    return table


if __name__ == "__main__":
    main()
