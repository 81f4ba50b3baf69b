"""How many labels a condition costs: the published figures and those of the engine in use.

Source: Renggli et al., SysML 2019, sections 3 (Hoeffding), 4.1 (pattern 1: filter on d, then Bennett) and 4.2
(pattern 2: d from unlabelled data); the released easeml/ci calculator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from easeml.ci.bounds import (
    LOG_SMALLEST,
    bennett_size,
    exact_binomial_size,
    hoeffding_size,
    log_histories,
    pass_budget_histories,
)
from easeml.ci.clause_test import EARLY, ClauseTest, Levels, Seen
from easeml.ci.exact import PairedDesign
from easeml.ci.language import Clause, Condition, parse
from easeml.errors import ConfigurationError

ADAPTIVITIES = ("none", "first_change", "full")
MODES = ("fp-free", "fn-free")
MAX_STEPS = 100_000

_METHOD = "sequential e-process on the paired stream with an exact test at a cap; active labelling"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a condition costs.

    Attributes
    ----------
    reference : int
        Labels by the published formula: Hoeffding with the optimal split of the tolerance.
    references : mapping of str to int
        All published figures that apply, named as in the reference data.
    labels_worst : int
        Labels for one decision by the engine when the truth lies exactly on the threshold; of ``unlabelled``
        examples, at the disagreement rate that is given, implied by a clause on ``d``, or else at 1. Those of
        different slices add up, as they may share no example.
    labels_expected : int
        The same when the truth lies two tolerances on the passing side.
    unlabelled : int
        Examples that the test set, and each slice that the condition names, must hold for the worst case
        (features only; few need labels).
    method : str
        The engine in words.
    histories : int
        M, over which the error is shared: H; 2^H with full adaptivity, fewer with a budget of passes.
    """

    reference: int
    references: Mapping[str, int]
    labels_worst: int
    labels_expected: int
    unlabelled: int
    method: str
    histories: int


def check_protocol(reliability: float, steps: int, adaptivity: str, mode: str) -> None:
    """Refuse a reliability, number of steps, adaptivity or mode that does not exist.

    Raises
    ------
    ConfigurationError
    """
    if not 0 < reliability < 1:
        raise ConfigurationError(
            f"reliability={reliability!r} is not a probability between 0 and 1.",
            mend="Use e.g. 0.999 for one wrong decision in a thousand test sets.",
        )
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 1 <= steps <= MAX_STEPS:
        raise ConfigurationError(
            f"steps={steps!r} is not a number of evaluations.", mend=f"Use an integer from 1 to {MAX_STEPS}."
        )
    if adaptivity not in ADAPTIVITIES:
        raise ConfigurationError(
            f"adaptivity={adaptivity!r} does not exist.", mend=f"Use one of {', '.join(ADAPTIVITIES)}."
        )
    if mode not in MODES:
        raise ConfigurationError(f"mode={mode!r} does not exist.", mend=f"Use one of {', '.join(MODES)}.")


def plan(
    condition: Condition | str,
    *,
    reliability: float,
    steps: int,
    adaptivity: str = "full",
    mode: str = "fp-free",
    disagreement: float | None = None,
    passes: int | None = None,
) -> Plan:
    """Return how many labels and examples a condition needs.

    Parameters
    ----------
    condition : Condition or str
    reliability : float
        Probability, in (0, 1), that every decision over all steps is right.
    steps : int
        H, evaluations on one test set.
    adaptivity : {"full", "none", "first_change"}
        What the developer learns between the steps.
    mode : {"fp-free", "fn-free"}
        Whether an undecided condition rejects or accepts; it does not change the size.
    disagreement : float, optional
        Share of predictions expected to change, in (0, 1]; 0.1 stands in for it in the published figure.
    passes : int, optional
        With full adaptivity: the test set is retired after so many passes.

    Raises
    ------
    ConfigurationError
        For an argument out of range.
    ConditionError
        When the text does not parse.

    Examples
    --------
    >>> plan("n > 0.8 +/- 0.05", reliability=0.9999, steps=32).reference
    6279
    """
    check_protocol(reliability, steps, adaptivity, mode)
    if disagreement is not None and not 0 < disagreement <= 1:
        raise ConfigurationError(
            f"disagreement={disagreement!r} is not a share.", mend="Use a number in (0, 1], e.g. 0.1."
        )
    check_passes(passes, steps, adaptivity)
    condition = parse(condition) if isinstance(condition, str) else condition
    log_m = log_histories(steps, adaptivity) if passes is None else math.log(pass_budget_histories(steps, passes))
    levels = Levels.of(reliability, log_m, len(condition.clauses))
    references = _references(condition, math.log1p(-reliability), log_m, disagreement)
    share = most_changed(condition) if disagreement is None else disagreement
    sizes = {clause: _engine_size(clause, levels, share) for clause in condition.clauses}
    return Plan(
        reference=references["formula_hoeffding_optimal_split"],
        references=references,
        labels_worst=math.ceil(_over_slices(condition, lambda clause: sizes[clause].labels_worst)),
        labels_expected=math.ceil(_over_slices(condition, lambda clause: sizes[clause].labels_expected)),
        unlabelled=max(size.rows for size in sizes.values()),
        method=_METHOD,
        histories=_histories(steps, adaptivity, passes),
    )


def check_passes(passes: int | None, steps: int, adaptivity: str) -> None:
    """Refuse a budget of passes that cannot be, or that full adaptivity does not need.

    Raises
    ------
    ConfigurationError
    """
    if passes is None:
        return
    if isinstance(passes, bool) or not isinstance(passes, int | np.integer) or not 1 <= passes <= steps:
        raise ConfigurationError(
            f"passes={passes!r} is not a number of passes.", mend=f"Use an integer from 1 to the {steps} steps."
        )
    if adaptivity != "full":
        raise ConfigurationError(
            f"A budget of passes saves nothing with adaptivity={adaptivity!r}.",
            mend="Leave it out, or use adaptivity='full'.",
        )


def _histories(steps: int, adaptivity: str, passes: int | None) -> int:
    if passes is not None:
        return pass_budget_histories(steps, passes)
    return 2**steps if adaptivity == "full" else steps


def _over_slices(condition: Condition, size: Callable[[Clause], float]) -> float:
    """Return the size of the largest clause, added up over the slices."""
    largest: dict[str, float] = {}
    for clause in condition.clauses:
        largest[clause.slice] = max(largest.get(clause.slice, 0.0), size(clause))
    return sum(largest.values())


def most_changed(condition: Condition) -> float:
    """Return the largest share of predictions that can have changed unless a clause on ``d`` is refuted; 1: all.

    >>> most_changed(parse("d < 0.1 +/- 0.05")), most_changed(parse("n > 0.8 +/- 0.05"))
    (0.2, 1.0)
    """
    return min([1.0, *(_filter_bound(clause) for clause in condition.clauses if _is_filter(clause))])


def _is_filter(clause: Clause) -> bool:
    return not (clause.above or clause.slice) and clause.coefficients == (0, 0, 1)


def _filter_bound(clause: Clause) -> float:
    """Return A + 2B of ``d < A +/- B``: no more can have changed once the clause is not refuted."""
    return min(1.0, clause.threshold + 2 * clause.tolerance)


def _is_gain(clause: Clause) -> bool:
    return clause.above and clause.coefficients == (1, -1, 0)


def _references(condition: Condition, log_delta: float, log_m: float, disagreement: float | None) -> dict[str, int]:
    """Return every published figure that applies to the condition, by source name."""
    k = len(condition.clauses)

    def largest(size: Callable[[Clause], float]) -> int:
        return math.ceil(_over_slices(condition, size) - 1e-9)

    def optimal(c: Clause) -> float:
        return hoeffding_size(c.weight, c.tolerance, log_delta - log_m - math.log(k * c.variables))

    def released(c: Clause) -> float:
        # the released calculator gives every variable an equal part of the tolerance
        width = c.variables * max(map(abs, c.coefficients))
        return hoeffding_size(width, c.tolerance, log_delta - log_m - math.log(k * c.variables))

    found = dict.fromkeys(
        ("formula_hoeffding_optimal_split", "paper_text", "paper_text_rounded", "official_notebook"),
        largest(optimal),
    )
    found["official_code"] = largest(released)
    single = k == 1 and condition.clauses[0].variables == 1 and condition.clauses[0].weight == 1
    if single and log_delta - log_m > LOG_SMALLEST:
        tolerance = condition.clauses[0].tolerance
        found["exact_binomial_worst_case"] = exact_binomial_size(tolerance, log_delta - log_m)
    filters, gains = (list(filter(test, condition.clauses)) for test in (_is_filter, _is_gain))
    if k == 2 and filters and gains:
        found |= _pattern_1(filters[0], gains[0], log_delta, log_m)
    if k == 1 and gains:
        p = 0.1 if disagreement is None else disagreement
        size = bennett_size(p, gains[0].tolerance, log_delta - math.log(2) - log_m)
        found[f"formula_bennett_known_p={p:g}"] = math.ceil(size)
    return found


def _pattern_1(small: Clause, gain: Clause, log_delta: float, log_m: float) -> dict[str, int]:
    r"""Return the figures of ``d < A +/- B /\ n - o > C +/- D``, A > 0."""
    a, eps = small.threshold, gain.tolerance
    wide = a + 2 * small.tolerance
    found = {
        "formula_pattern1_unlabelled_filter": math.ceil(
            hoeffding_size(1.0, small.tolerance, log_delta - math.log(2) - log_m)
        ),
        "formula_bennett_pattern1_p=A+2B": math.ceil(bennett_size(wide, eps, log_delta - math.log(4) - log_m)),
    }
    if a > 0:
        union = bennett_size(a, eps, log_delta - math.log(4) - log_m)
        single = bennett_size(a, eps, log_delta - math.log(4))
        found[f"formula_bennett_pattern1_p={a:g}"] = math.ceil(union)
        found["paper_text_pattern1_rounded"] = math.ceil(union)
        found["formula_active_labels_per_commit_union"] = math.ceil(a * union)
        found["formula_active_labels_per_commit_paper"] = math.ceil(a * single)
        found["paper_text_active_labels_per_commit"] = math.ceil(a * single)
    return found


@dataclass(frozen=True, slots=True)
class _Size:
    rows: int
    labels_worst: int
    labels_expected: int


def _engine_size(clause: Clause, levels: Levels, share: float) -> _Size:
    """Return what the sequential test of one clause takes when a ``share`` of the predictions changed."""

    def test(rows: int) -> ClauseTest:
        changed = min(math.ceil(share * rows), rows)
        early = round(share * min(rows, EARLY))
        return ClauseTest(clause, levels, Seen(rows, changed, early))

    if not clause.needs_disagreements:
        width = abs(clause.coefficients[2])
        size = hoeffding_size(width, clause.tolerance, min(levels.true, levels.false))
        return _Size(math.ceil(size), 0, 0)
    # of the stream of all examples those are labelled that changed, and a part of the others
    of_all = share + (1 - share) * test(1).part
    if clause.needs_agreements:
        rows = _stopping(test(1), share, decisive=False)
        worst = math.ceil(rows * of_all)
    else:
        rows = _enough_rows(test(1).design, share)
        worst = test(rows).full_size
    decisive = math.ceil(_stopping(test(rows), share, decisive=True) * of_all)
    return _Size(rows, worst, min(worst, decisive))


def _enough_rows(design: PairedDesign, share: float) -> int:
    """Return the fewest examples whose disagreements reach the cap.

    More examples tell d better and thereby lower the cap, so both meet at one size.
    """

    def lacking(rows: int) -> bool:
        changed = np.array([math.ceil(share * rows)])
        return int(replace(design, rows=rows).labels(changed)[0]) > share * rows

    low, high = 1, 2
    while lacking(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        low, high = (middle, high) if lacking(middle) else (low, middle)
    return high


def _stopping(test: ClauseTest, share: float, *, decisive: bool) -> int:
    """Return after how many examples a test stops when values hold their expected counts.

    The expression lies on the threshold, or where ``decisive`` two tolerances on the passing side. The values
    of the ``share`` that changed are the two extreme ones (the largest variance for their mean), the others 0,
    or all are extreme where agreements count as much.
    """
    clause, values = test.clause, test.values
    low, high = float(values.min()), float(values.max())
    busy = share if test.part < 1 else 1.0
    mean = clause.threshold + decisive * (1 if clause.above else -1) * 2 * clause.tolerance
    inner = min(max(mean / busy, low), high)
    cells = np.zeros(len(values))
    cells[-1] = busy * (inner - low) / (high - low)
    cells[0] = busy - cells[-1]
    cells[int(np.abs(values).argmin())] += 1 - busy
    # bets tuned from the first example on: the few early ones matter little
    cells = np.concatenate([np.zeros(len(values)), cells])

    def stops(number: int) -> bool:
        counts = number * cells
        above, below = test.refuted(counts[None, :], clause.threshold)
        if above[0] or below[0]:
            return True
        near = test.near_the_tolerance(counts[None, :])[0]
        return bool(near) and test.interval(counts).half_width <= clause.tolerance

    first, last = 1, max(math.ceil(test.full_size / (share if test.paired else 1.0)), 1)
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if stops(middle) else (middle + 1, last)
    return first


__all__ = ["ADAPTIVITIES", "MODES", "Plan", "check_passes", "check_protocol", "plan"]
