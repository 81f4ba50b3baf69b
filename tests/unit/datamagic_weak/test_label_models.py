"""Label model and Dawid-Skene: the reference figures, and every way a vote can be wrong."""

import numpy as np
import pandas as pd
import pytest

from easeml.datamagic.supervision.dawid_skene import DawidSkene
from easeml.datamagic.supervision.label_model import LabelModel, decided
from easeml.datamagic.supervision.votes import Votes
from easeml.errors import ConfigurationError, InvalidDataError


def brier(proba, truth):
    return float(((proba - np.eye(proba.shape[1])[truth]) ** 2).sum(axis=1).mean())


def f1(predicted, truth, positive=1):
    hits = ((predicted == positive) & (truth == positive)).sum()
    return 2 * hits / ((predicted == positive).sum() + (truth == positive).sum())


def votes_of(folder, name):
    splits = ("train", "valid", "test")
    votes = [np.load(folder / "weak" / name / f"{split}_votes.npy") for split in splits]
    labels = [np.load(folder / "weak" / name / f"{split}_labels.npy") for split in splits]
    return votes, labels


def crowd_of(folder, name, classes):
    table = pd.read_csv(folder / "weak" / name / "votes.csv")
    truth = pd.read_csv(folder / "weak" / name / "truth.csv")["truth"].to_numpy()
    return Votes.from_triples(table["item"], table["worker"], table["answer"], classes), truth


@pytest.mark.parametrize(
    ("name", "accuracy", "spam_f1", "most_brier"), [("youtube", 0.86, 0.83, 0.20), ("sms", 0.895, 0.41, 0.20)]
)
def test_label_model_reaches_the_published_figures(reference_data, name, accuracy, spam_f1, most_brier):
    (train, valid, test), (_, gold, truth) = votes_of(reference_data, name)
    model = LabelModel(2).fit(train, valid=(valid, gold))
    predicted = model.predict(test)
    assert (predicted == truth).mean() >= accuracy
    assert f1(predicted, truth) >= spam_f1
    assert brier(model.predict_proba(test), truth) <= most_brier


@pytest.mark.parametrize(
    ("name", "balance", "accuracy", "most_brier"),
    [("youtube", None, 0.86, 0.24), ("youtube", (0.53, 0.47), 0.86, 0.26), ("sms", (0.87, 0.13), 0.898, 0.185)],
)
def test_label_model_without_labelled_rows_is_no_worse_than_majority_vote(
    reference_data, name, balance, accuracy, most_brier
):
    (train, _, test), (_, _, truth) = votes_of(reference_data, name)
    model = LabelModel(2, balance).fit(train)
    predicted = model.predict(test)
    assert np.where(predicted == -1, 0.5, predicted == truth).mean() >= accuracy
    assert brier(model.predict_proba(test), truth) <= most_brier


@pytest.mark.parametrize("balance", [None, (0.88, 0.12)])
def test_label_model_survives_the_votes_of_a_crowd(reference_data, balance):
    crowd, truth = crowd_of(reference_data, "crowd_product", 2)
    votes = np.full((crowd.n_items, crowd.n_workers), -1)
    votes[crowd.item, crowd.worker] = crowd.answer
    model = LabelModel(2, balance).fit(votes)
    assert (model.predict(votes) == truth).mean() >= 0.9  # majority vote: .897
    assert brier(model.predict_proba(votes), truth) <= 0.165  # .184


def test_no_vote_speaks_against_its_class_unless_labelled_rows_say_so():
    votes = np.array([[0, -1], [0, -1], [0, 0], [-1, 1]])
    model = LabelModel(2, class_balance=[0.9, 0.1]).fit(votes)
    assert (model.precision >= model.balance).all()
    assert model.predict_proba([[0, -1]])[0, 0] >= 0.9 - 1e-9
    told = LabelModel(2, class_balance=[0.9, 0.1]).fit(votes, valid=(votes[:3], [1, 1, 1]))
    assert told.predict_proba([[0, -1]])[0, 0] < 0.9


@pytest.mark.parametrize(
    ("name", "classes", "accuracy", "most_brier"), [("crowd_dog", 4, 0.84, 0.30), ("crowd_product", 2, 0.935, 0.108)]
)
def test_dawid_skene_reaches_the_published_figures(reference_data, name, classes, accuracy, most_brier):
    votes, truth = crowd_of(reference_data, name, classes)
    model = DawidSkene(classes).fit(votes)
    assert (model.predict(votes) == truth).mean() >= accuracy
    assert brier(model.predict_proba(votes), truth) <= most_brier


def test_tempering_takes_back_certainty_and_no_decision(reference_data):
    votes, truth = crowd_of(reference_data, "crowd_dog", 4)
    plain, tempered = DawidSkene(4, temperature=1.0).fit(votes), DawidSkene(4).fit(votes)
    own = np.arange(len(truth)), truth
    assert tempered.temper < 0.5
    assert -np.log(tempered.predict_proba(votes)[own]).mean() < -0.5 * np.log(plain.predict_proba(votes)[own]).mean()
    assert (plain.predict(votes) == tempered.predict(votes)).all()


def test_uncovered_rows_and_ties_return_the_prior():
    votes = np.array([[1, 1], [0, 0], [1, -1]])
    model = LabelModel(2, class_balance=[0.3, 0.7]).fit(votes)
    assert model.predict_proba([[-1, -1]]).tolist() == [[0.3, 0.7]]
    assert model.predict([[-1, -1]]).tolist() == [1]
    even = LabelModel(2).fit([[0, 1], [1, 0]])
    assert np.allclose(even.predict_proba([[0, 1]]), 0.5)
    assert even.predict([[0, 1], [-1, -1]]).tolist() == [-1, -1]


def test_classes_that_tie_share_their_mass_as_the_balance_says():
    model = DawidSkene(3, class_balance=[0.2, 0.2, 0.6], temperature=1.0).fit(np.full((4, 2), -1))
    assert np.allclose(model.predict_proba(np.full((1, 2), -1)), [[0.2, 0.2, 0.6]])
    assert decided(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])).tolist() == [-1, 2]


def test_labelled_rows_outweigh_what_the_sources_agree_on():
    rng = np.random.default_rng(0)
    votes = rng.integers(2, size=(200, 1)).repeat(3, axis=1)
    gold = 1 - votes[:50, 0]
    assert (LabelModel(2).fit(votes, valid=(votes[:50], gold)).precision < 0.5).all()


def test_balance_comes_from_validation_and_never_reaches_zero():
    votes = np.array([[0], [1], [2]])
    model = LabelModel(3).fit(votes, valid=(votes[:2], [0, 0]))
    assert np.allclose(model.balance, [3 / 5, 1 / 5, 1 / 5])
    assert np.isfinite(model.predict_proba(votes)).all()


def test_workers_that_the_fit_has_not_seen_count_as_the_pool():
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=300)
    votes = np.where(rng.random((300, 4)) < 0.9, truth[:, None], 1 - truth[:, None])
    model = DawidSkene(2).fit(votes)
    stranger = np.full((1, 6), -1)
    stranger[0, 5] = 1
    assert model.predict(stranger).tolist() == [1]
    assert (model.predict(votes) == truth).mean() > 0.9


def test_a_contrarian_worker_is_read_backwards():
    rng = np.random.default_rng(2)
    truth = rng.integers(2, size=400)
    right = np.where(rng.random((400, 3)) < 0.85, truth[:, None], 1 - truth[:, None])
    votes = np.column_stack([right, 1 - truth])
    model = DawidSkene(2).fit(votes)
    assert (model.predict(votes) == truth).mean() > 0.97
    assert model.confusion[3, 0, 1] > 0.9


def test_one_vote_an_item_and_no_votes_at_all_are_fine():
    assert DawidSkene(2).fit([[0, -1], [-1, 1]]).temper == 1.0
    for empty in (np.empty((0, 3), int), np.full((3, 2), -1), np.empty((2, 0), int)):
        assert DawidSkene(2).fit(empty).predict_proba(empty).shape == (len(empty), 2)
        assert LabelModel(2).fit(empty).predict_proba(empty).shape == (len(empty), 2)


def test_sources_name_model_and_version():
    assert LabelModel(2).source == "datamagic.label_model/1"
    assert DawidSkene(2).source == "datamagic.dawid_skene/1"


@pytest.mark.parametrize(
    ("votes", "text"),
    [
        ([[0, 2]], "row 0, source 1: 2"),
        ([[0, -1], [-2, 0]], "row 1, source 0: -2"),
        ([[0.5, 1]], "0.5"),
        ([[np.nan, 1]], "nan"),
        ([["spam", "ham"]], "class codes"),
        ([0, 1], "1 dimensions"),
    ],
)
@pytest.mark.parametrize("model", [LabelModel, DawidSkene])
def test_wrong_votes_name_their_place(model, votes, text):
    with pytest.raises(InvalidDataError, match=text):
        model(2).fit(votes)


def test_wrong_arguments_are_refused():
    with pytest.raises(InvalidDataError, match="1 classes"):
        LabelModel(1)
    for balance in ([0.5, 0.6], [1.0, 0.0], [1.0], [np.nan, 1]):
        with pytest.raises(InvalidDataError, match="class balance"):
            LabelModel(2, class_balance=balance)
    with pytest.raises(InvalidDataError, match="2 rows of validation votes"):
        LabelModel(2).fit([[0]], valid=([[0], [1]], [0]))
    with pytest.raises(InvalidDataError, match="Labels, row 1: -1"):
        LabelModel(2).fit([[0]], valid=([[0], [1]], [0, -1]))
    with pytest.raises(InvalidDataError, match="3 sources vote"):
        LabelModel(2).fit([[0, 1]]).predict_proba([[0, 1, 1]])
    with pytest.raises(ConfigurationError, match="smoothing"):
        DawidSkene(2, smoothing=0)
    with pytest.raises(ConfigurationError, match="temperature"):
        DawidSkene(2, temperature=1.5)
    with pytest.raises(InvalidDataError, match="differ in shape"):
        Votes.from_triples([0, 1], [0], [1, 1], 2)
    with pytest.raises(InvalidDataError, match=r"Items, row 0: -1"):
        Votes.from_triples([-1], [0], [1], 2)


def test_votes_by_name():
    frame = pd.DataFrame({"row_id": ["a", "b", "a"], "annotator": ["x", "x", "y"], "value": ["no", "yes", "yes"]})
    votes, items, workers = Votes.from_frame(frame, ("no", "yes"))
    assert (items, workers) == (("a", "b"), ("x", "y"))
    assert votes.answer.tolist() == [0, 1, 1]
    assert Votes.from_frame(frame, ("no", "yes"), ("b", "a", "c"))[0].n_items == 3
    with pytest.raises(InvalidDataError, match="'yes'"):
        Votes.from_frame(frame, ("no", "maybe"))
