"""Cleaning on the stream: what is asked, what an answer leads to, and when it ends."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from easeml.cpclean import work as workroom
from easeml.cpclean.service import CleaningState, CPCleanService
from easeml.errors import Busy
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    CandidateKind,
    Column,
    ColumnKind,
    DataVersion,
    Pillar,
    QuestionKind,
)
from easeml.stream.topics import (
    ANSWERS,
    APPS,
    CANDIDATES,
    CLEANING,
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_VERSIONS,
    QUESTIONS,
)

APP = AppDefined(
    "pond",
    "kind",
    ("carp", "pike"),
    (Column("length", ColumnKind.NUMERIC), Column("colour", ColumnKind.CATEGORICAL, ("green", "grey", "red"))),
)
TOPIC = {Pillar.TRAIN: DATA_TRAIN, Pillar.VALIDATION: DATA_VALIDATION}


def fish(count, start=0, prefix="f"):
    """Return fish of two kinds, which differ in length alone."""
    rng = np.random.default_rng(start)
    codes = np.arange(count) % 2
    frame = pd.DataFrame({"length": 3.0 * codes + rng.normal(size=count).round(2)})
    frame["colour"] = np.array(["green", "grey"], object)[np.arange(count) // 2 % 2]
    frame["kind"] = np.array(APP.classes, object)[codes]
    return frame.set_axis([f"{prefix}{place}" for place in range(start, start + count)])


def publish(cluster, frame, pillar=Pillar.TRAIN, app=APP, version="v1"):
    publish_only(cluster, frame, pillar, app, version)
    cluster.publish(DATA_VERSIONS, DataVersion(app.app, pillar, version, len(frame), "0" * 64, "test"))
    cluster.run()


def publish_only(cluster, frame, pillar=Pillar.TRAIN, app=APP, version="v1"):
    relation = Relation.from_frame(
        frame, label=app.label, classes=app.classes, row_ids=tuple(frame.index), columns=app.columns
    )
    for batch in relation.to_batches(app.app, pillar, version):
        cluster.publish(TOPIC[pillar], batch)


def propose(cluster, cells, source="repairs@1", app="pond"):
    """Publish candidates of cells: (row, column) -> {value: prior}."""
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    columns = tuple(dict.fromkeys(column for _, column in cells))
    lines = [(rows.index(r), columns.index(c), v, p) for (r, c), given in cells.items() for v, p in given.items()]
    row, column, values, priors = zip(*lines, strict=True)
    batch = CandidateBatch(
        app,
        Pillar.TRAIN,
        source,
        columns,
        rows,
        tuple(map(str, values)),
        row=np.array(row, np.int32),
        column=np.array(column, np.int32),
        probability=np.array(priors, float),
    )
    cluster.publish(CANDIDATES, batch)
    cluster.run()


def versions(cluster, row, table, source="repairs@1"):
    """Publish alternatives of a whole row; None: missing."""
    columns = tuple(table[0])
    values = [value for line in table for value in line.values()]
    batch = CandidateBatch(
        "pond",
        Pillar.TRAIN,
        source,
        columns,
        (row,),
        tuple("" if value is None else str(value) for value in values),
        CandidateKind.ROWS,
        row=np.zeros(len(table), np.int32),
        missing=np.array([place for place, value in enumerate(values) if value is None], np.int32),
        probability=np.full(len(table), 1 / len(table)),
    )
    cluster.publish(CANDIDATES, batch)
    cluster.run()


DOUBTS = {
    ("f2", "length"): {-1.0: 0.5, 4.0: 0.5},
    ("f3", "length"): {0.1: 0.4, 0.3: 0.3, 3.0: 0.3},
    ("f4", "length"): {0.0: 0.5, 0.2: 0.5},
    ("f5", "length"): {0.0: 0.2, 2.5: 0.8},
    ("f5", "colour"): {"green": 0.5, "grey": 0.3, "red": 0.2},
    ("f6", "kind"): {"carp": 0.6, "pike": 0.4},
    ("f7", "length"): {-0.5: 0.5, 1.5: 0.5},
    ("f8", "length"): {0.5: 0.5, 5.5: 0.5},
}


@pytest.fixture
def pond():
    cluster = MemoryCluster([CPCleanService()])
    cluster.publish(APPS, APP)
    return cluster


@pytest.fixture
def doubtful(pond):
    """A study has asked its first questions."""
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(pond, DOUBTS)
    pond.tick()
    return pond


def reports(cluster):
    return [event.data for event in cluster.events(CLEANING)]


def told(cluster):
    """All that was asked, again or not."""
    return [event.data for event in cluster.events(QUESTIONS)]


def questions(cluster):
    """Every question once, as it was asked first."""
    return list({asked.question: asked for asked in reversed(told(cluster))}.values())[::-1]


def answered(cluster):
    return {event.data.question for event in cluster.events(ANSWERS)}


def answer(cluster, asked, text=None):
    """Answer a question: with its first candidate, or with another value."""
    cluster.publish(ANSWERS, said(asked, asked.candidates[0] if text is None else text))
    cluster.run()


def said(asked, text):
    value = asked.candidates.index(text) if text in asked.candidates else -2
    names = (asked.app, asked.question, asked.kind, asked.pillar, asked.row_id)
    return Answer(*names, value, text, asked.asked_by, 1, asked.column)


def answer_all(cluster, say=lambda asked: asked.candidates[0]):
    """Answer questions one by one until there is none; return how many."""
    count = 0
    while todo := [asked for asked in questions(cluster) if asked.question not in answered(cluster)]:
        answer(cluster, todo[0], say(todo[0]))
        count += 1
    return count


def test_doubtful_rows_are_asked_about(doubtful):
    begun, found, last = reports(doubtful)
    assert [(report.final, report.rows) for report in (begun, found, last)] == [(False, 12), (False, 12), (True, 12)]
    assert (begun.validation_rows, found.validation_rows) == (0, 80)
    assert last.uncertain_rows == 7
    assert 0 < last.certain < 80
    assert 0 < last.entropy < 1
    assert last.version == "v1"
    assert 0.5 < last.expected <= last.potential <= 1
    asked = questions(doubtful)
    assert len(asked) == 5
    assert len({one.row_id for one in asked}) == 5, "one question about a row at a time"
    for one in asked:
        assert (one.pillar, one.asked_by, one.cost) == (Pillar.TRAIN, "cpclean", 1.0)
        assert one.kind is (QuestionKind.LABEL if one.row_id == "f6" else QuestionKind.CELL)
        belief = DOUBTS[one.row_id, one.column or "kind"]
        assert dict(zip(one.candidates, one.probabilities, strict=True)) == pytest.approx(
            {str(value): prior for value, prior in belief.items()}
        )
        assert list(one.probabilities) == sorted(one.probabilities, reverse=True)
        assert 0 < one.information_gain < 1
        assert one.context["candidates from"] == "repairs@1"
        assert "of 80 validation predictions" in one.context["why"]
    gains = [one.information_gain for one in asked if one.row_id != "f5"]
    assert gains == sorted(gains, reverse=True)


def test_an_answer_brings_the_next_question(doubtful):
    first = questions(doubtful)[0]
    answer(doubtful, first)
    assert len(questions(doubtful)) == 6
    assert len(reports(doubtful)) == 3, "figures are told once a second"
    doubtful.tick()
    last = reports(doubtful)[-1]
    assert (last.final, last.answers, last.outside, last.uncertain_rows) == (True, 1, 0, 6)
    assert last.entropy < reports(doubtful)[2].entropy
    doubtful.tick(3)
    assert len(reports(doubtful)) == 4


def test_an_open_question_is_asked_again_when_it_tells_otherwise(doubtful):
    answer_all(doubtful)
    worth = {}
    again = 0
    for asked in told(doubtful):
        before = worth.get(asked.question)
        worth[asked.question] = asked.information_gain
        if before is not None:
            again += 1
            assert abs(asked.information_gain - before) > 0.2 * max(asked.information_gain, before)
    assert again
    assert len(worth) == len(questions(doubtful))


def test_the_end_is_certain_and_is_that_of_the_answers(doubtful):
    count = answer_all(doubtful)
    assert count <= len(DOUBTS)
    doubtful.tick()
    last = reports(doubtful)[-1]
    assert (last.certain, last.entropy, last.final) == (80, 0.0, True)
    assert last.potential == last.expected
    assert len(questions(doubtful)) == count, "nothing is asked once all is certain"
    truth = fish(12).astype(object)
    for (row, column), belief in DOUBTS.items():
        truth.loc[row, column] = max(belief, key=belief.get)
    clean = MemoryCluster([CPCleanService()])
    clean.publish(APPS, APP)
    publish(clean, truth.astype({"length": float}))
    publish(clean, fish(80, 500, "v"), Pillar.VALIDATION)
    clean.tick()
    same = reports(clean)[-1]
    assert (same.final, same.certain, same.uncertain_rows) == (True, 80, 0)
    assert questions(clean) == []


def test_a_begun_row_is_stayed_with(doubtful):
    while not (mine := [asked for asked in questions(doubtful) if asked.row_id == "f5"]):
        answer(doubtful, questions(doubtful)[len(answered(doubtful))])
    before = len(questions(doubtful))
    answer(doubtful, mine[0])
    (following,) = questions(doubtful)[before:]
    assert following.row_id == "f5"
    assert {mine[0].column, following.column} == {"length", "colour"}


def test_another_value_is_taken_and_counted(doubtful):
    answer_all(doubtful, lambda asked: "7.25" if asked.column == "length" else asked.candidates[0])
    doubtful.tick()
    last = reports(doubtful)[-1]
    lengths = sum(event.data.column == "length" for event in doubtful.events(ANSWERS))
    assert (last.outside, last.certain) == (lengths, 80)
    assert last.answers == len(answered(doubtful))


def test_an_unseen_category_is_taken(doubtful):
    answer_all(doubtful, lambda asked: "violet" if asked.column == "colour" else asked.candidates[0])
    doubtful.tick()
    assert reports(doubtful)[-1].certain == 80
    assert doubtful.restarts == 0


def test_contradictory_answers_the_last_one_counts(doubtful):
    first = questions(doubtful)[0]
    answer(doubtful, first)
    doubtful.tick()
    one = reports(doubtful)[-1]
    answer(doubtful, first, first.candidates[1])
    doubtful.tick()
    other = reports(doubtful)[-1]
    assert (one.answers, other.answers, other.uncertain_rows) == (1, 2, one.uncertain_rows)
    again = MemoryCluster([CPCleanService()])
    again.publish(APPS, APP)
    publish(again, fish(12))
    publish(again, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(again, DOUBTS)
    answer(again, first, first.candidates[1])
    again.tick()
    assert reports(again)[-1].entropy == other.entropy
    assert reports(again)[-1].certain == other.certain


def test_no_more_than_the_budget_is_asked(pond):
    pond.publish(APPS, replace(APP, cleaning_budget=6))
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(pond, DOUBTS)
    pond.tick()
    answer_all(pond)
    assert len(questions(pond)) == 6
    pond.publish(APPS, replace(APP, cleaning_budget=8))
    pond.tick(3)
    assert len(questions(pond)) > 6
    answer_all(pond)
    assert len(questions(pond)) <= 8


@pytest.mark.parametrize("seed", range(12))
def test_an_answer_that_is_known_but_not_paid_yet_makes_no_room_for_another_question(seed):
    rng = random.Random(seed)
    pond = MemoryCluster([CPCleanService()], partitions=1, rng=rng, batch_events=4)
    pond.publish(APPS, replace(APP, cleaning_budget=5))
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(pond, DOUBTS)
    pond.tick()
    for start in range(200, 230, 2):
        for asked in questions(pond):
            if asked.question not in answered(pond) and rng.random() < 0.7:
                pond.publish(ANSWERS, said(asked, asked.candidates[0]))
        publish_only(pond, fish(2, start))
        pond.tick(2, run=False)
        for _ in range(rng.randint(0, 6)):
            pond.turn()
    pond.tick(3)
    assert len(questions(pond)) <= 5


def test_a_restart_after_every_answer_changes_nothing(doubtful):
    answer_all(doubtful)
    doubtful.tick()
    said = {event.id: event.data for topic in (QUESTIONS, CLEANING) for event in doubtful.events(topic)}
    other = MemoryCluster([CPCleanService()])
    other.publish(APPS, APP)
    publish(other, fish(12))
    publish(other, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(other, DOUBTS)
    other.tick()
    for event in doubtful.events(ANSWERS):
        other.restart("cpclean")
        other.publish(ANSWERS, event.data, id=event.id)
        other.run()
    other.tick()
    again = {event.id: event.data for topic in (QUESTIONS, CLEANING) for event in other.events(topic)}
    assert list(again) == list(said)
    for name, data in said.items():
        assert str(again[name]) == str(data)


def test_a_study_that_the_worker_lost_is_made_anew(doubtful, monkeypatch):
    monkeypatch.setattr(workroom, "_studies", type(workroom._studies)())
    answer_all(doubtful)
    doubtful.tick()
    assert reports(doubtful)[-1].certain == 80
    assert doubtful.restarts == 0


def test_more_apps_than_a_worker_keeps_all_end(monkeypatch):
    monkeypatch.setattr(workroom, "_KEPT", 1)
    cluster = MemoryCluster([CPCleanService()])
    names = [f"pond-{place}" for place in range(3)]
    for name in names:
        cluster.publish(APPS, replace(APP, app=name))
        publish(cluster, fish(12), app=replace(APP, app=name))
        publish(cluster, fish(80, 500, "v"), Pillar.VALIDATION, replace(APP, app=name))
        propose(cluster, DOUBTS, app=name)
    cluster.tick()
    answer_all(cluster)
    cluster.tick()
    ends = {report.app: report for report in reports(cluster)}
    assert all(ends[name].certain == 80 for name in names)
    assert len({tuple((q.row_id, q.column) for q in questions(cluster) if q.app == name) for name in names}) == 1


def test_rows_candidates_and_validation_begin_a_study_and_answers_do_not(doubtful):
    begun = {report.begun_at for report in reports(doubtful)}
    answer(doubtful, questions(doubtful)[0])
    doubtful.tick(4)
    assert {report.begun_at for report in reports(doubtful)} == begun
    publish(doubtful, fish(4, 100), version="v2")
    doubtful.tick(3)
    assert (reports(doubtful)[-1].rows, reports(doubtful)[-1].version) == (16, "v2")
    propose(doubtful, {("f100", "length"): {0.0: 0.5, 3.0: 0.5}})
    doubtful.tick(3)
    assert reports(doubtful)[-1].uncertain_rows == 7
    publish(doubtful, fish(10, 700, "v"), Pillar.VALIDATION)
    doubtful.tick(3)
    assert reports(doubtful)[-1].validation_rows == 90
    assert len({report.begun_at for report in reports(doubtful)}) == 4


def test_an_answer_before_its_study_is_known_to_it(pond):
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(pond, DOUBTS)
    told = Answer("pond", "q", QuestionKind.CELL, Pillar.TRAIN, "f8", 0, "0.5", "somebody", 1, "length")
    pond.publish(ANSWERS, told)
    pond.run()
    assert reports(pond) == []
    pond.tick(2)
    assert reports(pond)[-1].answers == 1
    assert "f8" not in {asked.row_id for asked in questions(pond)}


def test_rows_and_answers_that_come_during_a_study_leave_no_question_open_for_ever(doubtful, monkeypatch):
    asked = questions(doubtful)
    came = []

    def meanwhile(task):
        found = workroom.work(task)
        if not came:
            came.append(task)
            publish_only(doubtful, fish(2, 300))
            for one in asked:
                doubtful.publish(ANSWERS, said(one, one.candidates[0]))
        return found

    monkeypatch.setattr("easeml.cpclean.service.work", meanwhile)
    publish(doubtful, fish(2, 200))
    doubtful.tick(5)
    names = [one.question for one in questions(doubtful)]
    assert len(names) == len(set(names)), "what is answered is not asked again"
    answer_all(doubtful)
    doubtful.tick()
    assert reports(doubtful)[-1].certain == 80


def test_a_label_that_nobody_knew_makes_a_row_count(doubtful):
    publish(doubtful, fish(2, 200).assign(kind=None), version="v2")
    doubtful.tick(3)
    assert reports(doubtful)[-1].rows == 12
    told = Answer("pond", "q", QuestionKind.LABEL, Pillar.TRAIN, "f200", 0, "carp", "market", 1)
    doubtful.publish(ANSWERS, told)
    doubtful.tick(2)
    assert reports(doubtful)[-1].rows == 13


# -- bad input -------------------------------------------------------------------------------------------------------


def test_fewer_rows_than_neighbours_are_waited_for(pond):
    publish(pond, fish(2))
    publish(pond, fish(20, 500, "v"), Pillar.VALIDATION)
    propose(pond, {("f0", "length"): {0.0: 0.5, 3.0: 0.5}})
    pond.tick(5)
    assert [report.final for report in reports(pond)] == [False]
    assert questions(pond) == []
    told = Answer("pond", "q", QuestionKind.CELL, Pillar.TRAIN, "f0", 0, "0.0", "somebody", 1, "length")
    pond.publish(ANSWERS, told)
    pond.tick(2)
    assert pond.restarts == 0
    publish(pond, fish(8, 50))
    pond.tick(3)
    assert reports(pond)[-1].final


@pytest.mark.parametrize("missing", [Pillar.TRAIN, Pillar.VALIDATION])
def test_without_training_or_validation_rows_nothing_begins(pond, missing):
    publish(pond, fish(12), Pillar.VALIDATION if missing is Pillar.TRAIN else Pillar.TRAIN)
    propose(pond, DOUBTS)
    pond.tick(3)
    assert reports(pond) == questions(pond) == []


def test_validation_rows_without_labels_ask_for_nothing(pond):
    publish(pond, fish(12))
    publish(pond, fish(20, 500, "v").assign(kind=None), Pillar.VALIDATION)
    propose(pond, DOUBTS)
    pond.tick(3)
    last = reports(pond)[-1]
    assert (last.final, last.validation_rows, last.expected, last.potential) == (True, 0, None, None)
    assert questions(pond) == []


def test_constant_columns(pond):
    publish(pond, fish(12).assign(length=1.0, colour="red"))
    publish(pond, fish(20, 500, "v").assign(length=1.0, colour="red"), Pillar.VALIDATION)
    propose(pond, {("f3", "length"): {1.0: 0.5, 9.0: 0.5}, ("f0", "kind"): {"carp": 0.5, "pike": 0.5}})
    pond.tick()
    answer_all(pond)
    pond.tick()
    last = reports(pond)[-1]
    assert (last.final, last.certain) == (True, 20)


def test_a_cell_of_more_than_a_thousand_candidates(pond):
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    many = {round(-4 + 0.01 * place, 2): 1 / 1200 for place in range(1200)}
    propose(pond, {("f3", "length"): many})
    pond.tick()
    (asked,) = questions(pond)
    assert len(asked.candidates) == 32
    assert asked.context["not shown"].startswith("1,168 less probable candidates")
    assert asked.probabilities.sum() == pytest.approx(1)
    answer(pond, asked, "7.99")  # one of those that were not shown
    pond.tick()
    last = reports(pond)[-1]
    assert (last.certain, last.outside, last.uncertain_rows) == (80, 0, 0)


def test_a_row_of_more_than_a_thousand_versions(pond):
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    versions(pond, "f3", [{"length": -4 + 0.01 * n, "colour": ("green", "grey")[n % 2]} for n in range(1200)])
    pond.tick()
    (asked,) = questions(pond)
    assert asked.column in ("length", "colour")
    answer_all(pond)
    pond.tick()
    assert reports(pond)[-1].certain == 80


def test_priors_of_zero_are_no_candidates(pond):
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    propose(pond, {("f3", "length"): {0.1: 0.5, 3.0: 0.5, 9.0: 0.0}, ("f8", "length"): {0.5: 1.0, 5.5: 0.0}})
    pond.tick()
    (asked,) = questions(pond)
    assert (asked.row_id, set(asked.candidates)) == ("f3", {"0.1", "3.0"})
    answer(pond, asked, "9.0")
    pond.tick()
    assert (reports(pond)[-1].outside, reports(pond)[-1].certain) == (1, 80)


def test_versions_of_which_some_are_missing(pond):
    publish(pond, fish(12))
    publish(pond, fish(80, 500, "v"), Pillar.VALIDATION)
    versions(pond, "f3", [{"length": None}, {"length": 0.2}])
    pond.tick(2)
    assert questions(pond) == [], "nobody can be asked whether it is missing"
    versions(pond, "f5", [{"length": None}, {"length": 0.2}, {"length": 3.5}])
    pond.tick(3)
    (asked,) = questions(pond)
    assert set(asked.candidates) == {"0.2", "3.5"}
    answer(pond, asked, "0.2")
    assert pond.restarts == 0


def test_a_report_of_nobody_leads_to_nothing(doubtful):
    before = len(reports(doubtful))
    doubtful.publish(CLEANING, replace(reports(doubtful)[0], begun_at=1.0))
    doubtful.publish(CLEANING, replace(reports(doubtful)[0]))
    doubtful.run()
    assert len(reports(doubtful)) == before + 2
    assert len(questions(doubtful)) == 5


def test_a_study_that_an_answer_has_overtaken_is_looked_at_anew(doubtful):
    service, state = CPCleanService(), CleaningState()
    for said in doubtful.events(DATA_TRAIN) + doubtful.events(DATA_VALIDATION) + doubtful.events(CANDIDATES):
        service._rows.fold(said)
    tick = SimpleNamespace(time=1e9)
    context = SimpleNamespace(app=APP, result=None)
    (begun,) = service._tick(state, tick, context)
    report = SimpleNamespace(data=begun.data, app="pond")
    before = _run(service._study(state, report, context))
    answer(doubtful, questions(doubtful)[0])
    (told,) = doubtful.events(ANSWERS)
    service._rows.fold(told)
    after = _run(service._hand_on(state, told, context))
    service._answered(state, told, SimpleNamespace(app=APP, result=after))
    assert after.figures.uncertain_rows == before.figures.uncertain_rows - 1
    with pytest.raises(Busy):
        service._studied(state, report, SimpleNamespace(app=APP, result=before))
    again = _run(service._study(state, report, context))
    service._studied(state, report, SimpleNamespace(app=APP, result=again))
    assert state.figures == after.figures


def _run(job):
    return job.function(*job.arguments)
