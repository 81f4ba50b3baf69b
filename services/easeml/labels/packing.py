"""The storable form of a queue: JSON for what people wrote, arrays for the digests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.labels.queue import Closed, OpenQuestion, Queue, Recorded
from easeml.stream.payloads import Annotation, Pillar, Question, QuestionKind
from easeml.stream.service import Packed

_TEST = "test_"


def pack(queue: Queue) -> Packed:
    """Return the storable form of a queue; its clock is left out, the next tick sets it."""
    packed = _pack(queue)
    if queue.test is None:
        return packed
    test = _pack(queue.test)
    named = {_TEST + name: array for name, array in test.arrays.items()}
    return Packed({**packed.document, "test": test.document}, {**packed.arrays, **named})


def unpack(app: str, packed: Packed) -> Queue:
    """Return the queue that ``pack`` stored."""
    queue = _unpack(app, packed)
    if "test" in packed.document:
        arrays = {name.removeprefix(_TEST): array for name, array in packed.arrays.items() if name.startswith(_TEST)}
        queue.test = _unpack(app, Packed(packed.document["test"], arrays))
        queue.test.restricted = True
    return queue


def _pack(queue: Queue) -> Packed:
    document: dict[str, Any] = {
        "redundancy": queue.redundancy,
        "grants": dict(queue.grants),
        "spent": dict(queue.spent),
        "announced": dict(queue.announced),
        "open": [
            {
                "question": _question_document(entry.question),
                "asked_at": entry.asked_at,
                "votes": dict(entry.votes),
                "skipped_by": list(entry.skipped_by),
            }
            for entry in queue.open.values()
        ],
        "early": [
            {"annotation": _fields(annotation), "given_at": given_at}
            for waiting in queue.early.values()
            for annotation, given_at in waiting
        ],
    }
    if queue.crowd.heard:
        document["crowd"] = [[name, queue.crowd.right[name], heard] for name, heard in queue.crowd.heard.items()]
    records = [(request, record.content, record.text) for request, record in queue.requests.items()]
    arrays: dict[str, NDArray[Any]] = {
        "closed": np.array(list(queue.closed), np.uint64),
        "closed_why": np.array(list(queue.closed.values()), np.uint8),
        "requests": np.array(records, np.uint64).reshape(-1, 3),
        "request_values": np.array([record.value for record in queue.requests.values()], np.int64),
    }
    return Packed(document, arrays)


def _unpack(app: str, packed: Packed) -> Queue:
    document, arrays = packed.document, packed.arrays
    queue = Queue(
        app,
        document.get("redundancy", 1),
        grants=dict(document["grants"]),
        spent=dict(document["spent"]),
        announced=dict(document["announced"]),
    )
    for name, right, heard in document.get("crowd", ()):
        queue.crowd.right[name], queue.crowd.heard[name] = right, heard
    for entry in document["open"]:
        question = _question(entry["question"])
        queue.open[question.question] = OpenQuestion(
            question, entry["asked_at"], dict(entry["votes"]), list(entry["skipped_by"])
        )
    for entry in document["early"]:
        annotation = Annotation(**entry["annotation"])
        queue.early.setdefault(annotation.question, []).append((annotation, entry["given_at"]))
    queue.closed = {
        name: Closed(why) for name, why in zip(arrays["closed"].tolist(), arrays["closed_why"].tolist(), strict=True)
    }
    queue.requests = {
        request: Recorded(content, value, text)
        for (request, content, text), value in zip(
            arrays["requests"].tolist(), arrays["request_values"].tolist(), strict=True
        )
    }
    return queue


def _fields(payload: Any) -> dict[str, Any]:
    return {item.name: getattr(payload, item.name) for item in fields(payload)}


def _question_document(question: Question) -> dict[str, Any]:
    return _fields(question) | {
        "candidates": list(question.candidates),
        "context": dict(question.context),
        "probabilities": question.probabilities.tolist(),
    }


def _question(document: dict[str, Any]) -> Question:
    return Question(
        **document
        | {
            "kind": QuestionKind(document["kind"]),
            "pillar": Pillar(document["pillar"]),
            "candidates": tuple(document["candidates"]),
            "probabilities": np.array(document["probabilities"], np.float64),
        }
    )
