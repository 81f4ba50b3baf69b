"""The final score of the demo and the checks that decide its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.demo.record import Record
from easeml.stream.payloads import Pillar


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracies over the production rows.

    Parameters
    ----------
    served : float
        What the application was told, pick by pick.
    first : float
        Always the first model that passed.
    best : float
        Best single model in hindsight.
    first_model, best_model : str
        Their names.
    """

    served: float
    first: float
    best: float
    first_model: str
    best_model: str


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the loop."""

    link: str
    holds: bool
    evidence: str


def score(
    record: Record, row_ids: tuple[str, ...], truth: NDArray[np.int64], served: NDArray[np.int64], rows: slice
) -> Score:
    """Return the accuracies over some of the production rows.

    Parameters
    ----------
    record : Record
        Predictions and verdicts.
    row_ids : tuple of str
        Production rows in order.
    truth, served : int64[n]
        True and served label codes.
    rows : slice
        Which of them count.
    """
    accuracies = {m: float((record.votes(m, row_ids) == truth)[rows].mean()) for m in record.passed}
    first_model = record.passed[0]
    best_model = max(accuracies, key=lambda model: accuracies[model])
    return Score(
        float((served == truth)[rows].mean()), accuracies[first_model], accuracies[best_model], first_model, best_model
    )


def checks(
    record: Record, row_ids: tuple[str, ...], served: NDArray[np.int64], budgets: tuple[int, int, int]
) -> Iterable[Check]:
    """Yield whether each link of the loop held; budgets are those of production labels, cells and pool labels."""
    yield from _improvements(record)
    trained = [t for t in record.trials.values() if t.model]
    yield Check("models were trained and published", bool(record.models), f"{len(trained)} of {len(record.trials)}")
    judged = set(record.verdicts) >= set(record.models) or record.exhausted
    yield Check("CI judged every model", judged, f"{len(record.verdicts)} verdicts, {len(record.passed)} passed")
    yield Check("a model passed", bool(record.passed), f"first {record.passed[0]}" if record.passed else "none")
    if not record.passed:
        return
    scored = [m for m in record.passed if (record.votes(m, row_ids) >= 0).all()]
    yield Check(
        "every passed model scored every production row", len(scored) == len(record.passed), f"{len(row_ids)} rows"
    )
    yield Check("every production row was served", bool((served >= 0).all()), f"{int((served >= 0).sum())} rows")
    asked, answered = set(record.questions), set(record.answers)
    yield Check(
        "questions were asked and answered over gRPC", bool(answered), f"{len(asked)} asked, {len(answered)} answered"
    )
    yield Check("no label was answered twice", record.answer_events == len(answered), f"{record.answer_events} answers")
    yield Check("answers belong to questions", answered <= asked, f"{len(answered - asked)} strangers")
    spent = [len(record.answered(pillar)) for pillar in (Pillar.PRODUCTION, Pillar.TRAIN, Pillar.POOL)]
    held = all(some <= budget for some, budget in zip(spent, budgets, strict=True))
    yield Check("the budgets held", held, ", ".join(f"{s} of {b}" for s, b in zip(spent, budgets, strict=True)))
    used = record.picks[-1].labels_used if record.picks else 0
    yield Check("the picks used the answers", 0 < used <= spent[0], f"{used} labels behind the last pick")


def _improvements(record: Record) -> Iterable[Check]:
    cleaned, acquired = len(record.answered(Pillar.TRAIN)), len(record.answered(Pillar.POOL))
    least = min((report.certain for report in record.cleaning_reports), default=0)
    most = max((report.certain for report in record.cleaning_reports), default=0)
    yield Check(
        "cleaning made predictions certain", bool(cleaned) and most > least, f"{least} to {most} by {cleaned} cells"
    )
    rows = [report.rows for report in record.value_reports] or [0]
    yield Check(
        "labelled pool rows became training rows",
        bool(acquired) and max(rows) > min(rows),
        f"{acquired} labelled, {max(rows) - min(rows)} more rows",
    )
