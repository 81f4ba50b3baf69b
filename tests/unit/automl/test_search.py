import itertools
import re
import time

import numpy as np
import pandas as pd
import pytest

from easeml.artifacts import ArtifactStore, dump, load
from easeml.automl import Portfolio, fit
from easeml.automl.families import FAMILIES, Family
from easeml.automl.portfolio import ARMS
from easeml.automl.search import Outcome
from easeml.automl.trial import Labelled, run, sampled
from easeml.errors import BudgetExhaustedError, ConfigurationError, InvalidDataError
from easeml.relation import Relation
from easeml.stream.payloads import AlgorithmAnnounced, TrialAssigned

FEW = tuple(arm for arm in ARMS if arm.algorithm in {"lda", "logistic", "svm", "knn-5", "qda", "naive-bayes"})


def relation(rows=90, seed=0, **options):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, rows)
    frame = pd.DataFrame({
        "size": np.where(rng.random(rows) < 0.2, np.nan, codes + 0.5 * rng.normal(size=rows)),
        "colour": np.where(rng.random(rows) < 0.3, None, np.array(["red", "green", "blue"], object)[codes]),
        "words": [f"a row about kind{code} of things" if i % 2 else None for i, code in enumerate(codes)],
        "label": np.array(["a", "b", "c"], object)[codes],
    })  # fmt: skip
    frame.index = [f"r{i}" for i in range(rows)]
    return Relation.from_frame(frame, label="label", **options)


RELATION = relation()


def ticking(step=0.01):
    return itertools.count(0, step).__next__


def search(arms=FEW, budget=100.0, data=RELATION, validation=None, **options):
    return Portfolio(arms=tuple(arms), **options).fit(data, budget, validation=validation, clock=ticking())


def test_a_stream_of_models_ends_with_the_best():
    found = search()
    candidates = list(found)
    best = candidates[-1]
    assert best.accuracy == max(candidate.accuracy for candidate in candidates)
    assert best.accuracy > 0.9
    assert sum(best.members.values()) == pytest.approx(1)
    assert set(best.members) <= {candidate.algorithm for candidate in candidates[:-1]}
    assert [tried.algorithm for tried in found.tried] == [arm.algorithm for arm in FEW]
    assert {tried.outcome for tried in found.tried} <= {Outcome.TRAINED, Outcome.BEATEN}
    assert [candidate.cpu_seconds for candidate in candidates] == sorted(c.cpu_seconds for c in candidates)


def test_every_candidate_is_stored_and_comes_back(tmp_path):
    store = ArtifactStore(tmp_path.as_uri(), 10_000_000)
    other = relation(40, seed=1)
    for candidate in search(members=5):
        stored = store.put(dump(candidate.model))
        again = load(store.get(stored.uri, stored.sha256))
        frame = other.features()
        np.testing.assert_allclose(again.predict_proba(frame), candidate.model.predict_proba(frame), atol=1e-12)
        assert np.mean(again.predict(frame) == other.labels) > 0.7


def test_the_same_seed_finds_the_same():
    first, again = ([(c.algorithm, c.accuracy, dump(c.model)) for c in search(seed=3)] for _ in range(2))
    assert first == again


def test_validation_rows_judge_where_they_are_given():
    validation = relation(50, seed=2)
    candidates = list(search(validation=validation))
    truth = validation.labels
    for candidate in candidates:
        assert candidate.accuracy == np.mean(candidate.model.predict(validation.features()) == truth)


def test_one_member_is_no_vote():
    assert all(len(candidate.members) == 1 for candidate in search(members=1))


def test_the_budget_ends_the_search():
    found = search(budget=1.0)
    list(found)
    assert found.spent <= 1.0 + 0.1
    assert found.tried
    assert sum(tried.outcome is Outcome.TRAINED for tried in found.tried) < len(FEW)


def test_the_budget_holds_in_cpu_seconds():
    began = time.process_time()
    found = fit(RELATION, 0.7)
    candidates = list(found)
    assert candidates
    assert found.spent <= 1.5
    assert time.process_time() - began < 2.0


def test_what_the_reader_computes_is_not_counted():
    clock = [0.0]
    found = Portfolio(arms=FEW).fit(RELATION, 5.0, clock=lambda: clock[0])
    for _ in found:
        clock[0] += 100.0
    assert found.spent == 0.0
    assert len(found.tried) == len(FEW)


def test_a_budget_for_no_model_at_all_is_an_error():
    with pytest.raises(BudgetExhaustedError, match=r"No model was ready within 0.02 CPU seconds"):
        list(search(budget=0.02))
    with pytest.raises(ConfigurationError, match="budget was 0"):
        fit(RELATION, 0)


def bad_fits():
    class Wrong:
        classes_ = np.arange(3)

        def __init__(self, seed):
            self.seed = seed

        def fit(self, matrix, codes):
            return self

    class Raises(Wrong):
        def fit(self, matrix, codes):
            raise ZeroDivisionError("of data it was not made for")

    class Shape(Wrong):
        def predict_proba(self, matrix):
            return np.ones((len(matrix), 7)) / 7

    class Flat(Wrong):
        def predict_proba(self, matrix):
            return np.ones(len(matrix))

    class NotFinite(Wrong):
        def predict_proba(self, matrix):
            return np.full((len(matrix), 3), np.nan)

    class Foreign(Wrong):
        classes_ = np.array([0, 1, 9])

    class Nothing(Wrong):
        def fit(self, matrix, codes):
            return None

    class Unstorable(Wrong):
        def predict_proba(self, matrix):
            return np.tile([0.5, 0.3, 0.2], (len(matrix), 1))

    class Greedy(Wrong):
        def fit(self, matrix, codes):
            return np.ones(2**36)

    return {
        Raises: "failed with ZeroDivisionError: of data it was not made for",
        Shape: r"output of shape \(\d+, 7\), expected was \(\d+, 3\)",
        Flat: r"output of shape \(\d+,\)",
        NotFinite: "not finite",
        Foreign: "names no classes or others",
        Nothing: "NoneType, which names no classes",
        Unstorable: "not trusted|cannot be written",
        Greedy: "wanted more than 2 GiB",
    }


@pytest.mark.parametrize(("kind", "says"), bad_fits().items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_algorithm_that_makes_no_model_is_refused_and_the_others_go_on(monkeypatch, tmp_path, kind, says):
    monkeypatch.setitem(FAMILIES, "bad", Family(kind, {}))
    bad = AlgorithmAnnounced("bad-one", "bad", "{}", 0.01)
    found = search(arms=(bad, FEW[0]))
    assert [candidate.algorithm for candidate in found] == [FEW[0].algorithm] * 2
    refused = found.tried[0]
    assert refused.outcome is (Outcome.COSTLY if kind.__name__ == "Greedy" else Outcome.REFUSED)
    assert re.search(says, refused.error)
    assert refused.error.startswith("bad-one (bad)")

    trial = TrialAssigned(
        app="churn", trial="t", algorithm="bad-one", family="bad", parameters="{}", device="", lease_seconds=60,
        data_version="v", train_rows=90, validation_rows=90,
    )  # fmt: skip
    rows = Labelled(RELATION.features(), RELATION.labels)
    result = run(trial, rows, rows, RELATION.columns, RELATION.classes, (tmp_path.as_uri(), 10_000_000))
    assert result.stored is None
    assert re.search(says, result.error)


def test_when_every_algorithm_is_refused_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(FAMILIES, "bad", Family(next(iter(bad_fits())), {}))
    with pytest.raises(InvalidDataError, match=r"Every algorithm .* was refused.*not made for"):
        list(search(arms=[AlgorithmAnnounced("bad-one", "bad", "{}", 0.01)]))


def test_an_endless_algorithm_is_cut_and_leaves_the_others_their_time(monkeypatch):
    class Endless:
        def __init__(self, seed):
            pass

        def fit(self, matrix, codes):
            while True:
                pass

    monkeypatch.setitem(FAMILIES, "endless", Family(Endless, {}))
    endless = AlgorithmAnnounced("endless", "endless", "{}", 0.001)
    found = Portfolio(arms=(endless, FEW[0])).fit(RELATION, 1.0)
    assert [candidate.algorithm for candidate in found] == ["lda", "lda"]
    assert found.tried[0].outcome is Outcome.COSTLY
    assert "used up" in found.tried[0].error


def test_portfolios_are_checked_before_they_cost_anything():
    with pytest.raises(ConfigurationError, match="lda twice"):
        Portfolio(arms=(ARMS[0], ARMS[0]))
    with pytest.raises(ConfigurationError, match="0 algorithms"):
        Portfolio(arms=())
    with pytest.raises(ConfigurationError, match="no pipeline family"):
        Portfolio(arms=(AlgorithmAnnounced("x", "nonsense", "{}", 1.0),))


def test_relations_without_anything_to_learn_are_explained():
    frame = RELATION.frame()
    with pytest.raises(InvalidDataError, match="no label"):
        fit(Relation.from_frame(frame.drop(columns="label")), 1)
    with pytest.raises(InvalidDataError, match="1 of the 3 classes"):
        fit(RELATION.take(RELATION.labels == 0), 1)
    with pytest.raises(InvalidDataError, match="No validation row"):
        fit(RELATION, 1, validation=RELATION.without_labels())
    with pytest.raises(InvalidDataError, match="other classes"):
        fit(RELATION, 1, validation=Relation.from_frame(frame, label="label", classes=("c", "b", "a")))


def test_unknown_labels_are_left_out():
    labels = RELATION.frame()
    labels.loc[labels.index[::3], "label"] = None
    partly = Relation.from_frame(labels, label="label", classes=RELATION.classes)
    assert list(search(data=partly))[-1].accuracy > 0.85


def uncertain(sure):
    """Rows whose second half has labels that two annotators disagree about, and cells that may be two values."""
    names = RELATION.row_ids[45:]
    frame = RELATION.frame()
    rows = []
    for name in names:
        true = frame.loc[name, "label"]
        wrong = RELATION.classes[(RELATION.classes.index(true) + 1) % 3]
        rows += [(name, "label", true, sure), (name, "label", wrong, 1 - sure)]
        rows += [(name, "colour", "red", 0.5), (name, "colour", "green", 0.5)]
    table = pd.DataFrame(rows, columns=["row_id", "column", "value", "probability"])
    return RELATION.merge_candidates(table, source="annotators")


def test_sampled_worlds_follow_the_priors():
    data = uncertain(0.7)
    worlds = sampled(data, 40, seed=0)
    assert len(worlds) == 40
    for world in worlds:
        np.testing.assert_array_equal(world.labels[:45], RELATION.labels[:45])
    agreed = np.mean([world.labels[45:] == RELATION.labels[45:] for world in worlds])
    assert agreed == pytest.approx(0.7, abs=0.03)
    assert np.mean([(world.frame["colour"][45:] == "red").mean() for world in worlds]) == pytest.approx(0.5, abs=0.05)
    for one, same in zip(worlds, sampled(data, 40, seed=0), strict=True):
        pd.testing.assert_frame_equal(one.frame, same.frame)


def test_uncertain_relations_are_trained_in_their_most_probable_or_in_sampled_worlds():
    data = uncertain(0.7)
    other = relation(60, seed=5)
    for worlds in (0, 3):
        best = list(search(data=data, worlds=worlds))[-1]
        assert np.mean(best.model.predict(other.features()) == other.labels) > 0.85
    likeliest, spread = (list(search(arms=FEW[:1], data=data, worlds=worlds))[-1].model for worlds in (0, 5))
    sure = [model.predict_proba(other.features()).max(axis=1).mean() for model in (likeliest, spread)]
    assert sure[1] < sure[0]  # guesses are not believed
