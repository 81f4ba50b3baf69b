"""One bit is one bit: what askers promise is what answers bring, in log loss on the app's rows."""

import numpy as np
import pytest

from easeml import market
from easeml.cpclean import CandidateRows, CertainPredictions
from easeml.market.belief import KEPT, label_information
from easeml.modelpicker.information import Known, information_gain


@pytest.mark.parametrize("settled", [0, 1, 3])
def test_an_answer_that_settles_some_of_four_rows(settled):
    """A coin decides the predictions of ``settled`` rows of four; the answer tells how it fell."""
    # the doubtful row of class 1 lies either at the points in question or where it touches none
    rows = CandidateRows(np.array([0, 1, 3]), np.array([[1.0], [0.1], [1000.0]]), np.array([1.0, 0.5, 0.5]))
    points = np.array([[0.0]] * settled + [[2.0]] * (4 - settled))
    cleaning = CertainPredictions(rows, [0, 1], points, k=1, n_classes=2, rng=np.random.default_rng(0))
    assert cleaning.bits(np.array([1]))[0] / len(points) == pytest.approx(settled / 4)

    members = np.eye(2)[np.arange(400) % 2][:, None]
    alike = np.repeat(np.eye(2)[[0]], 400, axis=0)[:, None]
    validation = np.concatenate([members] * settled + [alike] * (4 - settled), axis=1)
    buying = market.information_gain(members, validation, np.random.default_rng(0))
    assert buying[0] == pytest.approx(settled / 4, abs=0.02)


def entropy(error):
    return -error * np.log2(error) - (1 - error) * np.log2(1 - error)


def test_picking_brings_about_what_it_promises():
    """Two models differ on a fifth of the rows, where either may be right; elsewhere both are, nine in ten."""
    rng = np.random.default_rng(0)
    votes, recent = np.array([[0, 1]], np.int32), np.array([[0, 1]] * 10 + [[0, 0]] * 40, np.int32)
    promised, brought = [], []
    for _ in range(300):
        chance, right = rng.random(), [[1, 1]] * 36 + [[0, 0]] * 4
        errors = 0.2 * np.array([1 - chance, chance]) + 0.08
        served = int(rng.integers(2))
        before = served
        for _ in range(20):
            known = Known(np.array(right, np.int8), np.ones(len(right)), 0.0, np.zeros(2))
            promised.append(information_gain(votes, recent, known, served, 2)[0])
            won = int(rng.random() < chance)
            right.append([won, 1 - won])
            served = int(np.sum(right, axis=0).argmax())
        brought.append(entropy(errors[before]) - entropy(errors[served]))
    # labels are promised a little more than they bring: each looks ahead to what several bring together
    assert 0.5 < np.mean(brought) / (20 * np.mean(promised)) < 1


def test_acquisition_counts_the_share_of_promises_that_is_kept():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    bits = label_information(x, y, x[:5] + 0.1, x, 2, rng)
    assert (bits > 0).all()
    assert (bits <= KEPT).all()
    # before two classes are owned, nothing is believed yet
    assert label_information(x, np.zeros(60, int), x[:5], x, 2, rng).tolist() == [1.0] * 5
