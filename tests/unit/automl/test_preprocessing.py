import numpy as np
import pytest

from easeml.artifacts.steps import Clipped, Products, Projection, Ranks, Selection
from easeml.automl.families import PREPARATION
from easeml.automl.preprocessing import fit_steps

RNG = np.random.default_rng(0)
CODES = np.arange(200) % 2
MATRIX = RNG.normal(size=(200, 6))
MATRIX[:, 2] += 3 * CODES
MATRIX[:, 4] -= 2 * CODES
MATRIX[:, 5] = CODES
PLAIN = {name: parameter.default for name, parameter in PREPARATION.items()}


def prepare(matrix=MATRIX, **settings):
    return fit_steps(PLAIN | settings, matrix, CODES, seed=0)


def test_nothing_is_done_unless_asked_for():
    steps, prepared = prepare()
    assert steps == []
    assert prepared is MATRIX


def test_the_columns_that_part_the_classes_are_kept():
    (step,), prepared = prepare(select=0.5)
    assert isinstance(step, Selection)
    assert step.columns.tolist() == [2, 4, 5]  # the last is constant within each class
    np.testing.assert_array_equal(prepared, MATRIX[:, [2, 4, 5]])


def test_constant_columns_tell_nothing_and_one_column_always_remains():
    matrix = np.column_stack([np.ones(200), MATRIX[:, 2]])
    (step,), _ = prepare(matrix, select=0.001)
    assert step.columns.tolist() == [1]


def test_ranks_leave_categories_alone():
    (step,), prepared = prepare(np.exp(MATRIX), scale="rank")
    assert isinstance(step, Ranks)
    assert step.columns.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(prepared[:, :5].mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(prepared[:, :5].std(axis=0), 1, atol=0.1)


def test_outliers_are_clipped():
    (step,), prepared = prepare(MATRIX * 100, scale="clip")
    assert isinstance(step, Clipped)
    assert np.abs(prepared).max() == 3


def test_products_are_of_the_best_columns_and_bounded():
    (step,), prepared = prepare(products="pairs")
    assert isinstance(step, Products)
    assert prepared.shape == (200, 6 + 21)
    np.testing.assert_allclose(prepared[:, 6], MATRIX[:, 0] ** 2)
    wide = RNG.normal(size=(200, 100))
    wide[:, 77] += 5 * CODES
    (step,), prepared = prepare(wide, products="pairs")
    assert 77 in step.left
    assert prepared.shape[1] <= 100 + 310


@pytest.mark.parametrize("whiten", ["no", "yes"])
def test_components_are_those_of_the_largest_spread(whiten):
    stretched = MATRIX * [10, 5, 1, 1, 1, 1]
    (step,), prepared = prepare(stretched, reduce=2, whiten=whiten)
    assert isinstance(step, Projection)
    spread = prepared.std(axis=0)
    if whiten == "yes":
        np.testing.assert_allclose(spread, 1)
    else:
        values = np.linalg.svd(stretched - stretched.mean(axis=0), compute_uv=False)[:2]
        np.testing.assert_allclose(spread, values / np.sqrt(200), rtol=1e-6)
    np.testing.assert_allclose(np.corrcoef(prepared.T)[0, 1], 0, atol=1e-9)


def test_steps_apply_to_later_rows_as_to_those_they_were_fitted_to():
    steps, prepared = prepare(scale="rank", products="pairs", select=0.7, reduce=5, whiten="yes")
    assert [type(step) for step in steps] == [Ranks, Products, Selection, Projection]
    later, width = MATRIX[:7], MATRIX.shape[1]
    for step in steps:
        later, width = step.apply(later), step.width(width)
        assert later.shape[1] == width
    np.testing.assert_allclose(later, prepared[:7])
