"""Planted problems made from real data: is the first step that is advised the planted cause?

    python tests/benchmarks/bench_advisor.py [--sets tuning|held-out] [--draws 20] [--jobs 2] [--cause CAUSE]
    python tests/benchmarks/bench_advisor.py --file TABLE.csv:LABEL [--file ...]

Every draw splits a real table, plants one problem, lets ``diagnose`` compute the evidence from the rows alone and
takes what ``advise`` ranks first; then mends what was advised and measures what that gained on rows nobody has seen.
Rules and thresholds were chosen on the tuning sets; the held-out sets were fixed before and looked at afterwards. Any
other table that nobody has looked at may be given as a file.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from river.datasets import Bananas, ImageSegments, Phishing
from sklearn.datasets import load_breast_cancer, load_digits
from threadpoolctl import threadpool_limits

from easeml.advisor.adaptation import with_priors
from easeml.advisor.conditions import Condition, all_hold, conditions_of
from easeml.advisor.diagnosis import diagnose
from easeml.advisor.evidence import Evidence
from easeml.advisor.learning import Learner, Sample, right
from easeml.advisor.ranking import advise
from easeml.advisor.steps import Step
from easeml.artifacts import Classifier
from easeml.automl.families import build
from easeml.errors import InvalidDataError
from easeml.stream.payloads import AdviceAction, AdvicePhase, Column, ColumnKind

TUNING = ("digits", "parity", "phishing", "breast_cancer")
HELD_OUT = ("segments", "bananas", "supreme", "nursery")
CAUSES = (
    "clean", "label noise", "missing cells", "few rows", "unlearnable",
    "covariate shift", "label shift", "broken slice",
)  # fmt: skip
FAMILIES = (("logistic", "{}"), ("extra_trees", '{"trees": 30}'))
MARGIN = 0.03
"""The target is what clean data reach less this."""
ANSWERS = 200
"""Production rows that somebody was asked about, at most."""
DATA = Path(os.environ.get("EASEML_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Planted:
    """One draw: what the advisor sees, and what only the judge knows."""

    train: Sample
    validation: Sample
    production: Sample | None
    test: Sample  # like production, all labels true
    reserve: Sample  # rows that could be collected
    true_train: Sample
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    target: float
    condition: tuple[Condition, ...] = ()
    pool: int = 0

    def learner(self) -> Learner:
        """Return the family that a small AutoML would choose."""
        learners = [Learner(build(name, given, 0), self.columns, self.classes) for name, given in FAMILIES]
        return max(learners, key=lambda one: right(one.fit(self.train), self.validation).mean())


@cache
def table(name: str) -> tuple[pd.DataFrame, np.ndarray, tuple[Column, ...], tuple[str, ...]]:
    if name in ("digits", "parity", "breast_cancer"):
        load = load_breast_cancer if name == "breast_cancer" else load_digits
        features, labels = load(return_X_y=True, as_frame=True)
        labels = labels % 2 if name == "parity" else labels
    elif name in ("supreme", "nursery"):
        folder = DATA / "cpclean" / f"{name}_systematic"
        parts = [pd.read_parquet(folder / part) for part in ("train_clean.parquet", "val.parquet", "test.parquet")]
        features = pd.concat(parts, ignore_index=True)
        labels = features.pop("label")
    elif ":" in name:
        path, label = name.rsplit(":", 1)
        # A planted problem takes the first rows: in a file whose order means something they would be of one kind.
        features = pd.read_csv(path).dropna().sample(frac=1, random_state=0, ignore_index=True)
        labels = features.pop(label)
    else:
        source = {"phishing": Phishing, "segments": ImageSegments, "bananas": Bananas}[name]()
        rows = list(source.take(20_000))
        features, labels = pd.DataFrame([row for row, _ in rows]), pd.Series([str(label) for _, label in rows])
    features.columns = [str(column) for column in features.columns]
    kept = [column for column in features.columns if features[column].min() < features[column].max()]
    features = features[kept]
    if name == "phishing":
        features = features.astype(str)
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    numeric = {column: pd.api.types.is_numeric_dtype(features[column]) for column in kept}
    features = pd.DataFrame({c: features[c].astype(float) if numeric[c] else features[c].astype(object) for c in kept})
    columns = tuple(Column(c, ColumnKind.NUMERIC if numeric[c] else ColumnKind.CATEGORICAL) for c in kept)
    return features, codes.astype(np.int64), columns, tuple(names)


def cut(name: str, rng: np.random.Generator) -> tuple[list[Sample], tuple[Column, ...], tuple[str, ...]]:
    """Return train, validation, production, test and reserve."""
    features, labels, columns, classes = table(name)
    order = rng.permutation(len(labels))
    sizes = [
        min(round(part * len(labels)), most) for part, most in ((0.25, 500), (0.2, 500), (0.25, 800), (0.25, 4000))
    ]
    ends = np.cumsum(sizes)
    whole = Sample(features, labels)
    parts = [np.sort(rows) for rows in np.split(order, ends)]
    return [Sample(whole.at(rows).frame.reset_index(drop=True), labels[rows]) for rows in parts], columns, classes


def plant(name: str, cause: str, seed: int) -> Planted:
    rng = np.random.default_rng([seed, zlib.crc32(f"{name}/{cause}".encode())])
    (train, validation, production, test, reserve), columns, classes = cut(name, rng)
    world = Planted(train, validation, None, test, reserve, train, columns, classes, 0.5)
    if cause == "label shift":
        world = harder(world, rng)
    clean = right(world.learner().fit(world.train), world.test).mean()
    world = replace(world, target=float(np.clip(clean - MARGIN, 0.05, 0.99)))
    in_production = cause in ("covariate shift", "label shift") or (cause in ("clean", "broken slice") and seed % 2)
    if in_production:
        world = replace(world, production=production if cause != "label shift" else noisy(production, columns, rng))
    world = PLANTS[cause](world, rng)
    if world.production is not None:
        asked = rng.permutation(len(world.production))[:ANSWERS]
        known = np.full(len(world.production), -1)
        known[asked] = world.production.labels[asked]
        world = replace(world, production=replace(world.production, labels=known))
    return world


def clean(world: Planted, rng: np.random.Generator) -> Planted:
    return world


def label_noise(world: Planted, rng: np.random.Generator) -> Planted:
    return replace(world, train=flipped(world.train, 0.3, len(world.classes), rng))


def flipped(sample: Sample, rate: float, classes: int, rng: np.random.Generator) -> Sample:
    rows = np.flatnonzero(rng.random(len(sample)) < rate)
    return sample.relabelled(rows, (sample.labels[rows] + rng.integers(1, classes, len(rows))) % classes)


def missing_cells(world: Planted, rng: np.random.Generator) -> Planted:
    """Gaps in most cells, in some columns more, as when a source was down; validation rows are complete."""
    frame = world.train.frame.copy()
    for column in frame:
        frame[column] = frame[column].mask(rng.random(len(frame)) < rng.uniform(0.4, 0.9))
    return replace(world, train=replace(world.train, frame=frame))


def few_rows(world: Planted, rng: np.random.Generator) -> Planted:
    count = max(25, 5 * len(world.classes))
    left = world.train.at(np.arange(len(world.train)) >= count)
    train = world.train.at(np.arange(len(world.train)) < count)
    pool = len(left) + len(world.reserve) if rng.random() < 0.5 else 0
    return replace(world, train=train, true_train=train, reserve=left.joined(world.reserve), pool=pool)


def unlearnable(world: Planted, rng: np.random.Generator) -> Planted:
    """Either the features say little, or the outcome is partly chance: also in the rows that judge."""
    if rng.random() < 0.5:
        return harder(world, rng, 1.5)
    parts = {
        pillar: flipped(getattr(world, pillar), 0.25, len(world.classes), rng)
        for pillar in ("train", "validation", "test", "reserve")
    }
    return replace(world, **parts, true_train=parts["train"])


def harder(world: Planted, rng: np.random.Generator, level: float = 0.8) -> Planted:
    parts = {
        pillar: noisy(getattr(world, pillar), world.columns, rng, level)
        for pillar in ("train", "validation", "test", "reserve")
    }
    return replace(world, **parts, true_train=parts["train"])


def noisy(sample: Sample, columns: tuple[Column, ...], rng: np.random.Generator, level: float = 0.8) -> Sample:
    frame = sample.frame.copy()
    for column in columns:
        cells = frame[column.name]
        if column.kind is ColumnKind.NUMERIC:
            frame[column.name] = cells + rng.normal(size=len(cells)) * level * cells.std()
        else:
            chance = rng.random(len(cells)) < 1 - np.exp(-level)
            frame[column.name] = np.where(chance, rng.permutation(cells.to_numpy()), cells)
    return replace(sample, frame=frame)


def covariate_shift(world: Planted, rng: np.random.Generator) -> Planted:
    """Sensors that are recalibrated: half of the numeric columns get another zero and another unit."""
    numeric = [column.name for column in world.columns if column.kind is ColumnKind.NUMERIC]
    if not numeric:
        return selected(world, rng)
    moved = rng.permutation(numeric)[: max(1, len(numeric) // 2)]
    pillars = {"production": world.production, "test": world.test, "true_train": world.train}
    frames = {name: sample.frame.copy() for name, sample in pillars.items()}
    for column in moved:
        stretch, shift = rng.uniform(0.5, 2.0), rng.choice([-1, 1]) * rng.uniform(1.0, 2.0)
        mean, spread = world.train.frame[column].mean(), world.train.frame[column].std()
        for frame in frames.values():
            frame[column] = (frame[column] - mean) * stretch + mean + shift * spread
    return replace(world, **{name: replace(sample, frame=frames[name]) for name, sample in pillars.items()})


def selected(world: Planted, rng: np.random.Generator) -> Planted:
    """Production meets mostly rows that training hardly had."""
    condition = slice_of(world, rng, 0.3, 0.6)
    parts = {}
    for name, kept in (("train", 0.1), ("validation", 0.1), ("production", None), ("test", None)):
        sample = getattr(world, name)
        inside = all_hold(condition, sample.frame)
        chance = np.where(inside, 1.0 if kept is None else kept, 0.1 if kept is None else 1.0)
        parts[name] = sample.at(rng.random(len(sample)) < chance)
    return replace(world, **parts)


def label_shift(world: Planted, rng: np.random.Generator) -> Planted:
    """One part of the classes becomes ten times rarer."""
    classes = len(world.classes)
    rare = rng.permutation(classes)[: max(1, round(0.5 * classes))]
    parts = {}
    for name in ("production", "test"):
        sample = getattr(world, name)
        parts[name] = sample.at(rng.random(len(sample)) < np.where(np.isin(sample.labels, rare), 0.1, 1.0))
    return replace(world, **parts)


def slice_of(world: Planted, rng: np.random.Generator, low: float, high: float) -> tuple[Condition, ...]:
    """Return a random conjunction of one or two conditions that so many rows meet."""
    atoms = conditions_of(world.train.frame, world.columns)
    while True:
        chosen = tuple(atoms[place] for place in rng.permutation(len(atoms))[: rng.integers(1, 3)])
        held = all_hold(chosen, world.train.frame)
        if low <= held.mean() <= high and len(np.unique(world.train.labels[held])) > 1:
            return chosen


def broken_slice(world: Planted, rng: np.random.Generator) -> Planted:
    """Training labels of one slice mean something else: most are shifted by one class."""
    condition = slice_of(world, rng, 0.12, 0.3)
    rows = np.flatnonzero(all_hold(condition, world.train.frame) & (rng.random(len(world.train)) < 0.9))
    labels = (world.train.labels[rows] + 1) % len(world.classes)
    return replace(world, train=world.train.relabelled(rows, labels), condition=condition)


PLANTS = {
    "clean": clean, "label noise": label_noise, "missing cells": missing_cells, "few rows": few_rows,
    "unlearnable": unlearnable, "covariate shift": covariate_shift, "label shift": label_shift,
    "broken slice": broken_slice,
}  # fmt: skip

LOSS = 0.04
"""A planted problem counts when mending it gains as much on the test rows; else there is nothing to find."""
TRIES = 6


@dataclass(frozen=True)
class Draw:
    """What came of one draw."""

    cause: str
    name: str
    seed: int
    found: str
    reason: str
    low: float
    value: float
    high: float
    realised: float


def accuracy(world: Planted, train: Sample) -> float:
    return float(right(world.learner().fit(train), halves(world)[0]).mean())


def halves(world: Planted) -> tuple[Sample, Sample]:
    """Return the test rows that choose draws and those that measure gains: no draw may be chosen by its gain."""
    even = np.arange(len(world.test)) % 2 == 0
    return world.test.at(even), world.test.at(~even)


def loss(world: Planted, cause: str) -> float:
    """Return what mending the planted problem itself gains on the test rows."""
    if cause in ("clean", "unlearnable"):
        return world.target - accuracy(world, world.train) if cause == "unlearnable" else LOSS
    now = accuracy(world, world.train)
    if cause == "few rows":
        return accuracy(world, world.train.joined(world.reserve.at(np.arange(3 * len(world.train))))) - now
    if cause == "label shift":
        ratios = shares(world.test, world) / shares(world.train, world)
        model = world.learner().fit(world.train)
        better = with_priors(model, ratios)
        if better is None:
            better = world.learner().fit(world.train, ratios[world.train.labels])
        return float(right(better, halves(world)[0]).mean()) - now
    return accuracy(world, world.true_train) - now


def shares(sample: Sample, world: Planted) -> np.ndarray:
    return (np.bincount(sample.labels, minlength=len(world.classes)) + 0.5) / (len(sample) + 0.5 * len(world.classes))


def realised(world: Planted, evidence: Evidence, step: Step, model: Classifier) -> float:
    """Return what the step really gains on the test rows when it is carried out."""
    judge = halves(world)[1]
    now = right(model, judge).mean()
    if step.action is AdviceAction.ADAPT:
        return float(right(evidence.production.adapted[0].model, judge).mean() - now)
    train = world.train
    if step.action is AdviceAction.RELABEL:
        train = train.relabelled(step.rows, world.true_train.labels[step.rows])
    elif step.action is AdviceAction.CLEAN:
        train = replace(train, frame=world.true_train.frame)
    elif step.action in (AdviceAction.LABEL, AdviceAction.COLLECT):
        reserve = world.reserve
        if step.condition:
            reserve = reserve.at(all_hold(named(evidence, step.condition), reserve.frame))
        train = train.joined(reserve.at(np.arange(min(step.count, len(reserve)))))
    return float(right(world.learner().fit(train), judge).mean() - now)


def named(evidence: Evidence, text: str) -> tuple[Condition, ...]:
    return next(one.found.conditions for one in evidence.slices if one.found.text == text)


def name_of(world: Planted, evidence: Evidence, step: Step) -> str:
    if step.condition:
        found = named(evidence, step.condition)
        held, planted = all_hold(found, world.test.frame), all_hold(world.condition, world.test.frame)
        overlap = 2 * (held & planted).sum() / max(held.sum() + planted.sum(), 1)
        return "broken slice" if world.condition and overlap >= 0.5 else "another slice"
    if step.action is AdviceAction.ADAPT:
        return "label shift" if evidence.production.adapted[0].technique == "label_shift" else "covariate shift"
    return {
        AdviceAction.RELABEL: "label noise", AdviceAction.CLEAN: "missing cells", AdviceAction.LABEL: "few rows",
        AdviceAction.COLLECT: "few rows", AdviceAction.RELAX_TARGET: "unlearnable",
        AdviceAction.NOTHING: "clean", AdviceAction.WAIT: "wait",
    }[step.action]  # fmt: skip


def draw(task: tuple[str, str, int]) -> Draw | None:
    """Plant, diagnose, advise, mend; None when the planted problem never cost anything."""
    name, cause, seed = task
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for attempt in range(TRIES):
            try:
                world = plant(name, cause, seed + 1000 * attempt)
                if loss(world, cause) >= LOSS:
                    break
            except (InvalidDataError, ValueError):
                continue  # a draw left a pillar with one class, or without rows
        else:
            return None
        learner = world.learner()
        model = learner.fit(world.train)
        evidence = diagnose(
            learner, world.train, world.validation, target=world.target, rng=np.random.default_rng(seed), model=model,
            production=world.production, pool=world.pool,
        )  # fmt: skip
        step = advise(evidence, AdvicePhase.DATA if world.production is None else AdvicePhase.PRODUCTION)[0]
        gain = realised(world, evidence, step, model)
    ends = step.gain.low, step.gain.value, step.gain.high
    return Draw(cause, name, seed, name_of(world, evidence, step), step.reason, *ends, gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", choices=("tuning", "held-out"), default="held-out")
    parser.add_argument("--file", action="append", help="instead: a table and its label column, as TABLE.csv:LABEL")
    parser.add_argument("--draws", type=int, default=20, help="draws of each cause")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cause", choices=CAUSES, action="append")
    parser.add_argument("--verbose", action="store_true", help="print every draw")
    given = parser.parse_args()
    sets = given.file or (TUNING if given.sets == "tuning" else HELD_OUT)
    started, draws = time.perf_counter(), []
    with ProcessPoolExecutor(given.jobs) as pool:
        for cause in given.cause or CAUSES:
            tasks = [
                (sets[place % len(sets)], cause, given.first + place // len(sets)) for place in range(2 * given.draws)
            ]
            # A set on which this cause does no harm leaves its draws to the others.
            own = [one for one in pool.map(draw, tasks[: given.draws]) if one is not None]
            if len(own) < given.draws:
                own += [one for one in pool.map(draw, tasks[given.draws :]) if one is not None]
            draws += own[: given.draws]
            if given.verbose:
                for one in own:
                    print(one, flush=True)
    report(draws, "given" if given.file else given.sets, time.perf_counter() - started)


def report(draws: list[Draw], sets: str, seconds: float) -> None:
    causes = list(dict.fromkeys(one.cause for one in draws))
    columns = [*CAUSES, "another slice", "wait"]
    table = Table("planted", *columns, "right", "gain covered", title=f"First step, {sets} sets ({seconds:.0f} s)")
    for cause in causes:
        own = [one for one in draws if one.cause == cause]
        counts = [sum(one.found == column for one in own) for column in columns]
        gains = [one for one in own if one.found not in ("clean", "unlearnable", "wait")]
        covered = sum(one.low <= one.realised <= one.high for one in gains)
        hits = sum(one.found == cause for one in own)
        table.add_row(
            cause, *(str(count) if count else "" for count in counts), f"{hits}/{len(own)}",
            f"{covered}/{len(gains)}" if gains else "",
        )  # fmt: skip
    gains = [one for one in draws if one.found not in ("clean", "unlearnable", "wait")]
    covered = np.mean([one.low <= one.realised <= one.high for one in gains]) if gains else 1.0
    Console(width=200).print(table)
    print(
        f"gains covered: {covered:.1%} of {len(gains)}; expected {np.mean([g.value for g in gains]):.3f}, "
        f"realised {np.mean([g.realised for g in gains]):.3f}"
    )


if __name__ == "__main__":
    main()
