"""What an application is: its labels, its columns, its target and the conditions a model must meet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ColumnKind(StrEnum):
    """Type of one column of a relation."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    DATETIME = "datetime"
    TEXT = "text"
    TENSOR = "tensor"


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column."""

    name: str  #: name of the column
    kind: ColumnKind  #: type of its values
    categories: tuple[str, ...] = ()  #: values of a categorical column, in code order
    shape: tuple[int, ...] = ()  #: shape of one value of a tensor column


@dataclass(frozen=True, slots=True)
class Score:
    """What CI counts a prediction for a row of some class."""

    label: str  #: true class
    prediction: str  #: predicted class
    worth: float  #: in [0, 1]; 1 minus the cost, where the highest cost is 1


@dataclass(frozen=True, slots=True)
class AppDefined:
    """An application is created or changed (last definition wins)."""

    app: str  #: name of the app
    label: str  #: name of the label column
    classes: tuple[str, ...]  #: label domain, in code order
    columns: tuple[Column, ...]  #: feature columns that every batch must have
    target: float = 0.9  #: accuracy the user hopes for, in [0, 1]
    condition: str = "n > 0.5 +/- 0.1"  #: condition that a model must pass, in the CI condition language
    reliability: float = 0.95  #: 1 - delta of the CI guarantee, over all steps
    mode: str = "fp-free"  #: fp-free (unknown rejects) or fn-free (unknown accepts)
    adaptivity: str = "full"  #: full, none or first_change
    steps: int = 16  #: H, models that one test set may judge
    passes: int | None = None  #: models that one test set may let pass; null: any number, which costs far more labels
    scores: tuple[Score, ...] = ()  #: predictions that count otherwise than 1 when right and 0 when wrong
    meter: bool = False  #: whether developers see the overfitting meter; what it tells them costs test labels
    label_budget: int = 200  #: labels that production questions may cost
    cleaning_budget: int = 200  #: answers that questions about uncertain training rows may cost
    acquisition_budget: int = 200  #: labels that questions about pool rows may cost
    test_label_budget: int = 0  #: labels that questions about test rows may cost; 0: they come with the data
    redundancy: int = 1  #: people who must answer a question before it counts; one decides about test rows
    price_column: str = ""  #: numeric column with the price of a pool row's label, in labels; empty: 1 each
    horizon: int = 1000  #: production rows over which the label budget is to be spread
    picker_policy: str = "portfolio"  #: policy of the ModelPicker: portfolio, or modelpicker, the published algorithm
    picker_half_life: float | None = None  #: rows after which a loss counts half; null: found by itself; inf: never
    gate_min_gain: float = 0.0  #: validation accuracy a model must gain over the baseline to be submitted to CI
    gate_per_day: int = 100  #: models submitted to CI per day at most
    priority: float = 1.0  #: share of compute against other apps
    life: str = ""  #: tells an app from a deleted one of the same name; kept when the app is changed


@dataclass(frozen=True, slots=True)
class AppDeleted:
    """An application is gone; services forget it."""

    app: str  #: name of the app
