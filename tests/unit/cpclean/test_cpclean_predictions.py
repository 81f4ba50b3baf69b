"""What callers of certain predictions may do wrong, and what then holds."""

from __future__ import annotations

import numpy as np
import pytest

from easeml.cpclean import CandidateRows, CertainPredictions, Outcome, certain_predictions
from easeml.errors import InvalidDataError, NotFoundError


def rows_of(*rows, prior=None):
    """Return rows of one feature from lists of candidates."""
    pointer = np.cumsum([0, *map(len, rows)])
    sizes = np.diff(pointer)
    even = 1 / np.repeat(sizes, sizes)
    return CandidateRows(
        pointer, np.array([x for row in rows for x in row], float)[:, None], even if prior is None else prior
    )


def made(rows=None, labels=(0, 1, 1), points=((1.0,), (5.0,)), **options):
    rows = rows_of([0.0, 9.0], [4.0], [20.0, 21.0]) if rows is None else rows
    options = {"k": 1, "n_classes": 2, "rng": np.random.default_rng(0)} | options
    return CertainPredictions(rows, labels, np.array(points), **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 4}, "k is 4, and there are 3 training rows"),
        ({"k": 0}, "k is 0"),
        ({"labels": (0, 1, 2)}, "Row 2: 2 is none of the 2 classes"),
        ({"labels": (0, 1)}, "2 labels for 3 rows"),
        ({"points": ((1.0, 2.0),)}, "2 features where the rows have 1"),
        ({"points": ((np.nan,),)}, "Row 0: a feature is missing"),
        ({"rows": rows_of([0.0, np.inf], [4.0], [20.0])}, "Row 0: a feature is missing, infinite"),
        ({"rows": rows_of([0.0, 1.0], [4.0], [2.0], prior=np.array([0.5, 0.6, 1, 1]))}, "Row 0: the priors sum to 1.1"),
        ({"rows": rows_of([0.0, 1.0], [4.0], [2.0], prior=np.array([0.0, 0.0, 1, 1]))}, "Row 0: the priors sum to 0"),
        ({"rows": rows_of([0.0, 1.0], [4.0], [2.0], prior=np.array([1.5, -0.5, 1, 1]))}, "Row 0: -0.5 is no prior"),
        ({"rows": rows_of([0.0], [], [2.0])}, "Row 1 has no candidate"),
        ({"rows": CandidateRows(np.array([0, 1]), np.zeros((2, 1)), np.ones(2))}, "row_ptr does not divide"),
        ({"validation_labels": (0,)}, "1 labels for 2 validation points"),
        ({"validation_labels": (0, 5)}, "Point 1: 5 is none of the 2 classes"),
    ],
)
def test_wrong_input_is_told(change, words):
    with pytest.raises(InvalidDataError, match=words.replace("(", r"\(")):
        made(**change)


def test_what_is_asked_wrongly_is_told():
    predictions = made()
    with pytest.raises(NotFoundError, match="no row 7"):
        predictions.answer(7, 0, 0)
    with pytest.raises(InvalidDataError, match="Row 0 has no candidate 2"):
        predictions.answer(0, 2, 0)
    with pytest.raises(InvalidDataError, match="2 features"):
        predictions.answer(0, [1.0, 2.0], 0)
    with pytest.raises(InvalidDataError, match="none of the 2 classes"):
        predictions.answer(0, [1.0], 0, label=2)
    with pytest.raises(InvalidDataError, match="3 priors for 2 candidates"):
        predictions.set_prior(0, [0.2, 0.3, 0.5], 0)
    with pytest.raises(InvalidDataError, match="batch of 0"):
        predictions.next(0)
    with pytest.raises(InvalidDataError, match="Costs"):
        predictions.next(cost=np.array([1.0, 0.0, 1.0]))
    with pytest.raises(InvalidDataError, match="numbered from 3"):
        predictions.add_rows(rows_of([1.0]), [0], 0, rows=[5])
    with pytest.raises(InvalidDataError, match="repeat"):
        predictions.add_rows(rows_of([1.0], [2.0]), [0, 1], 0, rows=[1, 1])
    with pytest.raises(InvalidDataError, match="not known"):
        predictions.potential()
    assert predictions._book.versions.tolist() == [-1, -1, -1]


def test_an_answer_settles_a_row_once():
    predictions = made()
    assert not predictions.done
    assert predictions.next().tolist() == [0]
    assert predictions.answer(0, 1, 3) is Outcome.NEW
    assert predictions.done
    assert predictions.next().tolist() == []
    assert predictions.answer(0, 0, 3) is Outcome.REPEATED
    assert predictions.answer(0, 0, 2) is Outcome.REPEATED
    assert predictions.label_mass.tolist() == [[0, 1], [0, 1]]


def test_the_newest_of_contradictory_answers_counts():
    predictions = made()
    predictions.answer(0, 1, 0)
    assert predictions.answer(0, 0, 1) is Outcome.REPLACED
    assert predictions.label_mass.tolist() == [[1, 0], [0, 1]]


def test_an_answer_outside_the_candidates_is_a_certain_value():
    predictions = made()
    assert predictions.answer(0, [4.9], 0) is Outcome.OUTSIDE
    assert predictions.done
    assert predictions.label_mass.tolist() == [[0, 1], [1, 0]]
    assert predictions.answer(0, 1, 1) is Outcome.REPLACED
    assert predictions.label_mass.tolist() == [[0, 1], [0, 1]]
    assert predictions.answer(0, [1.0], 2, label=1) is Outcome.OUTSIDE
    assert predictions.label_mass.tolist() == [[0, 1], [0, 1]]


def test_a_candidate_of_prior_0_does_not_take_part_but_may_be_the_answer():
    predictions = made(rows_of([0.0, 9.0], [4.0], [20.0], prior=np.array([0.0, 1, 1, 1])))
    assert predictions.done
    assert predictions.answer(0, 0, 0) is Outcome.OUTSIDE
    assert predictions.label_mass.tolist() == [[1, 0], [0, 1]]


def test_a_known_cell_leaves_the_candidates_that_agree():
    predictions = made(rows_of([0.0, 1.0, 9.0], [4.0], [20.0]), points=((0.5,),))
    assert predictions.set_prior(0, [0.5, 0.5, 0], 0) is Outcome.REPLACED
    assert predictions.done
    assert predictions.set_prior(0, [0.5, 0.5, 0], 0) is Outcome.REPEATED
    predictions.set_prior(0, [0.2, 0, 0.8], 1)
    np.testing.assert_allclose(predictions.label_mass, [[0.2, 0.8]])


def test_constant_columns_change_nothing():
    rng = np.random.default_rng(0)
    features, prior = rng.normal(size=(12, 2)), np.full(12, 0.5)
    pointer, labels, points = np.arange(0, 13, 2), [0, 1, 0, 1, 0, 1], rng.normal(size=(4, 2))
    wider = [np.hstack([one, np.full((len(one), 1), 7.0)]) for one in (features, points)]
    plain = certain_predictions(pointer, features, prior, labels, points, n_classes=2)
    wide = certain_predictions(pointer, wider[0], prior, labels, wider[1], n_classes=2)
    np.testing.assert_array_equal(plain[0], wide[0])
    np.testing.assert_allclose(plain[1], wide[1], atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_a_row_of_very_many_candidates(k):
    rng = np.random.default_rng(k)
    many = np.sort(rng.normal(size=1500) * 3)
    rows = rows_of(many.tolist(), [0.5, 3.0], [1.0], [-1.0, 2.0], [2.5])
    predictions = made(rows, (0, 1, 0, 1, 1), points=((0.1,), (2.0,)), k=k)
    expected = np.zeros((2, 2))
    for other in range(4):
        values = np.array([(0.5, 3.0)[other % 2], 1.0, (-1.0, 2.0)[other // 2], 2.5])
        for point, place in enumerate((0.1, 2.0)):
            far = np.abs(np.column_stack([many, np.tile(values, (1500, 1))]) - place)
            nearest = np.argsort(far, axis=1, kind="stable")[:, :k]
            votes = np.array([0, 1, 0, 1, 1])[nearest].sum(axis=1)
            expected[point, 1] += (votes * 2 > k).mean() / 4
    expected[:, 0] = 1 - expected[:, 1]
    np.testing.assert_allclose(predictions.label_mass, expected, atol=1e-12)


def test_rows_and_points_that_arrive_later():
    predictions = made()
    assert predictions.add_rows(rows_of([1.0]), [1], 0).tolist() == [3]
    assert predictions.label_mass.tolist() == [[0, 1], [0, 1]]
    predictions.add_rows(rows_of([1.0]), [0], 0, rows=[3])
    assert predictions.label_mass[0].tolist() == [0, 1]
    predictions.add_rows(rows_of([1.0]), [0], 1, rows=[3])
    assert predictions.label_mass[0].tolist() == [1, 0]
    assert predictions.add_validation(np.array([[8.0]]), 1)
    assert not predictions.add_validation(np.array([[8.0]]), 1)
    assert len(predictions.certain) == 3


def test_a_snapshot_is_plain_and_goes_on_as_before():
    predictions = made(rows_of([0.0, 9.0], [4.0, 0.5], [20.0, 3.0]), validation_labels=(0, 1))
    predictions.answer(2, 0, 5)
    state = predictions.state()
    assert all(isinstance(value, np.ndarray | int | bool) for value in state.values())
    assert all(value.dtype != object for value in state.values() if isinstance(value, np.ndarray))
    again = CertainPredictions.from_state(state, np.random.default_rng(0))
    np.testing.assert_allclose(again.gain, predictions.gain)
    assert again.answer(2, 1, 5) is Outcome.REPEATED
    assert again.next().tolist() == predictions.next().tolist()


def test_dear_rows_come_later_and_batches_spread():
    # Rows 0 and 1 decide point 0 together; row 2 alone decides point 1.
    rows = rows_of([0.0, 9.0], [0.1, 9.0], [50.0, 90.0], [4.0], [54.0])
    predictions = made(rows, (0, 0, 0, 1, 1), points=((0.0,), (50.0,)))
    first = predictions.next(3).tolist()
    assert sorted(first) == [0, 1, 2]
    assert first[0] == 2
    dear = np.array([1.0, 1.0, 100.0, 1.0, 1.0])
    assert predictions.next(cost=dear).tolist()[0] in {0, 1}
    alike = made(
        rows_of([0.0, 9.0], [0.1, 9.0], [50.0, 90.0], [50.1, 95.0], [4.0], [54.0]),
        (0, 0, 0, 0, 1, 1),
        points=((0.0,), (50.0,)),
    )
    assert {row // 2 for row in alike.next(2).tolist()} == {0, 1}


def test_bits_are_what_an_answer_tells_about_all_points():
    predictions = made()
    np.testing.assert_allclose(predictions.bits(np.array([0, 1])), [1.0, 0.0])


def test_potential_without_uncertainty_is_what_is_expected():
    predictions = made(rows_of([0.0], [4.0], [20.0]), validation_labels=(0, 0))
    assert predictions.potential().accuracy == predictions.potential().expected == 0.5
    nothing = made(points=np.empty((0, 1)), validation_labels=np.empty(0, int))
    assert nothing.potential().certain == 1.0
    assert nothing.done
    assert nothing.next().tolist() == []


def test_the_potential_does_not_remember_candidates_that_were_replaced():
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 20, 12)
    labels, truth, points = rng.integers(2, size=12), rng.integers(2, size=30), rng.uniform(0, 25, (30, 1))
    changed = made(rows_of(*([x, x + 5] for x in places)), labels, points, k=3, validation_labels=truth)
    changed.add_rows(rows_of([3.0, 4.0], [7.0]), [1, 0], 1, rows=[0, 11])
    now = [[3.0, 4.0], *([x, x + 5] for x in places[1:11]), [7.0]]
    fresh = made(rows_of(*now), [1, *labels[1:11], 0], points, k=3, validation_labels=truth)
    assert changed.potential().expected == pytest.approx(fresh.potential().expected)
    assert changed.potential().accuracy >= changed.potential().expected


def test_what_is_asked_already_is_not_asked_for_by_another_row():
    alike = made(
        rows_of([0.0, 9.0], [0.1, 9.0], [50.0, 90.0], [50.1, 95.0], [4.0], [54.0]),
        (0, 0, 0, 0, 1, 1),
        points=((0.0,), (50.0,)),
    )
    first, other = alike.next(2).tolist()
    assert alike.next(1, pending=[first]).tolist() == [other]
    assert alike.next(5, pending=[0, 1, 2, 3]).tolist() == []
    assert set(alike.next(5, without=[0, 1, 2]).tolist()) == {3}


def test_the_potential_of_many_points_is_estimated_from_some(monkeypatch):
    rng = np.random.default_rng(3)
    rows = rows_of(*([place, place + 30.0] for place in rng.uniform(0, 60, 80)))
    labels = rng.integers(2, size=80)
    points = rng.uniform(0, 90, (150, 1))
    truth = rng.integers(2, size=150)
    predictions = made(rows, labels, points, k=3, validation_labels=truth)
    every = predictions.potential()
    monkeypatch.setattr("easeml.cpclean.potential._LINES", 3000)
    some = made(rows, labels, points, k=3, validation_labels=truth).potential()
    assert (some.expected, some.certain) == (every.expected, every.certain)
    assert some.accuracy != every.accuracy
    assert some.accuracy == pytest.approx(every.accuracy, abs=0.1)
    assert some.expected <= some.accuracy <= 1
