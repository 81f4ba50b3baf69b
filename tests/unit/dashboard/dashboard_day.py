"""A short life of one app, as events."""

from __future__ import annotations

from typing import Any

import numpy as np

from easeml.ids import EventId
from easeml.stream import payloads as p
from easeml.stream.events import Event
from easeml.stream.topics import CATALOGUE, partition_of

NOW = 1_700_000_000.0
TOPIC_OF = {payload: topic for topic in reversed(CATALOGUE) for payload in topic.payloads}
APP = p.AppDefined(
    app="churn",
    label="churned",
    classes=("no", "yes"),
    columns=(p.Column("age", p.ColumnKind.NUMERIC),),
    condition="n > 0.7 +/- 0.1",
    life="one",
)


def event(data: Any, at: float, number: int = 0) -> Event[Any]:
    """Return an event recorded ``at`` seconds after the app was made."""
    topic = TOPIC_OF[type(data)]
    app = getattr(data, "app", "")
    return Event(
        id=EventId(f"{type(data).__name__}-{at}-{number}"),
        source="easeml/test",
        time=NOW + at,
        app=app,
        key=topic.key(data),
        data=data,
        topic=topic.name,
        partition=partition_of(app, 4),
        offset=int(at * 10) + number,
        recorded=NOW + at,
    )


def question(name: str, asker: str = "market", bits: float = 0.5, expires_at: float | None = None) -> p.Question:
    return p.Question(
        "churn",
        name,
        p.QuestionKind.LABEL,
        p.Pillar.POOL,
        f"row-{name}",
        ("no", "yes"),
        bits,
        asker,
        expires_at=expires_at,
        probabilities=np.array([0.5, 0.5]),
    )


def answer(name: str, asker: str = "market") -> p.Answer:
    return p.Answer("churn", name, p.QuestionKind.LABEL, p.Pillar.POOL, f"row-{name}", 1, "yes", asker, 1)


def model(name: str, accuracy: float, *parents: str) -> p.ModelPublished:
    return p.ModelPublished(
        "churn",
        name,
        name.rpartition("-")[0],
        "file:///nowhere",
        "0" * 64,
        10,
        "skops",
        ("age",),
        ("no", "yes"),
        "v1",
        "adapted" if parents else "automl",
        {"accuracy": accuracy},
        parents,
    )


def feasibility(signal: p.FeasibilitySignal, begun: float = 0.0, *, final: bool = True) -> p.FeasibilityReport:
    return p.FeasibilityReport(
        app="churn",
        version="v1",
        rows=100,
        final=final,
        target_accuracy=0.9,
        signal=signal,
        bayes_error=0.05,
        bayes_error_upper=0.08,
        interval_low=0.03,
        interval_high=0.07,
        best_transformation="raw",
        distinct_row_ratio=1.0,
        begun_at=begun,
        arms=(
            p.ArmProgress("raw", p.ArmState.DONE, 1.0, 0.08),
            p.ArmProgress("pca", p.ArmState.DONE if final else p.ArmState.RUNNING, 0.5, 0.12),
        ),
        curve_arm=np.array([0, 0, 1], np.int32),
        curve_rows=np.array([50.0, 100.0, 50.0]),
        curve_error=np.array([0.1, 0.08, 0.12]),
    )


def version(pillar: p.Pillar, rows: int) -> p.DataVersion:
    return p.DataVersion("churn", pillar, "v1", rows, "0" * 64, "published")


def day() -> list[Event[Any]]:
    """Return what happens on a good day, in order."""
    said: list[Any] = [
        APP,
        version(p.Pillar.TRAIN, 100),
        version(p.Pillar.VALIDATION, 50),
        version(p.Pillar.TEST, 300),
        feasibility(p.FeasibilitySignal.UNDECIDED, NOW, final=False),
        feasibility(p.FeasibilitySignal.REALISTIC, NOW),
        p.TrialAssigned("churn", "t1", "lda", "lda", "{}", "", 60.0, "v1", 100, 50),
        model("lda-1", 0.8),
        p.TrialFinished("churn", "t1", "lda", p.TrialOutcome.TRAINED, 0.8, 1.0, "lda-1"),
        p.TrialFinished("churn", "t2", "knn", p.TrialOutcome.FAILED, float("nan"), 1.0, None, "no neighbours"),
        p.TestSetOpened("churn", 1, 300, 280, 16),
        p.Verdict("churn", "lda-1", True, False),
        p.ModelPicked("churn", "lda-1", 0, 0, False, 1, {"lda-1": 1.0}),
        model("tree-2", 0.85),
        p.Verdict("churn", "tree-2", False, True, "lda-1"),
        p.CleaningReport("churn", "v1", True, NOW, 100, 20, 0, 0, 50, 40, 0.1, 0.8, 0.85),
        question("a"),
        question("b", bits=0.25),
        question("c", "modelpicker", expires_at=NOW + 100),
        answer("a"),
        p.Budget("churn", "market", 200.0, 1.0),
        p.ModelPicked("churn", "lda-1", 3, 40, True, 2, {"lda-1": 0.9, "tree-2": 0.1}),
        p.Advice("churn", p.AdvicePhase.DATA, "v1", "lda-1", (), (advised(),)),
    ]
    return [event(data, float(at)) for at, data in enumerate(said)]


def advised(action: p.AdviceAction = p.AdviceAction.COLLECT) -> p.AdviceStep:
    return p.AdviceStep(action, "Collect 50 rows", "The curve still rises", 0.02, 0.01, 0.03, 50.0, 5.0)
