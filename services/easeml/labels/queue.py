"""The open questions of one app: asked, annotated, answered, paid, expired.

Every decision is made from logged events: the question, the annotation and their event times. So two replicas, or one
before and after a restart, decide alike. Questions, annotations and ticks may arrive in any interleaving: an annotation
whose question has not come yet waits for it, and whether it came in time is judged by its own event time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from easeml.errors import InvalidDataError, Poison
from easeml.labels.aggregation import Crowd
from easeml.labels.budgets import budget_of
from easeml.labels.votes import OTHER, SKIPPED, Vote, vote_of
from easeml.stream.payloads import Annotation, Answer, AuditRecord, Budget, Column, Payload, Pillar, Question

GRACE_SECONDS = 60.0
"""An expired question stays answerable by annotations given in time for so long, should they arrive late."""
EARLY_SECONDS = 3600.0
"""An annotation waits for its question for so long."""
MAX_OPEN = 1000
"""Open questions of an app; beyond, the least informative one is withdrawn."""
MAX_OPEN_BYTES = 300_000
"""Bytes of all open questions of an app; the state has to fit into one changelog message."""
MAX_QUESTION_BYTES = 32_000
MAX_EARLY = 500
MAX_EARLY_BYTES = 260_000
"""Annotations that wait for their question, and their bytes."""
MAX_SKIPPED = 100
"""Annotators per question whose skip is remembered."""
MAX_CLOSED = 16_384
"""Closed questions remembered, so that one asked again is not opened again."""
MAX_REQUESTS = 4096
"""Submissions remembered, so that a repetition is recognised after a restart."""
_ROUNDING = 1e-9


class Closed(IntEnum):
    """Why a question is closed."""

    ANSWERED = 1
    EXPIRED = 2
    WITHDRAWN = 3


def digest(*parts: str) -> int:
    """Return a 64-bit digest of ``parts``."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "little")


@dataclass(slots=True, eq=False)
class OpenQuestion:
    """A question that waits for its answer.

    Parameters
    ----------
    question : Question
        What is asked.
    asked_at : float
        Seconds since 1970 UTC.
    votes : dict of str to Vote
        By annotator, in the order given.
    skipped_by : list of str
        Annotators who passed it on, the newest ones.
    """

    question: Question
    asked_at: float
    votes: dict[str, Vote] = field(default_factory=dict)
    skipped_by: list[str] = field(default_factory=list)
    _own_size: int = field(init=False)

    def __post_init__(self) -> None:
        asked = self.question
        names = (asked.question, asked.row_id, asked.column, asked.asked_by)
        self._own_size = 300 + 24 * len(asked.candidates) + len(json.dumps((names, asked.candidates, asked.context)))

    @property
    def size(self) -> int:
        """Bytes it takes in storage, roughly."""
        return self._own_size + (len(json.dumps(self.votes)) if self.votes else 0)

    @property
    def rate(self) -> float:
        """Expected information gain per cost, in bits per label."""
        return self.question.information_gain / self.question.cost

    @property
    def rank(self) -> tuple[float, str, str]:
        """Sort key: best first, then by name."""
        return (-self.rate, self.question.app, self.question.question)

    def value_anew(self, question: Question) -> None:
        """Take over what the same question, asked again, is expected to tell now; all else stays as it was asked."""
        if question.asked_by == self.question.asked_by:
            self.question = replace(self.question, information_gain=question.information_gain)

    def expired(self, time: float) -> bool:
        """Whether an answer given at ``time`` (seconds since 1970 UTC) comes too late."""
        return self.question.expires_at is not None and time > self.question.expires_at


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is remembered of a submission, to tell a repetition from another submission under the same request id.

    Parameters
    ----------
    content : int
        Digest of question and annotator.
    value : int
        Index of the candidate, -1: skipped, -2: another value.
    text : int
        Digest of the text of the candidate or other value; 0: not known, because the question was closed already.
    """

    content: int
    value: int
    text: int

    @classmethod
    def of(cls, annotation: Annotation, candidates: Sequence[str] = ()) -> Recorded:
        """Return the record of an annotation on a question with these candidates."""
        if annotation.value == OTHER:
            text = digest(annotation.text)
        else:
            text = digest(candidates[annotation.value]) if 0 <= annotation.value < len(candidates) else 0
        return cls(digest(annotation.question, annotation.annotator), annotation.value, text)


@dataclass(slots=True)
class Queue:
    """Questions of one app and what has become of them.

    Parameters
    ----------
    app : str
        Name of the app.
    redundancy : int
        People who must answer a question before it counts.
    """

    app: str
    redundancy: int = 1
    grants: dict[str, float] = field(default_factory=dict)  #: labels an asker may spend, by budget
    columns: tuple[Column, ...] | None = None  #: of the app; None: not known yet
    spent: dict[str, float] = field(default_factory=dict)  #: labels spent per asker
    announced: dict[str, float] = field(default_factory=dict)  #: grant last published per asker
    open: dict[str, OpenQuestion] = field(default_factory=dict)  #: by question id, in the order asked
    early: dict[str, list[tuple[Annotation, float]]] = field(default_factory=dict)  #: waiting for their question
    closed: dict[int, Closed] = field(default_factory=dict)  #: by digest of the question id, oldest first
    requests: dict[int, Recorded] = field(default_factory=dict)  #: by digest of the request id, oldest first
    crowd: Crowd = field(default_factory=Crowd)  #: how reliable annotators are
    now: float = 0.0  #: newest tick; only decides what is shown, never what counts
    restricted: bool = False  #: questions about test rows: in a fixed order, so none is passed over
    test: Queue | None = None  #: questions about test rows, apart: all that becomes of them is the owner's to know

    def ask(self, question: Question, time: float) -> list[Payload]:
        """Open a question and apply the annotations that came before it; one that is open already is valued anew.

        Raises
        ------
        Poison
            When the question is too large to keep.
        """
        if question.question in self.open:
            if self.restricted and question.expires_at is not None:
                self._close(question.question, Closed.WITHDRAWN)  # the verdict is there without it
            else:
                self.open[question.question].value_anew(question)
            return []
        if digest(question.question) in self.closed:
            return []
        entry = OpenQuestion(question, time)
        if entry.size > MAX_QUESTION_BYTES:
            raise Poison(
                f"question {question.question} of app {self.app} takes {entry.size} bytes of {MAX_QUESTION_BYTES}.",
                mend="Shorten its candidates or context.",
                reason="too_large",
            )
        self.open[question.question] = entry
        outputs: list[Payload] = []
        if question.asked_by not in self.spent:
            self.spent[question.asked_by] = 0.0
            outputs.append(self._budget(question.asked_by))
        for annotation, given_at in self.early.pop(question.question, []):
            outputs += self._apply(annotation, given_at)
        return outputs + self._bound()

    def annotate(self, annotation: Annotation, time: float) -> list[Payload]:
        """Count an annotation, once: an answer when it decides the question.

        Raises
        ------
        Poison
            When the value is none that the question takes, or too many annotations wait for one nobody knows.
        """
        if self.recorded(annotation.request_id) is not None:
            return []
        entry = self.open.get(annotation.question)
        if entry is None and digest(annotation.question) not in self.closed:
            return self._wait(annotation, time)
        if entry is not None and annotation.value != SKIPPED:
            try:
                self.vote(annotation, entry)
            except InvalidDataError as error:
                where = f"annotation {annotation.request_id} in app {self.app}"
                raise Poison(f"{where}: {error.message}", mend=error.mend, reason=error.reason) from error
        return self._apply(annotation, time)

    def tick(self, time: float) -> list[Payload]:
        """Close what has expired, give up annotations nobody asked for, publish a changed grant."""
        self.now = max(self.now, time)
        outputs: list[Payload] = []
        for name in [name for name, entry in self.open.items() if entry.expired(time - GRACE_SECONDS)]:
            self._close(name, Closed.EXPIRED)
        for name, waiting in list(self.early.items()):
            for annotation, given_at in waiting[:]:
                if time - given_at > EARLY_SECONDS:
                    waiting.remove((annotation, given_at))
                    outputs.append(self._audit(annotation, "unknown_question"))
            if not waiting:
                del self.early[name]
        outputs += [self._budget(asker) for asker in self.spent if self.announced[asker] != self.granted(asker)]
        return outputs

    def hear(self, people: int) -> list[Payload]:
        """Wait for so many people per question from now on; a question that enough have answered is decided."""
        fewer, self.redundancy = people < self.redundancy, people
        if not fewer:
            return []
        heard = [one for one in self.open.values() if one.votes and not one.expired(self.now)]
        return [output for entry in heard if self.affords(entry.question) for output in self._decide(entry)]

    def granted(self, asker: str) -> float:
        """Return the labels that the asker may spend in all."""
        return self.grants.get(budget_of(asker), 0.0)

    def left(self, asker: str) -> float:
        """Return the labels that the asker may still spend."""
        return self.granted(asker) - self.spent.get(asker, 0.0)

    def affords(self, question: Question) -> bool:
        """Whether the asker can pay the question now."""
        return question.cost <= self.left(question.asked_by) + _ROUNDING

    def vote(self, annotation: Annotation, entry: OpenQuestion) -> Vote:
        """Return what an annotation that is no skip says.

        Raises
        ------
        InvalidDataError
            As ``vote_of``.
        """
        return vote_of(annotation, entry.question, self.columns or ())

    def recorded(self, request_id: str) -> Recorded | None:
        """Return what is remembered of a submission that was applied."""
        return self.requests.get(digest(request_id))

    def knows(self, question: str) -> bool:
        """Whether the question is open or was."""
        return question in self.open or digest(question) in self.closed

    def why_closed(self, question: str) -> Closed | None:
        """Return why a question is closed; None: it is open or unknown."""
        return self.closed.get(digest(question))

    def rows_asked(self, pillar: Pillar) -> set[str]:
        """Return the rows of a pillar that open questions are about."""
        return {entry.question.row_id for entry in self.open.values() if entry.question.pillar is pillar}

    def _wait(self, annotation: Annotation, time: float) -> list[Payload]:
        waiting = self.early.get(annotation.question, [])
        if any(known.request_id == annotation.request_id for known, _ in waiting):
            return []
        others = [known for each in self.early.values() for known, _ in each]
        if len(others) >= MAX_EARLY or sum(map(_size, [*others, annotation])) > MAX_EARLY_BYTES:
            raise Poison(
                f"annotation {annotation.request_id} is for question {annotation.question}, which app {self.app} does "
                f"not know, and {len(others)} annotations wait for their questions already.",
                mend="Answer questions that ListQuestions returns.",
                reason="unknown_question",
            )
        self.early[annotation.question] = [*waiting, (annotation, time)]
        return []

    def _apply(self, annotation: Annotation, time: float) -> list[Payload]:
        entry = self.open.get(annotation.question)
        self.requests[digest(annotation.request_id)] = Recorded.of(
            annotation, entry.question.candidates if entry is not None else ()
        )
        while len(self.requests) > MAX_REQUESTS:
            del self.requests[next(iter(self.requests))]
        refusal = self._refusal(annotation, entry, time)
        if refusal or entry is None:
            return [self._audit(annotation, refusal)]
        if annotation.value == SKIPPED:
            others = [name for name in entry.skipped_by if name != annotation.annotator]
            entry.skipped_by = [*others, annotation.annotator][-MAX_SKIPPED:]
            return [self._audit(annotation, "ok")]
        entry.votes[annotation.annotator] = self.vote(annotation, entry)
        answer = self._decide(entry)
        audit = self._audit(annotation, "ok")
        return [*answer, audit] if answer else [audit, *self._bound()]

    def _refusal(self, annotation: Annotation, entry: OpenQuestion | None, time: float) -> str:
        """Return why an annotation does not count; empty: it counts."""
        if entry is None:
            return f"question_{self.closed[digest(annotation.question)].name.lower()}"
        if annotation.value == SKIPPED:
            return "question_required" if self.restricted else ""
        try:
            self.vote(annotation, entry)
        except InvalidDataError as error:
            return error.reason
        if entry.expired(time):
            return "question_expired"
        if annotation.annotator in entry.votes:
            return "annotated_already"
        return "" if self.affords(entry.question) else "budget_exhausted"

    def _decide(self, entry: OpenQuestion) -> list[Payload]:
        """Return the answer and what it costs; nothing as long as more people are asked."""
        question = entry.question
        said = self.crowd.decide(entry.votes, len(question.candidates), self.redundancy)
        if said is None:
            return []
        self.spent[question.asked_by] += question.cost
        self._close(question.question, Closed.ANSWERED)
        answer = Answer(
            app=self.app,
            question=question.question,
            kind=question.kind,
            pillar=question.pillar,
            row_id=question.row_id,
            value=OTHER if isinstance(said, str) else said,
            text=said if isinstance(said, str) else question.candidates[said],
            asked_by=question.asked_by,
            annotators=len(entry.votes),
            column=question.column,
        )
        return [answer, self._budget(question.asked_by)]

    def _bound(self) -> list[Payload]:
        outputs: list[Payload] = []
        size = sum(entry.size for entry in self.open.values())
        while len(self.open) > MAX_OPEN or size > MAX_OPEN_BYTES:
            least = max(self.open.values(), key=lambda entry: entry.rank)
            size -= least.size
            self._close(least.question.question, Closed.WITHDRAWN)
            outputs.append(
                AuditRecord(
                    app=self.app,
                    actor=least.question.asked_by,
                    action="AskQuestion",
                    subject=least.question.question,
                    outcome="queue_full",
                )
            )
        return outputs

    def _close(self, name: str, why: Closed) -> None:
        del self.open[name]
        self.closed[digest(name)] = why
        while len(self.closed) > MAX_CLOSED:
            del self.closed[next(iter(self.closed))]

    def _budget(self, asker: str) -> Budget:
        self.announced[asker] = self.granted(asker)
        return Budget(app=self.app, asker=asker, granted=self.announced[asker], spent=self.spent[asker])

    def _audit(self, annotation: Annotation, outcome: str) -> AuditRecord:
        action = "SkipQuestion" if annotation.value == SKIPPED else "SubmitAnswer"
        return AuditRecord(
            app=self.app, actor=annotation.annotator, action=action, subject=annotation.question, outcome=outcome
        )


def _size(annotation: Annotation) -> int:
    """Return the bytes that a waiting annotation takes in storage, roughly."""
    return 110 + len(json.dumps((annotation.question, annotation.annotator, annotation.request_id, annotation.text)))
