"""Any interleaving and duplication of questions, annotations and ticks has the same outcome."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from easeml.errors import Poison
from easeml.labels.packing import pack, unpack
from easeml.labels.queue import GRACE_SECONDS, Queue
from easeml.labels.votes import OTHER, SKIPPED
from easeml.stream.payloads import Annotation, Answer, Budget, Column, ColumnKind, Pillar, Question, QuestionKind

NAMES = ("q0", "q1", "q2", "q3", "q4", "q5")
ANNOTATORS = ("ada", "bob", "cy")
COLUMNS = (Column("size", ColumnKind.NUMERIC),)
BUDGETS = ("label_budget", "cleaning_budget")


@dataclass(frozen=True)
class Given:
    annotation: Annotation
    time: float


@dataclass(frozen=True)
class Ticked:
    time: float


@st.composite
def histories(draw):
    asked = draw(st.lists(st.sampled_from(NAMES), unique=True))
    events = [
        Question(
            app="a",
            question=name,
            kind=draw(st.sampled_from([QuestionKind.LABEL, QuestionKind.CELL])),
            column="size",
            pillar=Pillar.PRODUCTION,
            row_id=f"row-{name}",
            candidates=("1", "2"),
            information_gain=draw(st.floats(0, 3)),
            asked_by=draw(st.sampled_from(["modelpicker", "cpclean"])),
            expires_at=draw(st.none() | st.sampled_from([20.0, 40.0])),
            probabilities=np.array([0.5, 0.5]),
        )
        for name in asked
    ]
    for index in range(draw(st.integers(0, 12))):
        annotation = Annotation(
            app="a",
            question=draw(st.sampled_from(NAMES)),
            annotator=draw(st.sampled_from(ANNOTATORS)),
            request_id=f"request-{index}",
            value=draw(st.integers(-2, 1)),
            text="7",
        )
        events.append(Given(annotation, draw(st.sampled_from([10.0, 30.0, 50.0]))))
    # The clock stays within the grace: what comes later than that is late for good.
    events += [Ticked(draw(st.floats(0, 20 + GRACE_SECONDS))) for _ in range(draw(st.integers(0, 3)))]
    copies = draw(st.lists(st.sampled_from(events), max_size=6)) if events else []
    return events, draw(st.permutations(events + copies))


def play(queue, order, restart=False):
    outputs = []
    for event in order:
        if isinstance(event, Question):
            outputs += queue.ask(event, 1.0)
        elif isinstance(event, Given):
            with contextlib.suppress(Poison):  # another value for a label
                outputs += queue.annotate(event.annotation, event.time)
        else:
            outputs += queue.tick(event.time)
        if restart:
            queue = unpack("a", pack(queue))
            queue.columns = COLUMNS  # as every handler sets them
    return queue, outputs


def expected(events):
    """Return the names of the questions that somebody answered in time."""
    questions = {event.question: event for event in events if isinstance(event, Question)}
    return {
        event.annotation.question
        for event in events
        if isinstance(event, Given)
        and event.annotation.value != SKIPPED
        and event.annotation.question in questions
        and (event.annotation.value != OTHER or questions[event.annotation.question].kind is QuestionKind.CELL)
        and (questions[event.annotation.question].expires_at or np.inf) >= event.time
    }


@given(histories())
def test_every_order_gives_the_same_answers_and_spends_each_once(history):
    events, order = history
    queue, outputs = play(Queue("a", grants=dict.fromkeys(BUDGETS, 100.0), columns=COLUMNS), order)
    answered = [output.question for output in outputs if isinstance(output, Answer)]
    assert sorted(answered) == sorted(expected(events))
    assert sum(queue.spent.values()) == len(answered)


@given(histories(), st.integers(0, 3))
def test_no_asker_spends_more_than_granted(history, granted):
    events, order = history
    queue, outputs = play(Queue("a", grants=dict.fromkeys(BUDGETS, float(granted)), columns=COLUMNS), order)
    asker = {event.question: event.asked_by for event in events if isinstance(event, Question)}
    answered = [output.question for output in outputs if isinstance(output, Answer)]
    assert len(set(answered)) == len(answered)
    for name, spent in queue.spent.items():
        mine = [question for question in answered if asker[question] == name]
        wished = [question for question in expected(events) if asker[question] == name]
        assert spent == len(mine) == min(len(wished), granted)
    last = {output.asker: output.spent for output in outputs if isinstance(output, Budget)}
    assert last == queue.spent


@given(histories(), st.integers(1, 3))
def test_a_restart_after_every_event_changes_nothing(history, people):
    _, order = history
    _, straight = play(Queue("a", people, grants=dict.fromkeys(BUDGETS, 2.0), columns=COLUMNS), order)
    _, restarted = play(Queue("a", people, grants=dict.fromkeys(BUDGETS, 2.0), columns=COLUMNS), order, restart=True)
    assert straight == restarted


@given(histories(), st.integers(2, 3))
def test_a_question_counts_when_so_many_people_have_answered(history, people):
    events, order = history
    queue, outputs = play(Queue("a", people, grants=dict.fromkeys(BUDGETS, 100.0), columns=COLUMNS), order)
    answers = {output.question: output for output in outputs if isinstance(output, Answer)}
    assert sum(queue.spent.values()) == sum(isinstance(output, Answer) for output in outputs) == len(answers)
    assert all(answer.annotators >= people for answer in answers.values())
    for name in expected(events):
        if name in answers:
            continue
        votes = queue.open[name].votes  # not closed: too few were heard, or they disagree
        counts = sorted(map(list(votes.values()).count, set(votes.values())), reverse=True)
        assert len(votes) < people or len(counts) > 1
