"""What to do next, best first: rules over evidence.

The rules, in the order in which they decide:

1. A used-up test set comes first: without a test set no model can be accepted.
2. **Faults** come in the order of gain per minute, each with an expected gain of at least ``WORTH``. A broken slice is
   listed when its whole gain interval lies above 0, an adapted model when that of its mean gain does. Wrong labels
   and missing cells are listed when they are proven to be there: true labels and cells do no harm, whatever the
   interval says.
3. When the target is missed, **more rows** are listed; before all else but faults (which more rows of the same kind
   would share) if, at the high end, the learning curve reaches the target with at most ``REACH`` times the rows, or
   has seen fewer than ``TELLING`` rows, from which no curve can tell that a target is out of reach. At most
   ``AT_ONCE`` times the rows are asked for before looking again. A target inside the interval of the accuracy is not
   missed: what the rows cannot tell apart is no reason to act.
4. When neither reaches the target even at the high ends, the target is out of reach: **RELAX_TARGET** says which one
   is not. It comes first when there is no fault, else after the faults.
5. **TRAIN** is said when the nearest neighbour of the feasibility study beats the present model: the rows hold more
   than the model has found.
6. While the study still runs and calls nothing unrealistic, **WAIT** stands in for RELAX_TARGET.
7. When nothing is listed, there is **NOTHING** to mend.

A gain is what the step alone is expected to bring; gains of several steps do not add up.
"""

from __future__ import annotations

import math

import numpy as np

from easeml.advisor.adaptation import Adapted
from easeml.advisor.curve import TELLING
from easeml.advisor.damage import LabelNoise, MissingCells
from easeml.advisor.estimate import Estimate
from easeml.advisor.evidence import BrokenSlice, Evidence
from easeml.advisor.steps import Costs, Step
from easeml.stream.payloads import AdviceAction, AdvicePhase, FeasibilitySignal

WORTH = 0.01
"""Expected gain in accuracy from which a proven fault is worth mending."""
REACH = 10.0
"""More rows, as a multiple of those there are, up to which the learning curve is followed to the target."""
AT_ONCE = 3.0
"""More rows that are asked for at once, as a multiple of those there are."""
_FEWEST_ROWS = 20
_WORDS = {
    "importance": "by weighing training rows as production has them",
    "label_shift": "by correcting for the classes' shares in production",
    "coral": "by aligning the numeric columns with production",
    "recent": "with the production rows that were answered",
    "moments": "by aligning the drifted columns with production",
}


def advise(evidence: Evidence, phase: AdvicePhase, costs: Costs | None = None) -> tuple[Step, ...]:
    """Return the next steps, best first; never empty.

    Parameters
    ----------
    evidence : Evidence
        What is known.
    phase : AdvicePhase
        In ``AdvicePhase.DATA``, production is not looked at.
    costs : Costs, optional
        What work costs.
    """
    costs = Costs() if costs is None else costs
    short = evidence.target - evidence.accuracy.value
    missed = evidence.accuracy.high < evidence.target
    faults = sorted(_faults(evidence, phase, costs), key=lambda step: (-step.worth, step.action, step.condition))
    rest = _beyond_faults(evidence, phase, faults, short, costs) if missed else []
    steps = _test_set(evidence) + faults + rest
    if not steps:
        steps = [_nothing(evidence)]
    return tuple(steps)


def _faults(evidence: Evidence, phase: AdvicePhase, costs: Costs) -> list[Step]:
    found = []
    if phase is AdvicePhase.PRODUCTION and evidence.production is not None and evidence.production.adapted:
        found.append(_adapt(evidence.production.adapted[0], evidence, costs))
    if evidence.noise is not None:
        found.append(_relabel(evidence.noise, evidence, costs))
    if evidence.missing is not None:
        found.append(_clean(evidence.missing, evidence, costs))
    found += [_slice(one, evidence, costs) for one in evidence.slices[:3]]
    return [step for step in found if step.gain.value >= WORTH]


def _adapt(best: Adapted, evidence: Evidence, costs: Costs) -> Step:
    assert evidence.production is not None
    shift = evidence.production.shift
    return Step(
        AdviceAction.ADAPT,
        "Let an adapted model be tested",
        f"Production differs from the training rows. A model adapted {_WORDS[best.technique]} is expected to be right "
        f"about {_points(best.gain)} more of the rows there, and nobody has to label anything.",
        best.gain,
        cost_minutes=costs.compute,
        columns=tuple(one.column for one in shift.columns),
        evidence=(
            ("production_auc", shift.covariate.auc),
            ("covariate_p_value", shift.covariate.p_value),
            ("label_shift_p_value", shift.label.p_value),
            ("drifted_columns", float(len(shift.columns))),
        ),
    )


def _relabel(noise: LabelNoise, evidence: Evidence, costs: Costs) -> Step:
    count, values = len(noise.suspects), evidence.values
    harm = () if values is None else (("harmful_rows", float(values.harmful)), ("harm", values.harm))
    return Step(
        AdviceAction.RELABEL,
        f"Check {count} labels",
        f"About {noise.rate.value:.0%} of the training labels seem to be wrong: models that have not seen a row "
        f"contradict its label far more often than they are wrong about certain ones. With true labels, "
        f"{_points(noise.gain)} more rows should be right.",
        noise.gain,
        cost_labels=count,
        cost_minutes=costs.start + costs.label * count,
        rows=noise.suspects,
        count=count,
        evidence=(("wrong_labels", noise.rate.value), ("wrong_labels_p_value", noise.p_value), *harm),
    )


def _clean(missing: MissingCells, evidence: Evidence, costs: Costs) -> Step:
    figures, aside = [("missing_cells", missing.share)], ""
    if (known := evidence.cleaning) is not None:
        figures += [
            ("certain_predictions", known.certain),
            ("neighbour_accuracy", known.expected),
            ("reachable_neighbour_accuracy", known.reachable),
        ]
        aside = (
            f" Whatever they are, {known.certain:.0%} of the predictions by the most similar rows stay as they are; "
            f"cleaning can take those from {known.expected:.1%} right to about {known.reachable:.1%}."
        )
    return Step(
        AdviceAction.CLEAN,
        f"Fill in missing cells, first in {missing.columns[0]}",
        f"{missing.share:.0%} of the cells of the training rows are missing. With their true values, "
        f"{_points(missing.gain)} more rows should be right.{aside}",
        missing.gain,
        cost_labels=missing.cells,
        cost_minutes=costs.start + costs.cell * missing.cells,
        columns=missing.columns,
        rows=missing.rows,
        count=len(missing.rows),
        evidence=tuple(figures),
    )


def _slice(one: BrokenSlice, evidence: Evidence, costs: Costs) -> Step:
    found, text = one.found, one.found.text
    figures = (
        ("slice_error", found.error), ("error_elsewhere", found.error_elsewhere),
        ("slice_share", found.support / len(found.rows)), ("slice_p_value", found.p_value),
    )  # fmt: skip
    fails = (
        f"Where {text}, the model is wrong about {found.error:.0%} of the rows, elsewhere about "
        f"{found.error_elsewhere:.0%}."
    )
    if one.stale:
        count, minutes, action = len(one.train_rows), costs.label, AdviceAction.RELABEL
        title, why = f"Label anew where {text}", "The training labels there contradict the certain ones."
    else:
        expected = found.support / len(found.rows) * evidence.rows
        count = max(_FEWEST_ROWS, math.ceil(expected) - len(one.train_rows))
        action = AdviceAction.LABEL if evidence.pool >= count else AdviceAction.COLLECT
        minutes = costs.label if action is AdviceAction.LABEL else costs.row
        title, why = f"{_verb(action)} {count} rows where {text}", "Too few training rows are like these."
    return Step(
        action,
        title,
        f"{fails} {why} Mending this should make {_points(one.gain)} more of all rows right.",
        one.gain,
        cost_labels=count,
        cost_minutes=costs.start + minutes * count,
        columns=tuple(dict.fromkeys(condition.column for condition in found.conditions)),
        rows=one.train_rows,
        condition=text,
        count=count,
        evidence=figures,
    )


def _beyond_faults(
    evidence: Evidence, phase: AdvicePhase, faults: list[Step], short: float, costs: Costs
) -> list[Step]:
    """Return what helps when the target is missed: more rows, other models, another target."""
    more = _more_rows(evidence, phase, short, costs)
    if more is not None and _within_reach(evidence, short):
        return [*_train(evidence), more]
    train = _train(evidence)
    if train:
        return train
    study = evidence.feasibility
    if study is not None and not study.final:
        return [_wait(evidence)]
    best = max([0.0, *(step.gain.value for step in faults), more.gain.value if more is not None else 0.0])
    return [_relax(evidence, evidence.accuracy.value + best), *([more] if more is not None else [])]


def _within_reach(evidence: Evidence, short: float) -> bool:
    curve, study = evidence.curve, evidence.feasibility
    if study is not None and study.final and study.signal is FeasibilitySignal.UNREALISTIC:
        return False
    return curve is not None and (curve.rows < TELLING or curve.gain(REACH * curve.rows).high >= short)


def _more_rows(evidence: Evidence, phase: AdvicePhase, short: float, costs: Costs) -> Step | None:
    curve = evidence.curve
    if curve is None:
        return None
    count = max(_FEWEST_ROWS, math.ceil(min(curve.rows_for(short), AT_ONCE * curve.rows)))
    gain = curve.gain(count)
    if curve.rows >= TELLING and (not gain.positive or gain.value < WORTH):
        return None
    action = AdviceAction.LABEL if evidence.pool >= count else AdviceAction.COLLECT
    rows, pillar, values = np.empty(0, np.int64), "production", evidence.values
    figures = [("rows", float(curve.rows)), ("curve_floor", curve.floor.value), ("shortfall", short)]
    if values is not None and not math.isnan(neighbours := values.gain(curve.rows, count)):
        figures.append(("neighbour_gain", neighbours))
    if phase is AdvicePhase.PRODUCTION and evidence.production is not None:
        rows = evidence.production.uncovered
    elif action is AdviceAction.LABEL and values is not None:
        rows, pillar = np.arange(len(values.pool_rows)), "pool"
    return Step(
        action,
        f"{_verb(action)} {count} more rows",
        f"The learning curve still falls: {count} more rows of the same kind should make {_points(gain)} more rows "
        f"right. The target is {short:.1%} away.",
        gain,
        cost_labels=count,
        cost_minutes=costs.start + count * (costs.label if action is AdviceAction.LABEL else costs.row),
        rows=rows,
        pillar=pillar,
        count=count,
        evidence=tuple(figures),
    )


def _train(evidence: Evidence) -> list[Step]:
    """Return the step to try other models when the plain nearest neighbour beats the present one."""
    study = evidence.feasibility
    if study is None or 1 - study.upper <= evidence.accuracy.high:
        return []
    low, high = (max(0.0, 1 - study.upper - end) for end in (evidence.accuracy.high, evidence.accuracy.low))
    gain = Estimate(1 - study.upper - evidence.accuracy.value, low, high)
    return [
        Step(
            AdviceAction.TRAIN,
            "Train more models",
            f"Looking up the most similar row is right about {1 - study.upper:.1%} of the rows, the best model so far "
            f"about {evidence.accuracy.value:.1%}: there are better models to be found.",
            gain,
            evidence=(("neighbour_error", study.upper), ("model_error", 1 - evidence.accuracy.value)),
        )
    ]


def _relax(evidence: Evidence, reach: float) -> Step:
    # A target a little under what is expected is one that can be met in spite of chance.
    target = math.floor(100 * min(reach, evidence.target - 0.01)) / 100
    figures = [("accuracy", evidence.accuracy.value), ("target", evidence.target)]
    if evidence.curve is not None:
        figures.append(("curve_floor", evidence.curve.floor.value))
    if evidence.feasibility is not None:
        figures.append(("bayes_error", evidence.feasibility.bayes_error.value))
    return Step(
        AdviceAction.RELAX_TARGET,
        f"Lower the target to {target:.0%}",
        f"The target of {evidence.target:.1%} is out of reach with these columns: the model is right about "
        f"{evidence.accuracy.value:.1%} of the rows, and neither more rows nor mending is expected to get it there. "
        "Columns that say more about the label would help.",
        target=target,
        evidence=tuple(figures),
    )


def _test_set(evidence: Evidence) -> list[Step]:
    verdicts = evidence.verdicts
    if verdicts is None or not verdicts.exhausted:
        return []
    count = verdicts.examples_needed
    return [
        Step(
            AdviceAction.NEW_TEST_SET,
            f"Provide a new test set of {count} rows" if count else "Provide a new test set",
            "The test set is used up: no further model can be accepted with a guarantee.",
            cost_labels=count,
            count=count,
            evidence=(("models_passed", float(verdicts.passed)), ("models_failed", float(verdicts.failed))),
        )
    ]


def _nothing(evidence: Evidence) -> Step:
    return Step(
        AdviceAction.NOTHING,
        "Nothing to mend",
        f"The model is right about {evidence.accuracy.value:.1%} of the rows, which is in keeping with the target of "
        f"{evidence.target:.1%}, and no fault was found that is worth mending.",
        evidence=(("accuracy", evidence.accuracy.value), ("target", evidence.target)),
    )


def _wait(evidence: Evidence) -> Step:
    return Step(
        AdviceAction.WAIT,
        "Wait for more evidence",
        f"The target of {evidence.target:.1%} is missed so far. The feasibility study still runs: it will tell whether "
        "the target can be reached.",
        evidence=(("accuracy", evidence.accuracy.value), ("target", evidence.target)),
    )


def _verb(action: AdviceAction) -> str:
    return "Label" if action is AdviceAction.LABEL else "Collect"


def _points(gain: Estimate) -> str:
    return f"{max(gain.value, 0.0):.1%} ({max(gain.low, 0.0):.1%} to {max(gain.high, 0.0):.1%})"
