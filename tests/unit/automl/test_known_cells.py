"""What candidates and answers say of cells: trials train on it, and enough of it begins a new round."""

import numpy as np
import pytest

from easeml.automl.service import AutoMLService
from easeml.automl.trial import labelled, learnable
from easeml.relation.arrivals import Arrivals
from easeml.stream.payloads import Answer, CandidateBatch, DataVersion, Pillar, QuestionKind, TrialAssigned
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_VERSIONS, TRIALS

from .conftest import LOGISTIC, Town, rows


def answer(row, text, column=None, pillar=Pillar.TRAIN):
    kind = QuestionKind.LABEL if column is None else QuestionKind.CELL
    return Answer("churn", f"q-{row}-{column}", kind, pillar, row, 0, text, "cpclean", 1, column)


def candidates(row_ids, values, probabilities, column="x", pillar=Pillar.TRAIN):
    count, each = len(row_ids), len(values)
    return CandidateBatch(
        "churn",
        pillar,
        "cleaner@1",
        (column,),
        tuple(row_ids),
        tuple(values) * count,
        row=np.repeat(np.arange(count), each).astype(np.int32),
        column=np.zeros(count * each, np.int32),
        probability=np.tile(probabilities, count),
    )


@pytest.fixture
def view(town):
    known = Arrivals()
    for place, batch in enumerate(town.batches(Pillar.TRAIN, rows(20, 1, "t"))):
        known.add(f"b{place}", batch)
    return known


def test_rows_are_at_their_most_probable(town, view):
    view.add("c", candidates(["t0", "later"], ["7", "9"], [0.3, 0.7]))
    view.add("a", answer("t1", "maybe"))
    view.add("a2", answer("t2", "red", "colour"))
    view.add("a2", answer("t2", "blue", "colour"))
    frame, labels = labelled(view.first(town.app, 20))
    assert frame.loc["t0", "x"] == 9
    assert frame.loc["t2", "colour"] == "red"
    assert labels[1] == 2
    view.add("late", answer("t0", "4", "x"))
    assert labelled(view.first(town.app, 20)).frame.loc["t0", "x"] == 4, "an answer stands above candidates"


def test_a_trial_may_train_in_sampled_worlds(town, view):
    view.add("c", candidates(["t0"], ["7", "9"], [0.4, 0.6]))
    view.add("a", answer("t1", "maybe"))
    known = view.first(town.app, 20)

    def shown(name, parameters):
        trial = TrialAssigned("churn", name, "l", "logistic", parameters, "", 60.0, "v1", 20, 1)
        return learnable(trial, known)

    frame, labels = shown("one", '{"worlds": 20}')
    assert len(frame) == len(labels) == 20 * 20
    values = frame["x"].to_numpy()[::20]
    assert set(values) == {7.0, 9.0}
    assert (labels[1::20] == 2).all()
    assert shown("one", '{"worlds": 20}').frame.equals(frame)
    assert not shown("two", '{"worlds": 20}').frame.equals(frame)
    for plain in ("{}", '{"worlds": 0}', '{"worlds": 99}', "nonsense"):
        assert shown("one", plain).frame.equals(labelled(known).frame)


def test_what_does_not_fit_says_nothing(town, view):
    before, labels = labelled(view.first(town.app, 20))
    view.add("c", candidates(["t0"], ["many"], [1.0]))
    view.add("d", candidates(["t0"], ["1"], [1.0], column="size"))
    view.add("e", candidates(["t0"], ["1"], [0.4]))
    view.add("a", answer("t0", "nobody's class"))
    after, others = labelled(view.first(town.app, 20))
    assert before.equals(after)
    assert (labels == others).all()


@pytest.fixture
def scheduled(tmp_path):
    town = Town(tmp_path, (LOGISTIC,), [AutoMLService()])
    town.version(Pillar.TRAIN, 40)
    town.version(Pillar.VALIDATION, 20)
    town.cluster.run()
    return town


def assigned(town):
    return [event.data for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialAssigned)]


def keeper_version(town, name="v2"):
    town.cluster.publish(DATA_VERSIONS, DataVersion("churn", Pillar.TRAIN, name, 40, "1" * 64, "known", ("v1",)))
    town.cluster.run()


def test_a_version_of_the_same_rows_begins_no_round(scheduled):
    scheduled.cluster.publish(CANDIDATES, candidates(["t0", "t1"], ["1", "2"], [0.5, 0.5]))
    for place in range(6):
        scheduled.cluster.publish(ANSWERS, answer(f"t{place}", "yes"))
    keeper_version(scheduled)
    assert len(assigned(scheduled)) == 1


def test_a_fifth_of_the_rows_settled_or_proposed_begins_one(scheduled):
    scheduled.cluster.publish(CANDIDATES, candidates([f"t{n}" for n in range(6)], ["1", "2"], [0.5, 0.5]))
    for place in range(3):
        scheduled.cluster.publish(ANSWERS, answer(f"t{place}", "yes"))
        scheduled.cluster.publish(ANSWERS, answer(f"p{place}", "yes", pillar=Pillar.PRODUCTION))
    scheduled.cluster.run()
    assert len(assigned(scheduled)) == 1, "not before a version says so"
    scheduled.cluster.restart("automl")
    keeper_version(scheduled)
    assert [trial.data_version for trial in assigned(scheduled)] == ["v1", "v2"]
    keeper_version(scheduled, "v3")
    assert len(assigned(scheduled)) == 2
