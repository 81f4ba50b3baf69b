"""What one annotator says about a question: a candidate, another value, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from easeml.errors import InvalidDataError
from easeml.relation.answers import canonical
from easeml.stream.payloads import Annotation, Column, ColumnKind, Question, QuestionKind

SKIPPED = -1
"""Value of an annotation that passes the question on."""
OTHER = -2
"""Value of an annotation, and of an answer, that is none of the candidates."""
LONGEST_TEXT = 1000
LONGEST_NAME = 200
"""Characters of another value: of a text column, of any other column."""

Vote: TypeAlias = int | str
"""Index of a candidate, or another value in the one form of its column."""


def vote_of(annotation: Annotation, question: Question, columns: Sequence[Column]) -> Vote:
    """Return the vote of an annotation that is no skip; another value that means a candidate is that candidate.

    Parameters
    ----------
    annotation : Annotation
        What an annotator said.
    question : Question
        What was asked.
    columns : sequence of Column
        Feature columns of the app.

    Raises
    ------
    InvalidDataError
        With the reason ``invalid_value``: there is no such candidate, the question takes no other value, or it does
        not fit the column.
    """
    if annotation.value != OTHER:
        if annotation.value >= len(question.candidates):
            raise no_candidate(question, annotation.value)
        return annotation.value
    if question.kind is not QuestionKind.CELL:
        raise InvalidDataError(
            f"Question {question.question!r} asks for a {question.kind}; it takes no other value.",
            mend=f"The candidates are {list(question.candidates)}.",
            reason="invalid_value",
        )
    column = next((own for own in columns if own.name == question.column), None)
    if column is None:
        raise InvalidDataError(
            f"App {question.app!r} has no column {question.column!r}.",
            mend="Skip the question.",
            reason="invalid_value",
        )
    try:
        _check_length(column, annotation.text)
        said = canonical(column, annotation.text)
        forms = [canonical(column, candidate) for candidate in question.candidates]
    except InvalidDataError as error:
        raise InvalidDataError(error.message, mend=error.mend, reason="invalid_value") from error
    return forms.index(said) if said in forms else said


def no_candidate(question: Question, given: int | str | None) -> InvalidDataError:
    """Return the error of an answer that names none of the candidates."""
    return InvalidDataError(
        f"{given!r} is no candidate of question {question.question!r}.",
        mend=f"The candidates are {list(question.candidates)}."
        + (" Give another value as 'other'." if question.kind is QuestionKind.CELL else ""),
        reason="invalid_value",
    )


def _check_length(column: Column, text: str) -> None:
    longest = LONGEST_TEXT if column.kind is ColumnKind.TEXT else LONGEST_NAME
    if not text.strip() or len(text) > longest:
        raise InvalidDataError(
            f"A value of {len(text):,} characters for column {column.name!r}.",
            mend=f"Give 1 to {longest:,} characters, not only blanks.",
        )
