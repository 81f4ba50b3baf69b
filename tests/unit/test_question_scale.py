"""One bit is one bit: askers promise the same for answers that settle the same predictions."""

import numpy as np
import pytest

from easeml import market, modelpicker
from easeml.cpclean import CandidateRows, CertainPredictions
from easeml.market.belief import KEPT, label_information


@pytest.mark.parametrize("settled", [0, 1, 3])
def test_an_answer_that_settles_some_of_four_rows(settled):
    """A coin decides the predictions of ``settled`` rows of four; the answer tells how it fell."""
    # the doubtful row of class 1 lies either at the points in question or where it touches none
    rows = CandidateRows(np.array([0, 1, 3]), np.array([[1.0], [0.1], [1000.0]]), np.array([1.0, 0.5, 0.5]))
    points = np.array([[0.0]] * settled + [[2.0]] * (4 - settled))
    cleaning = CertainPredictions(rows, [0, 1], points, k=1, n_classes=2, rng=np.random.default_rng(0))
    assert cleaning.bits(np.array([1]))[0] / len(points) == pytest.approx(settled / 4)

    recent = np.array([[0, 1]] * settled + [[0, 0]] * (4 - settled), np.int32)
    picking = modelpicker.information_gain(np.array([0.5, 0.5]), np.array([0, 1], np.int32), recent, 2, error=0.0)
    assert picking == pytest.approx(settled / 4)

    members = np.eye(2)[np.arange(400) % 2][:, None]
    alike = np.repeat(np.eye(2)[[0]], 400, axis=0)[:, None]
    validation = np.concatenate([members] * settled + [alike] * (4 - settled), axis=1)
    buying = market.information_gain(members, validation, np.random.default_rng(0))
    assert buying[0] == pytest.approx(settled / 4, abs=0.02)


def test_acquisition_counts_the_share_of_promises_that_is_kept():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    bits = label_information(x, y, x[:5] + 0.1, x, 2, rng)
    assert (bits > 0).any()
    assert (bits <= KEPT).all()
    # before two classes are owned, nothing is believed yet
    assert label_information(x, np.zeros(60, int), x[:5], x, 2, rng).tolist() == [1.0] * 5
