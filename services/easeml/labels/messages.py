"""Questions as messages of the public contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from easeml.errors import InvalidDataError
from easeml.labels.queue import OpenQuestion
from easeml.labels.rows import Image, Value
from easeml.labels.v1 import labels_pb2 as pb
from easeml.stream.payloads import QuestionKind

KINDS: dict[Any, QuestionKind] = {
    pb.QUESTION_KIND_LABEL: QuestionKind.LABEL,
    pb.QUESTION_KIND_CELL: QuestionKind.CELL,
    pb.QUESTION_KIND_ROW: QuestionKind.ROW,
}
NUMBERS = {kind: number for number, kind in KINDS.items()}


def kind_of(number: int) -> QuestionKind | None:
    """Return the kind of a number of the contract; None: unspecified.

    Raises
    ------
    InvalidDataError
        When the number is none of the contract's.
    """
    if number == pb.QUESTION_KIND_UNSPECIFIED:
        return None
    if number not in KINDS:
        raise InvalidDataError(
            f"kind is {number}.", mend="Use a QuestionKind of this server's contract.", reason="kind"
        )
    return KINDS[number]


def timestamp(seconds: float) -> Timestamp:
    """Return seconds since 1970 UTC as a Timestamp, kept to the microsecond."""
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp


def question_message(
    entry: OpenQuestion, row: Mapping[str, Value], holders: Iterable[str], redundancy: int = 1
) -> pb.Question:
    """Return an open question with the values of its row (by column), who holds it and how many people it wants."""
    asked = entry.question
    uniform = [1 / len(asked.candidates)] * len(asked.candidates)
    beliefs = asked.probabilities.tolist() or uniform
    return pb.Question(
        app=asked.app,
        question=asked.question,
        kind=NUMBERS[asked.kind],
        pillar=asked.pillar.value,
        row_id=asked.row_id,
        column=asked.column or "",
        candidates=[
            pb.Candidate(text=text, probability=belief) for text, belief in zip(asked.candidates, beliefs, strict=True)
        ],
        information_gain=asked.information_gain,
        cost=asked.cost,
        asked_by=asked.asked_by,
        context=asked.context,
        row=[cell_message(column, value) for column, value in row.items()],
        create_time=timestamp(entry.asked_at),
        expire_time=None if asked.expires_at is None else timestamp(asked.expires_at),
        claimed_by=", ".join(holders),
        answers=len(entry.votes),
        # Where enough have answered and it is open, they disagree: one more is asked.
        # Where enough have answered and it is open, they disagree: one more is asked.
        answers_wanted=max(redundancy, len(entry.votes) + 1),
    )


def cell_message(column: str, value: Value) -> pb.Cell:
    """Return one cell."""
    if value is None:
        return pb.Cell(column=column)
    if isinstance(value, bool):
        return pb.Cell(column=column, flag=value)
    if isinstance(value, float):
        return pb.Cell(column=column, number=value)
    if isinstance(value, datetime):
        return pb.Cell(column=column, time=timestamp(value.timestamp()))
    if isinstance(value, Image):
        return pb.Cell(column=column, tensor=pb.Tensor(shape=value.shape, values=value.values))
    return pb.Cell(column=column, text=value)
