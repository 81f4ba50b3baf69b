import numpy as np
import pytest

from easeml.automl.committee import Committee, affordable
from easeml.automl.families import train
from easeml.automl.portfolio import ARMS
from easeml.automl.race import Examples, Race, folds_of
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.stream.payloads import AlgorithmAnnounced

RNG = np.random.default_rng(0)
CODES = np.arange(120) % 3
MATRIX = RNG.normal(size=(120, 4)) + CODES[:, None]
FOLD = folds_of(CODES, seed=0)


class Oracle:
    """Right on a row with the probability that its arm is named after."""

    classes_ = np.arange(3)

    def __init__(self, share, truth):
        self.share = share
        self.truth = truth

    def predict_proba(self, matrix):
        index = matrix[:, 0].astype(int)
        right = np.random.default_rng(int(self.share * 100)).random(1000)[index] < self.share
        return np.eye(3)[np.where(right, self.truth[index], (self.truth[index] + 1) % 3)]


def race(rows=600, shown=None):
    truth = np.arange(rows) % 3
    matrix = np.arange(rows, dtype=float)[:, None]
    fits = []

    def fit(arm, part, codes):
        fits.append((arm.algorithm, len(part)))
        return Oracle(float(arm.algorithm), truth)

    examples = Examples(matrix, truth, folds_of(truth, 0))
    return Race(examples, shown or examples, classes=3, fit=fit), fits


def arm(name):
    return AlgorithmAnnounced(str(name), "logistic", "{}", 0.1)


def test_folds_are_even_over_classes_and_repeatable():
    assert np.array_equal(FOLD, folds_of(CODES, seed=0))
    assert not np.array_equal(FOLD, folds_of(CODES, seed=1))
    for code in range(3):
        counts = np.bincount(FOLD[code == CODES], minlength=8)
        assert counts.max() - counts.min() <= 1


def test_the_only_row_of_a_class_is_never_judged():
    fold = folds_of(np.array([0] * 10 + [1] * 10 + [2]), seed=0)
    assert fold[-1] == -1
    assert (fold[:-1] >= 0).all()
    with pytest.raises(InvalidDataError, match="two training rows"):
        folds_of(np.array([0, 1, 2]), seed=0)
    assert sorted(folds_of(np.array([0, 0, 1]), seed=0)) == [-1, 0, 1]


def test_many_rows_are_judged_in_one_fold():
    fold = folds_of(np.arange(20_000) % 2, seed=0)
    assert set(fold) == {-1, 0}
    assert np.mean(fold == 0) == pytest.approx(0.2)


def test_who_falls_behind_is_dropped_early_and_who_keeps_up_is_not():
    running, fits = race()
    assert running.run(arm(0.9)).accuracy == pytest.approx(0.9, abs=0.03)
    del fits[:]
    assert running.run(arm(0.5)) is None
    assert len(fits) == 1
    del fits[:]
    assert running.run(arm(0.88)) is not None
    assert len(fits) == running.folds


def test_an_entry_is_judged_on_rows_it_was_not_trained_on():
    examples = Examples(MATRIX, CODES, FOLD)
    kept = []

    def fit(announced, rows, codes):
        kept.append(rows)
        return train(announced, 0, rows, codes)

    running = Race(examples, examples, classes=3, fit=fit)
    entry = running.run(AlgorithmAnnounced("bayes", "naive_bayes", "{}", 0.1))
    for fold, rows in enumerate(kept):
        np.testing.assert_array_equal(rows, MATRIX[fold != FOLD])
    assert entry.model is None
    assert running.final(entry).class_count_.sum() == 120


def test_with_validation_rows_an_arm_is_trained_once():
    learnt = Examples(MATRIX[:80], CODES[:80], np.full(80, -1))
    judged = Examples(MATRIX[80:], CODES[80:], np.zeros(40, np.int64))
    running = Race(learnt, judged, classes=3, fit=lambda announced, rows, codes: train(announced, 0, rows, codes))
    entry = running.run(AlgorithmAnnounced("bayes", "naive_bayes", "{}", 0.1))
    assert running.final(entry) is entry.model
    assert entry.probabilities.shape == (40, 3)


def test_a_run_ends_where_it_is_told_to():
    running, fits = race()

    def stop(folds):
        raise BudgetExhaustedError(f"after {folds}")

    with pytest.raises(BudgetExhaustedError, match="after 1"):
        running.run(arm(0.9), stop)
    assert len(fits) == 1


def test_a_committee_takes_what_can_be_trained():
    def some(announced, seed, matrix, codes):
        if announced.family in {"lda", "svm"}:
            raise MemoryError("too large")
        return train(announced, seed, matrix, codes)

    vote = Committee(some, seed=1, arms=3, members=3).fit(MATRIX, CODES)
    np.testing.assert_allclose(vote.weights, [1.0])
    assert np.mean(vote.predict_proba(MATRIX).argmax(axis=1) == CODES) > 0.6

    def none(announced, seed, matrix, codes):
        raise ZeroDivisionError("always")

    with pytest.raises(InvalidDataError, match=r"svm .svm. failed with ZeroDivisionError: always"):
        Committee(none, seed=1, arms=3, members=3).fit(MATRIX, CODES)

    def late(announced, seed, matrix, codes):
        raise BudgetExhaustedError("spent")

    with pytest.raises(BudgetExhaustedError, match="spent"):
        Committee(late, seed=1, arms=3, members=3).fit(MATRIX, CODES)


def test_a_committee_over_few_rows_races_as_many_arms_as_they_pay_for():
    tried = set()

    def noted(announced, seed, matrix, codes):
        tried.add(announced.algorithm)
        return train(ARMS[0], seed, matrix, codes)

    committee = Committee(noted, seed=1, arms=0, members=3)
    committee.fit(MATRIX, CODES)
    assert tried == {one.algorithm for one in ARMS[: affordable(len(CODES), int(FOLD.max()) + 1)]}
    assert committee.judged_rows == len(CODES)
    assert [affordable(rows, folds) for rows, folds in ((100, 8), (500, 5), (5000, 4))] == [37, 25, 18]
