"""What a question and an annotation must be before they enter the queue."""

from __future__ import annotations

import math

import numpy as np

from easeml.errors import InvalidDataError, Poison
from easeml.ids import RowId
from easeml.labels.votes import LONGEST_TEXT, OTHER
from easeml.relation.answers import canonical
from easeml.stream.payloads import Annotation, AppDefined, Pillar, Question, QuestionKind

PROBABILITY_TOLERANCE = 1e-3
"""Beliefs may have travelled as float32 or as text."""
GAIN_TOLERANCE = 1e-9
"""A gain is a difference of entropies, and may be rounded below zero."""


def check_question(question: Question, app: AppDefined, *, restricted: bool = False) -> None:
    """Hold a question to its app.

    Parameters
    ----------
    question : Question
    app : AppDefined
    restricted : bool
        Whether it came where questions about test rows belong, and no others.

    Raises
    ------
    Poison
        When it asks about a row of the wrong pillar or an unknown column, offers no, double or foreign values, or
        numbers that are none.
    """
    where = f"question {question.question!r} of app {question.app}"
    _check_names(where, question=question.question, row_id=question.row_id, asked_by=question.asked_by)
    if (question.pillar is Pillar.TEST) is not restricted:
        raise Poison(
            f"{where} is about a {question.pillar} row.",
            mend="Whoever answers for a test row learns of the test set: ask on ci.questions, and nothing else there.",
            reason="restricted_pillar",
        )
    if restricted and question.kind is not QuestionKind.LABEL:
        raise Poison(
            f"{where} asks for a {question.kind} of a test row.",
            mend="Ask for its label; what a test row holds is never changed.",
            reason="restricted_pillar",
        )
    if len(set(question.candidates)) != len(question.candidates) or len(question.candidates) < 2:
        raise Poison(
            f"{where} has the candidates {question.candidates}.",
            mend="Offer two or more different values.",
            reason="invalid_candidates",
        )
    foreign = set(question.candidates) - set(app.classes) if question.kind is QuestionKind.LABEL else set()
    if foreign:
        raise Poison(
            f"{where} offers the labels {sorted(foreign)}, which are not classes of the app.",
            mend=f"The classes are {app.classes}.",
            reason="unknown_class",
        )
    if question.kind is QuestionKind.CELL:
        _check_cell(where, question, app)
    _check_numbers(where, question)


def _check_cell(where: str, question: Question, app: AppDefined) -> None:
    """Hold a question about a cell to its column: what is answered must be a value of it."""
    if not question.column:
        raise Poison(f"{where} asks for a cell without naming its column.", mend="Set column.", reason="no_column")
    column = next((own for own in app.columns if own.name == question.column), None)
    if column is None:
        raise Poison(
            f"{where} asks for column {question.column!r}, which the app does not have.",
            mend=f"The columns are {', '.join(own.name for own in app.columns) or 'not known yet'}.",
            reason="unknown_column",
        )
    try:
        forms = {canonical(column, text) for text in question.candidates}
    except InvalidDataError as error:
        raise Poison(f"{where}: {error.message}", mend=error.mend, reason="invalid_candidates") from error
    if len(forms) < len(question.candidates):
        raise Poison(
            f"{where} offers one value twice: {question.candidates}.",
            mend="Offer two or more different values.",
            reason="invalid_candidates",
        )


def check_annotation(annotation: Annotation) -> None:
    """Hold an annotation to its form.

    Raises
    ------
    Poison
        When a name is empty or unprintable, the value below -2, or another value empty or too long.
    """
    where = f"annotation {annotation.request_id!r} of app {annotation.app}"
    _check_names(where, question=annotation.question, annotator=annotation.annotator, request_id=annotation.request_id)
    if annotation.value < OTHER:
        raise Poison(
            f"{where} has the value {annotation.value}.",
            mend="Send the index of a candidate, -1 to skip, or -2 and another value as text.",
            reason="invalid_value",
        )
    if annotation.value == OTHER and not 0 < len(annotation.text) <= LONGEST_TEXT:
        raise Poison(
            f"{where} has another value of {len(annotation.text):,} characters.",
            mend=f"Send 1 to {LONGEST_TEXT:,} characters.",
            reason="invalid_value",
        )


def _check_numbers(where: str, question: Question) -> None:
    if not (math.isfinite(question.information_gain) and question.information_gain >= -GAIN_TOLERANCE):
        raise Poison(
            f"{where} has information_gain {question.information_gain}.",
            mend="Send bits: finite and not negative.",
            reason="invalid_number",
        )
    if not (math.isfinite(question.cost) and question.cost > 0):
        raise Poison(
            f"{where} has cost {question.cost}.", mend="Send labels: finite and positive.", reason="invalid_number"
        )
    if question.expires_at is not None and not math.isfinite(question.expires_at):
        raise Poison(
            f"{where} has expires_at {question.expires_at}.",
            mend="Send seconds since 1970 UTC, or null for never.",
            reason="invalid_number",
        )
    belief = question.probabilities
    if belief.size == 0:
        return
    if (
        belief.size != len(question.candidates)
        or not np.all((belief >= 0) & (belief <= 1 + PROBABILITY_TOLERANCE))
        or abs(float(belief.sum()) - 1) > PROBABILITY_TOLERANCE
    ):
        raise Poison(
            f"{where} has the probabilities {belief.tolist()} for {len(question.candidates)} candidates.",
            mend="Send one per candidate, summing to 1, or none at all.",
            reason="invalid_probabilities",
        )


def _check_names(where: str, **names: str) -> None:
    for field, value in names.items():
        try:
            RowId(value)  # the one rule for printable names
        except InvalidDataError as error:
            raise Poison(f"{where} has {field} {value!r}.", mend=error.mend, reason="invalid_name") from error
