"""Questions to people and their answers: one kind of question for every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from easeml.stream.payloads.arrays import F64, floats
from easeml.stream.payloads.data import Pillar

_ASKED_AGAIN = 0.2


class QuestionKind(StrEnum):
    """Which uncertain variable is asked for."""

    LABEL = "label"
    CELL = "cell"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Question:
    """An uncertain variable that a person can resolve."""

    app: str  #: name of the app
    question: str  #: identity of the question
    kind: QuestionKind  #: which variable
    pillar: Pillar  #: pillar of the row
    row_id: str  #: row asked about
    candidates: tuple[str, ...]  #: possible values, for people
    information_gain: float  #: expected information in bits
    asked_by: str  #: service that asks
    column: str | None = None  #: column of a CELL question
    cost: float = 1.0  #: price of an answer in labels
    context: dict[str, str] = field(default_factory=dict)  #: what to show beside the row
    expires_at: float | None = None  #: seconds since 1970 UTC; null: never
    probabilities: F64 = floats()  #: belief per candidate, sums to 1


def tells_otherwise(told: float, now: float) -> bool:
    """Return whether a question is to be asked again, under its id, for what an answer tells is another now.

    Other answers change what an open question is worth; the label service takes over what it hears last. A fifth more
    or less hardly moves a question in a list, and would make as many messages as there are questions and answers.

    Parameters
    ----------
    told, now : float
        Expected information in bits, when the question was asked last and now.
    """
    return abs(now - told) > _ASKED_AGAIN * max(told, now)


@dataclass(frozen=True, slots=True)
class Annotation:
    """The raw answer of one annotator."""

    app: str  #: name of the app
    question: str  #: question answered
    annotator: str  #: who answered
    request_id: str  #: client-chosen identity of the submission
    value: int  #: index into the question's candidates; -1: skipped; -2: another value
    text: str = ""  #: the other value


@dataclass(frozen=True, slots=True)
class Answer:
    """The aggregated answer: the only thing that collapses a variable."""

    app: str  #: name of the app
    question: str  #: question answered
    kind: QuestionKind  #: which variable
    pillar: Pillar  #: pillar of the row
    row_id: str  #: row asked about
    value: int  #: index into the question's candidates; -2: another value
    text: str  #: the value, for people
    asked_by: str  #: service that asked
    annotators: int  #: annotations behind the answer
    column: str | None = None  #: column of a CELL question


@dataclass(frozen=True, slots=True)
class Budget:
    """What an asker may spend and has spent."""

    app: str  #: name of the app
    asker: str  #: service that asks
    granted: float  #: labels granted
    spent: float  #: labels spent
