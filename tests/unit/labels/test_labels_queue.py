from __future__ import annotations

import json
from dataclasses import replace

import pytest

from easeml.errors import Poison
from easeml.labels import queue as module
from easeml.labels.packing import pack, unpack
from easeml.labels.queue import Closed, Queue
from easeml.stream.payloads import Answer, AuditRecord, Budget, Column, ColumnKind, QuestionKind

COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("plan", ColumnKind.CATEGORICAL, ("basic", "plus")),
    Column("paid", ColumnKind.BOOLEAN),
    Column("since", ColumnKind.DATETIME),
    Column("note", ColumnKind.TEXT),
    Column("photo", ColumnKind.TENSOR, shape=(1,)),
)


def answers(outputs):
    return [output for output in outputs if isinstance(output, Answer)]


def outcomes(outputs):
    return [output.outcome for output in outputs if isinstance(output, AuditRecord)]


@pytest.fixture
def queue():
    return Queue("churn", grants={"label_budget": 2.0})


def test_an_annotation_becomes_an_answer_and_is_paid(queue, question, annotation):
    assert queue.ask(question(), 1.0) == [Budget(app="churn", asker="modelpicker", granted=2.0, spent=0.0)]
    outputs = queue.annotate(annotation(), 2.0)
    assert outputs == [
        Answer(
            app="churn",
            question="q",
            kind=question().kind,
            pillar=question().pillar,
            row_id="row-q",
            value=1,
            text="yes",
            asked_by="modelpicker",
            annotators=1,
        ),
        Budget(app="churn", asker="modelpicker", granted=2.0, spent=1.0),
        AuditRecord(app="churn", actor="ada", action="SubmitAnswer", subject="q", outcome="ok"),
    ]
    assert queue.why_closed("q") is Closed.ANSWERED


def test_a_repeated_annotation_and_a_second_annotator_neither_count_nor_spend(queue, question, annotation):
    queue.ask(question(), 1.0)
    queue.annotate(annotation(), 2.0)
    assert queue.annotate(annotation(), 3.0) == []
    assert outcomes(queue.annotate(annotation(annotator="bob", request_id="other"), 3.0)) == ["question_answered"]
    assert queue.spent == {"modelpicker": 1.0}


def test_a_question_asked_again_is_worth_what_it_says_now(queue, question, annotation):
    queue.ask(question(information_gain=0.4), 1.0)
    queue.ask(question("other", information_gain=0.3), 1.0)
    assert queue.ask(question(information_gain=0.1, candidates=("no", "maybe")), 5.0) == []
    again = unpack("churn", pack(queue))
    assert [name for name, _ in sorted(again.open.items(), key=lambda item: item[1].rank)] == ["other", "q"]
    known = again.open["q"]
    assert (known.question.information_gain, known.question.candidates, known.asked_at) == (0.1, ("no", "yes"), 1.0)
    assert answers(queue.annotate(annotation(), 6.0))


def test_a_question_is_valued_by_nobody_but_its_asker(queue, question):
    queue.ask(question(information_gain=0.4), 1.0)
    queue.ask(question(information_gain=3.0, asked_by="stranger"), 2.0)
    assert queue.open["q"].question.information_gain == 0.4
    assert "stranger" not in queue.spent


def test_a_known_question_is_not_opened_again(queue, question, annotation):
    queue.ask(question(), 1.0)
    assert queue.ask(question(), 2.0) == []
    queue.annotate(annotation(), 2.0)
    assert queue.ask(question(), 3.0) == []
    assert not queue.open


def test_an_annotation_waits_for_its_question(queue, question, annotation):
    assert queue.annotate(annotation(), 1.0) == []
    assert queue.annotate(annotation(), 1.0) == []
    assert len(answers(queue.ask(question(), 2.0))) == 1
    assert queue.early == {}


def test_an_early_annotation_with_a_foreign_value_is_reported(queue, question, annotation):
    queue.annotate(annotation(value=7), 1.0)
    assert outcomes(queue.ask(question(), 2.0)) == ["invalid_value"]
    assert "q" in queue.open


def test_an_annotation_nobody_asks_for_is_given_up_with_a_trace(queue, annotation):
    queue.annotate(annotation(), 1.0)
    assert queue.tick(1.0 + module.EARLY_SECONDS) == []
    assert outcomes(queue.tick(2.0 + module.EARLY_SECONDS)) == ["unknown_question"]
    assert queue.early == {}


def test_too_many_waiting_annotations_are_poison(queue, annotation):
    for index in range(module.MAX_EARLY):
        queue.annotate(annotation(f"q{index}"), 1.0)
    with pytest.raises(Poison) as caught:
        queue.annotate(annotation("one more"), 1.0)
    assert caught.value.reason == "unknown_question"


def test_a_value_beyond_the_candidates_is_poison_and_changes_nothing(queue, question, annotation):
    queue.ask(question(), 1.0)
    with pytest.raises(Poison) as caught:
        queue.annotate(annotation(value=2), 2.0)
    assert caught.value.reason == "invalid_value"
    assert queue.requests == {}
    assert len(answers(queue.annotate(annotation(value=0), 2.0))) == 1


def test_beyond_the_budget_nothing_counts_until_more_is_granted(queue, question, annotation):
    for name in ("a", "b", "c"):
        queue.ask(question(name), 1.0)
    assert len(answers(queue.annotate(annotation("a"), 2.0))) == 1
    assert len(answers(queue.annotate(annotation("b"), 2.0))) == 1
    assert outcomes(queue.annotate(annotation("c"), 2.0)) == ["budget_exhausted"]
    assert queue.spent == {"modelpicker": 2.0}
    queue.grants = {"label_budget": 3.0}
    assert queue.tick(3.0) == [Budget(app="churn", asker="modelpicker", granted=3.0, spent=2.0)]
    assert queue.tick(4.0) == []
    assert len(answers(queue.annotate(annotation("c", request_id="again"), 5.0))) == 1


def test_an_answer_is_in_time_by_its_own_time(queue, question, annotation):
    queue.ask(question(expires_at=10.0), 1.0)
    queue.tick(11.0)
    assert outcomes(queue.annotate(annotation(request_id="late"), 10.5)) == ["question_expired"]
    assert len(answers(queue.annotate(annotation(), 9.5))) == 1


def test_an_expired_question_closes_after_the_grace(queue, question, annotation):
    queue.ask(question(expires_at=10.0), 1.0)
    queue.tick(10.0 + module.GRACE_SECONDS)
    assert "q" in queue.open
    queue.tick(10.5 + module.GRACE_SECONDS)
    assert queue.why_closed("q") is Closed.EXPIRED
    assert outcomes(queue.annotate(annotation(), 9.0)) == ["question_expired"]


def test_a_skip_passes_the_question_on(queue, question, annotation):
    queue.ask(question(), 1.0)
    assert queue.annotate(annotation(value=-1), 2.0) == [
        AuditRecord(app="churn", actor="ada", action="SkipQuestion", subject="q", outcome="ok")
    ]
    assert queue.open["q"].skipped_by == ["ada"]
    assert len(answers(queue.annotate(annotation(annotator="bob", request_id="b"), 3.0))) == 1


def test_redundancy_asks_for_more_annotators(question, annotation):
    queue = Queue("churn", redundancy=2, grants={"label_budget": 5.0})
    queue.ask(question(), 1.0)
    assert outcomes(queue.annotate(annotation(request_id="1"), 2.0)) == ["ok"]
    assert outcomes(queue.annotate(annotation(request_id="2"), 2.0)) == ["annotated_already"]
    assert answers(queue.annotate(annotation(annotator="bob", request_id="3", value=0), 2.0)) == []
    (answer,) = answers(queue.annotate(annotation(annotator="cy", request_id="4", value=0), 2.0))
    assert (answer.value, answer.annotators) == (0, 3)
    assert queue.spent == {"modelpicker": 1.0}


@pytest.fixture
def cell(question):
    """Ask for a cell of column ``age``, or another one."""

    def make(name="q", **changes):
        standard = {"kind": QuestionKind.CELL, "column": "age", "candidates": ("30.0", "40.0"), "asked_by": "cpclean"}
        return question(name, **standard | changes)

    return make


@pytest.fixture
def cleaning():
    return Queue("churn", redundancy=2, grants={"cleaning_budget": 5.0}, columns=COLUMNS)


@pytest.mark.parametrize(
    ("column", "candidates", "text", "value", "said"),
    [
        ("age", ("30.0", "40.0"), " 35 ", -2, "35.0"),
        ("age", ("30", "40.5"), "30.0", 0, "30"),
        ("plan", ("basic", "plus"), "gold", -2, "gold"),
        ("plan", ("basic", "plus"), "plus ", 1, "plus"),
        ("paid", ("true", "false"), "False", 1, "false"),
        ("since", ("2024-05-17", "2024-05-18"), "2024-05-17T00:00:00Z", 0, "2024-05-17"),
        ("since", ("2024-05-17", "2024-05-18"), "2024-05-19", -2, "2024-05-19T00:00:00+00:00"),
        ("note", ("a", "b"), "two\nlines", -2, "two\nlines"),
    ],
)
def test_another_value_answers_a_cell_in_the_form_of_its_column(
    cleaning, cell, annotation, column, candidates, text, value, said
):
    cleaning.redundancy = 1
    cleaning.ask(cell(column=column, candidates=candidates), 1.0)
    (answer,) = answers(cleaning.annotate(annotation(value=-2, text=text), 2.0))
    assert (answer.value, answer.text, answer.column) == (value, said, column)
    assert cleaning.spent == {"cpclean": 1.0}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "old"),
        ({}, "inf"),
        ({}, " "),
        ({"column": "plan"}, "x" * 201),
        ({"column": "plan"}, "two\nlines"),
        ({"column": "paid"}, "perhaps"),
        ({"column": "since"}, "soon"),
        ({"column": "photo"}, "[1.0]"),
        ({"column": "gone"}, "x"),
        ({"kind": QuestionKind.LABEL, "column": None, "candidates": ("no", "yes")}, "yes"),
        ({"kind": QuestionKind.ROW, "column": None}, "x"),
    ],
)
def test_another_value_that_does_not_fit_is_poison_when_it_comes_and_reported_when_it_came_before(
    cleaning, cell, annotation, changes, text
):
    cleaning.ask(cell(**changes), 1.0)
    with pytest.raises(Poison) as caught:
        cleaning.annotate(annotation(value=-2, text=text), 2.0)
    assert caught.value.reason == "invalid_value"
    assert caught.value.mend
    cleaning.annotate(annotation("later", value=-2, text=text), 2.0)
    assert outcomes(cleaning.ask(cell("later", **changes), 3.0)) == ["invalid_value"]
    assert cleaning.open.keys() == {"q", "later"}


def test_two_annotators_who_mean_the_same_value_agree(cleaning, cell, annotation):
    cleaning.ask(cell(), 1.0)
    assert answers(cleaning.annotate(annotation(request_id="1", value=-2, text="35"), 2.0)) == []
    (answer,) = answers(cleaning.annotate(annotation(request_id="2", annotator="bob", value=-2, text="35.0"), 2.0))
    assert (answer.value, answer.text, answer.annotators) == (-2, "35.0", 2)


def test_two_annotators_who_contradict_each_other_ask_a_third_one(cleaning, cell, annotation):
    cleaning.ask(cell(), 1.0)
    cleaning.annotate(annotation(request_id="1", value=-2, text="35"), 2.0)
    assert answers(cleaning.annotate(annotation(request_id="2", annotator="bob", value=1), 2.0)) == []
    again = unpack("churn", pack(cleaning))
    again.columns = COLUMNS
    (answer,) = answers(again.annotate(annotation(request_id="3", annotator="cy", value=-2, text="35"), 2.0))
    assert (answer.value, answer.text, answer.annotators) == (-2, "35.0", 3)
    late = again.annotate(annotation(request_id="4", annotator="dan", value=-2, text="36"), 3.0)
    assert outcomes(late) == ["question_answered"]


def test_long_values_that_people_disagree_on_leave_room_for_the_state(cleaning, cell, annotation, monkeypatch):
    monkeypatch.setattr(module, "MAX_OPEN_BYTES", 10_000)
    cleaning.ask(cell("better", column="note", information_gain=2.0), 1.0)
    cleaning.ask(cell(column="note"), 1.0)
    told = []
    for place in range(5):
        said = annotation(request_id=str(place), annotator=str(place), value=-2, text=f"{place}" + "é" * 900)
        told += outcomes(cleaning.annotate(said, 2.0))
    assert "queue_full" in told
    assert list(cleaning.open) == ["better"]


def test_the_least_informative_question_leaves_a_full_queue(queue, question, monkeypatch):
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    queue.ask(question("a", information_gain=0.1), 1.0)
    queue.ask(question("b"), 1.0)
    assert outcomes(queue.ask(question("c"), 1.0)) == ["queue_full"]
    assert list(queue.open) == ["b", "c"]
    assert queue.why_closed("a") is Closed.WITHDRAWN


def test_a_huge_question_is_poison(queue, question):
    with pytest.raises(Poison) as caught:
        queue.ask(question(context={"story": "x" * module.MAX_QUESTION_BYTES}), 1.0)
    assert caught.value.reason == "too_large"


def test_packing_keeps_everything(queue, question, annotation):
    queue.ask(question("a", context={"k": "v"}, expires_at=9.0), 1.0)
    queue.ask(question("b"), 1.5)
    queue.annotate(annotation("b"), 2.0)
    queue.annotate(annotation("a", value=-1), 2.0)
    queue.annotate(annotation("early"), 3.0)
    stored = pack(queue)
    json.dumps(stored.document, allow_nan=False)
    again = unpack("churn", stored)
    assert again.recorded("request-b") == queue.recorded("request-b") is not None
    assert again.why_closed("b") is Closed.ANSWERED
    restored = pack(again)
    assert restored.document == stored.document
    assert {name: array.tolist() for name, array in restored.arrays.items()} == {
        name: array.tolist() for name, array in stored.arrays.items()
    }
    assert len(answers(again.ask(question("early"), 4.0))) == 1


@pytest.mark.parametrize("value", [2**31, 2**63 - 1])
def test_whatever_stands_in_a_late_or_early_annotation_can_be_stored(queue, question, annotation, value):
    queue.ask(question("a"), 1.0)
    queue.annotate(annotation("a"), 2.0)
    queue.annotate(replace(annotation("a", value=value), request_id="late"), 3.0)
    queue.annotate(annotation("b", value=value), 3.0)
    queue.ask(question("b"), 4.0)
    again = unpack("churn", pack(queue))
    assert again.requests == queue.requests
    assert [again.recorded(name).value for name in ("late", "request-b")] == [value, value]


def test_the_worst_state_fits_into_a_message(queue, question, annotation):
    queue.grants = {"label_budget": 1e9}
    for index in range(module.MAX_REQUESTS):
        queue.ask(question(f"answered{index}"), 1.0)
        queue.annotate(annotation(f"answered{index}"), 1.0)
    queue.closed |= dict.fromkeys(range(module.MAX_CLOSED - len(queue.closed)), Closed.EXPIRED)
    for index in range(module.MAX_OPEN):
        queue.ask(question(f"open{index}", context={"why": "é" * 60}), 1.0)
    for index in range(module.MAX_EARLY):
        queue.annotate(annotation(f"{index:0200}", annotator="é" * 30, request_id=f"r{index}"), 1.0)
    with pytest.raises(Poison):
        queue.annotate(annotation("one more", value=-2, text="é" * 1000), 1.0)
    stored = pack(queue)
    size = len(json.dumps(stored.document)) + sum(array.nbytes for array in stored.arrays.values())
    assert len(queue.requests) == module.MAX_REQUESTS
    assert len(queue.closed) == module.MAX_CLOSED
    assert 600_000 < size < 900_000
