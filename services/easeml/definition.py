"""What an app is, decided without a broker: its definition checked, changed and completed by a first frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from easeml import ci
from easeml.ci import agreement, explain
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.ids import AppId, EventId
from easeml.relation import Relation
from easeml.stream.payloads import AppDefined, Column, ColumnKind

_OWN = {"app", "label", "classes", "columns", "life"}
CHANGEABLE = (
    "target",
    "condition",
    "reliability",
    "steps",
    "passes",
    "scores",
    "meter",
    "label_budget",
    "cleaning_budget",
    "acquisition_budget",
    "test_label_budget",
    "redundancy",
    "price_column",
    "horizon",
)
"""Options that an app that exists may get anew."""
_TOLERANCES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25)


def defined(name: str, label: str, options: Mapping[str, Any]) -> AppDefined:
    """Return a new app without columns and classes.

    Raises
    ------
    ConditionError, ConfigurationError
        When the condition does not parse or cannot be planned.
    InvalidDataError
        When the name, the label or an option is wrong.
    """
    _check_names(options, [field for field in AppDefined.__slots__ if field not in _OWN])
    if not label.strip():
        raise InvalidDataError("The label column has no name.", mend="Name the column that holds the label.")
    # A deleted app of the same name may have had the same rows: its versions must not be taken for this app's.
    return checked(AppDefined(AppId(name), label, (), (), life=EventId.random()[:6], **options))


def _check_names(options: Iterable[str], known: Sequence[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InvalidDataError(f"Unknown option of an app: {unknown[0]!r}.", mend=f"Known are: {', '.join(known)}.")


def checked(app: AppDefined) -> AppDefined:
    """Return the app when its numbers and its condition are possible; errors as in ``defined``."""
    for field, value, fits, wanted in (
        ("target", app.target, 0 <= app.target <= 1, "an accuracy from 0 to 1"),
        ("label_budget", app.label_budget, app.label_budget >= 0, "0 or more labels"),
        ("cleaning_budget", app.cleaning_budget, app.cleaning_budget >= 0, "0 or more answers"),
        ("acquisition_budget", app.acquisition_budget, app.acquisition_budget >= 0, "0 or more labels"),
        ("test_label_budget", app.test_label_budget, app.test_label_budget >= 0, "0 or more labels"),
        ("redundancy", app.redundancy, app.redundancy >= 1, "one or more people"),
        ("scores", app.scores, all(0 <= score.worth <= 1 for score in app.scores), "scores from 0 to 1"),
        ("horizon", app.horizon, app.horizon >= 1, "at least one row"),
    ):
        if not fits:
            raise InvalidDataError(f"{field}={value!r} is not possible.", mend=f"Give {wanted}.")
    numbers = [column.name for column in app.columns if column.kind is ColumnKind.NUMERIC]
    if app.price_column and app.columns and app.price_column not in numbers:
        raise InvalidDataError(
            f"price_column={app.price_column!r} is no numeric column of app {app.app!r}.",
            mend=f"Numeric columns are: {', '.join(numbers) or 'none'}; empty: every label costs 1.",
        )
    check_plan(app)
    return app


def check_plan(app: AppDefined) -> None:
    """Refuse a condition that the app's test labels cannot pay, where people are asked for them.

    Raises
    ------
    ConditionError, ConfigurationError
        When the condition does not parse or cannot be planned.
    BudgetExhaustedError
        When a single decision may need more labels than the budget grants; says what would fit.
    """
    if app.classes:
        agreement.scores_of(app)
    needed, granted = plan_of(app).labels_worst, app.test_label_budget
    if not granted or needed <= granted:
        return
    fewer = next((n for n in range(app.steps - 1, 0, -1) if plan_of(replace(app, steps=n)).labels_worst <= granted), 0)
    mends = [f"grant {needed:,} labels (--test-label-budget {needed})", *_wider(app, granted)]
    mends += [f"judge {fewer} models per test set (--steps {fewer})"] if fewer else []
    mend = "; or ".join(mends)
    raise BudgetExhaustedError(
        f"The condition {app.condition!r} with reliability {app.reliability:g} over {app.steps} models may need "
        f"{needed:,} test labels for one decision; the budget grants {granted:,}.",
        mend=f"{mend[0].upper()}{mend[1:]}.",
    )


def _wider(app: AppDefined, granted: int) -> list[str]:
    """Return the smallest tolerance that the labels can pay, where the condition has one clause."""
    clauses = ci.parse(app.condition).clauses
    if len(clauses) > 1:
        return []
    head, _, _ = app.condition.replace("±", "+/-").rpartition("+/-")
    for tolerance in _TOLERANCES:
        text = f"{head.strip()} +/- {tolerance:g}"
        if tolerance > clauses[0].tolerance and plan_of(replace(app, condition=text)).labels_worst <= granted:
            return [f"allow a wider tolerance (--condition '{text}')"]
    return []


def plan_of(app: AppDefined) -> ci.Plan:
    """Return the CI plan of an app."""
    return agreement.plan_of(app)


def plan_page(app: AppDefined) -> tuple[explain.Answer, ...]:
    """Return what the app's condition costs and promises, question by question, for people."""
    return explain.explained(agreement.protocol_of(app))


def plan_explained(app: AppDefined) -> tuple[explain.Answer, ...]:
    """Return how many test labels the app's condition needs, and why, for people."""
    _tested, how_many, why, *_others = plan_page(app)
    return how_many, why


def with_schema(app: AppDefined, frame: pd.DataFrame) -> AppDefined:
    """Return the app with the columns and classes of a frame.

    Raises
    ------
    InvalidDataError
        When the frame has no label column, fewer than two classes, columns without a common type, or no column of
        prices although the app names one.
    """
    relation = Relation.from_frame(frame, label=app.label, classes=app.classes or None)
    if len(relation.classes) < 2:
        raise InvalidDataError(
            f"Label {app.label!r} has {_classes(relation.classes)}; there is nothing to learn.",
            mend="Publish rows of at least two classes.",
        )
    return checked(replace(app, columns=relation.columns, classes=relation.classes))


def _classes(classes: tuple[str, ...]) -> str:
    return f"one class only ({classes[0]!r})" if classes else "no value"


def changed(
    app: AppDefined,
    options: Mapping[str, Any],
    add_classes: Iterable[str],
    add_categories: Mapping[str, Iterable[str]],
) -> AppDefined:
    """Return the app with other options (None: as before) and further classes and categories.

    New names are appended, so the codes that were published keep their meaning.

    Raises
    ------
    ConditionError, ConfigurationError, InvalidDataError
        As ``defined``; also when categories are added to a column that has none.
    """
    _check_names(options, CHANGEABLE)
    wanted = {name: tuple(map(str, values)) for name, values in add_categories.items()}
    further = tuple(map(str, add_classes))
    categorical = [column.name for column in app.columns if column.kind is ColumnKind.CATEGORICAL]
    for name in wanted:
        if name not in categorical:
            raise InvalidDataError(
                f"Column {name!r} of app {app.app!r} has no categories.",
                mend=f"Categorical columns are: {', '.join(categorical) or 'none yet'}.",
            )
    if not all((*further, *(value for values in wanted.values() for value in values))):
        raise InvalidDataError("An empty name is no class and no category.", mend="Leave it out.")
    if further and not app.columns:
        raise InvalidDataError(
            f"App {app.app!r} has no classes yet.", mend="Publish labelled rows first; they bring the classes."
        )
    return checked(
        replace(
            app,
            classes=tuple(dict.fromkeys((*app.classes, *further))),
            columns=tuple(_extended(column, wanted.get(column.name, ())) for column in app.columns),
            **{name: value for name, value in options.items() if value is not None},
        )
    )


def check_kinds(app: AppDefined, declared: Mapping[str, str]) -> None:
    """Refuse kinds of columns that differ from those that the app has.

    Raises
    ------
    InvalidDataError
    """
    fixed = {column.name: column.kind.value for column in app.columns}
    for column, kind in declared.items():
        if fixed.get(column, kind) != kind:
            raise InvalidDataError(
                f"Column {column!r} of app {app.app!r} is {fixed[column]}, not {kind}.",
                mend="An app keeps the kinds of its first rows: declare no other one, or create another app.",
            )


def _extended(column: Column, values: tuple[str, ...]) -> Column:
    return replace(column, categories=tuple(dict.fromkeys((*column.categories, *values)))) if values else column
