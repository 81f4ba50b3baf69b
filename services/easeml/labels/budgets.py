"""Which field of an app's definition grants the labels that an asker may spend."""

from __future__ import annotations

from easeml.stream.payloads import AppDefined

_STANDARD = "label_budget"
_OF = {"cpclean": "cleaning_budget", "market": "acquisition_budget", "ci": "test_label_budget"}


def budget_of(asker: str) -> str:
    """Return the field of AppDefined that pays for an asker's questions.

    >>> budget_of("cpclean"), budget_of("modelpicker"), budget_of("a tool of yours")
    ('cleaning_budget', 'label_budget', 'label_budget')
    """
    return _OF.get(asker, _STANDARD)


def grants_of(app: AppDefined) -> dict[str, float]:
    """Return the labels that each budget of an app grants, by field."""
    return {field: float(getattr(app, field)) for field in (_STANDARD, *_OF.values())}


def raising(app: str, asker: str) -> str:
    """Return how more is granted to an asker.

    >>> raising("churn", "market")
    'easeml apps update churn --acquisition-budget N'
    """
    return f"easeml apps update {app} --{budget_of(asker).replace('_', '-')} N"
