from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from easeml.stream.payloads import Annotation, AppDefined, Column, ColumnKind, Pillar, Question, QuestionKind

APP = AppDefined(
    app="churn",
    label="churned",
    classes=("no", "yes"),
    columns=(Column("age", ColumnKind.NUMERIC),),
    label_budget=3,
)
QUESTION = Question(
    app="churn",
    question="q",
    kind=QuestionKind.LABEL,
    pillar=Pillar.PRODUCTION,
    row_id="r",
    candidates=("no", "yes"),
    information_gain=1.0,
    asked_by="modelpicker",
    probabilities=np.array([0.5, 0.5]),
)
ANNOTATION = Annotation(app="churn", question="q", annotator="ada", request_id="a1", value=1)


@pytest.fixture
def app() -> AppDefined:
    return APP


@pytest.fixture
def question() -> Callable[..., Question]:
    def make(name: str = "q", **changes: object) -> Question:
        return replace(QUESTION, question=name, **({"row_id": f"row-{name}"} | changes))

    return make


@pytest.fixture
def annotation() -> Callable[..., Annotation]:
    def make(name: str = "q", **changes: object) -> Annotation:
        return replace(ANNOTATION, question=name, **({"request_id": f"request-{name}"} | changes))

    return make
