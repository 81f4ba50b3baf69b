"""What is asked, what it costs, and what a label says."""

import numpy as np
import pytest

from easeml.market import Acquisition, information_gain, label_values, suspects
from easeml.market.diversity import k_center, nearest_distances, spacing, thin
from easeml.market.prediction import predicted_values, resemblance

POLICIES = ["filter_margin", "filter_diverse", "value", "margin", "random"]


def clusters(rng, n, classes=3, spread=0.5):
    y = rng.integers(0, classes, n)
    return np.column_stack([np.cos(2 * y), np.sin(2 * y)]) * 3 + rng.normal(size=(n, 2)) * spread, y


def shop(policy, rng, **settings):
    market = Acquisition(policy, n_classes=3, rng=np.random.default_rng(1), **settings)
    x, y = clusters(rng, 40)
    market.add_owned([f"o{i}" for i in range(40)], x, y)
    x, y = clusters(rng, 60)
    market.add_validation([f"v{i}" for i in range(60)], x, y)
    return market


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_asks_each_row_once_and_ends(policy):
    rng = np.random.default_rng(0)
    market = shop(policy, rng)
    market.add_pool([f"p{i}" for i in range(50)], clusters(rng, 50)[0])
    asked = [market.next(20) for _ in range(4)]
    assert [len(batch) for batch in asked] == [20, 20, 10, 0]
    assert len({row for batch in asked for row in batch.row_ids}) == 50
    assert market.spent == 50


def test_the_filter_leaves_junk_in_the_pool():
    rng = np.random.default_rng(0)
    good, junk = clusters(rng, 60)[0], rng.uniform(-9, 9, size=(140, 2))
    useful = {}
    for policy in ("filter_margin", "filter_diverse", "random", "margin"):
        market = shop(policy, np.random.default_rng(3))
        market.add_pool([f"{i}" for i in range(200)], np.vstack([good, junk]))
        useful[policy] = sum(int(row) < 60 for row in market.next(30).row_ids)
    assert min(useful["filter_margin"], useful["filter_diverse"]) >= 20
    assert max(useful["random"], useful["margin"]) <= 15


def test_copies_of_owned_rows_come_last():
    rng = np.random.default_rng(0)
    market = shop("filter_margin", rng)
    owned = market.owned[0]
    fresh = clusters(rng, 40)[0]
    market.add_pool([f"{i}" for i in range(80)], np.vstack([owned + 1e-6, fresh]))
    assert all(int(row) >= 40 for row in market.next(20).row_ids)


def test_a_batch_does_not_repeat_itself():
    rng = np.random.default_rng(0)
    market = shop("filter_margin", rng)
    rows = clusters(rng, 40)[0]
    market.add_pool([f"{i}" for i in range(80)], np.vstack([rows, rows + 1e-7]))
    asked = [int(row) % 40 for row in market.next(15).row_ids]
    assert len(set(asked)) == 15


def test_cheaper_rows_of_the_same_worth_come_first():
    for policy in ("margin", "filter_margin", "value"):
        rng = np.random.default_rng(0)
        market = shop(policy, rng, budget=30)
        rows = np.repeat(clusters(rng, 30)[0], 2, axis=0)
        market.add_pool([f"{i}" for i in range(60)], rows, np.tile([1.0, 3.0], 30))
        batch = market.next(60)
        assert batch.cost.sum() <= 30
        assert (batch.cost[:10] == 1).mean() >= 0.9


def test_a_row_too_dear_makes_room_for_the_next():
    market = Acquisition("margin", budget=2.0, n_classes=2, rng=np.random.default_rng(0))
    market.add_owned(["a", "b"], [[0.0], [1.0]], [0, 1])
    market.add_pool(["dear", "cheap"], [[0.5], [0.9]], [2.5, 2.0])
    assert market.next(2).row_ids == ("cheap",)
    market.grant(10.0)
    assert market.next(2).row_ids == ("dear",)


def test_withdrawn_questions_return_their_price():
    market = Acquisition(budget=1, n_classes=2, rng=np.random.default_rng(0))
    market.add_pool(["p", "q"], [[0.0], [1.0]])
    first = market.next(2).row_ids
    assert len(market.next(1)) == 0
    assert market.withdraw(first[0])
    second = market.next(2).row_ids
    assert set(first + second) == {"p", "q"}
    # a late answer is still worth having
    assert market.answer(first[0], 1)
    assert market.spent == 1


def test_rows_encoded_anew_keep_questions_and_answers():
    market = Acquisition(budget=3, n_classes=2, rng=np.random.default_rng(0))
    market.add_owned(["a"], [[0.0]], [0])
    market.add_pool(["p", "q", "r"], [[0.0], [1.0], [2.0]])
    asked = market.next(2).row_ids
    market.answer(asked[0], 1)
    wide = {"a": [0.0, 0.0], "p": [0.0, 1.0], "q": [1.0, 1.0], "r": [2.0, 1.0]}
    market.reload(
        (["a"], [wide["a"]], [0]), ([], np.empty((0, 2)), []), (["p", "q", "r"], [wide[row] for row in "pqr"], None)
    )
    x, y = market.owned
    np.testing.assert_array_equal(x, [wide["a"], wide[asked[0]]])
    assert y.tolist() == [0, 1]
    assert set(market.open) == {asked[1]}
    assert set(market.next(5).row_ids) == set("pqr") - set(asked)


def test_a_row_that_becomes_training_data_is_asked_no_more_and_counts_once():
    market = Acquisition(n_classes=2, rng=np.random.default_rng(0))
    market.add_pool(["p", "q"], [[0.0], [1.0]])
    market.answer("p", 1)
    market.add_owned(["p"], [[0.0]], [1])
    assert market.owned[1].tolist() == [1]
    assert market.next(2).row_ids == ("q",)


def test_forecasts_without_evidence_are_not_trusted():
    rng = np.random.default_rng(0)
    x, pool = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    assert predicted_values(x, rng.normal(size=200), pool, rng).trust < 0.15
    assert resemblance(x, pool, rng).trust < 0.15
    assert predicted_values(x, x[:, 0], pool, rng).trust > 0.9
    assert resemblance(x, pool + 3, rng).trust > 0.9
    assert predicted_values(x[:3], x[:3, 0], pool, rng).trust == 0
    assert predicted_values(x, np.ones(200), pool, rng).trust == 0
    assert resemblance(x[:3], pool, rng).trust == 0


def test_resemblance_of_a_large_pool_is_learnt_from_a_part():
    rng = np.random.default_rng(0)
    pool = np.vstack([rng.normal(size=(3000, 2)), rng.normal(size=(3000, 2)) + 4])
    told = resemblance(rng.normal(size=(100, 2)), pool, rng)
    assert told.scores[:3000].mean() > 0.1
    assert told.scores[3000:].mean() < 0.01
    assert told.trust > 0.4


def test_information_is_that_of_labels_that_go_together():
    rng = np.random.default_rng(0)
    coin = rng.integers(0, 2, 400)
    tied = np.eye(2)[coin][:, None]
    other = np.eye(2)[rng.integers(0, 2, 400)][:, None]
    gains = information_gain(np.concatenate([tied, other, np.full((400, 1, 2), 0.5)], axis=1), tied, rng)
    np.testing.assert_allclose(gains, [1.0, 0.0, 0.0], atol=0.03)
    # three members that differ by chance alone do not pass for knowledge
    noise = rng.dirichlet([0.3] * 10, size=(3, 200))
    assert information_gain(noise, rng.dirichlet([0.3] * 10, size=(3, 50)), rng).mean() < 0.1
    assert information_gain(tied[:1], tied[:1], rng).tolist() == [0.0]
    assert information_gain(tied, tied[:, :0], rng).tolist() == [0.0]


def test_uncertain_rows_tell_more_than_sure_ones():
    rng = np.random.default_rng(0)
    market = shop("random", rng)
    middle = np.zeros((5, 2))
    market.add_pool([f"{i}" for i in range(10)], np.vstack([middle, np.tile([[3.0, 0.0]], (5, 1))]))
    batch = market.next(10)
    gains = dict(zip(batch.row_ids, batch.information_gain, strict=True))
    assert min(gains[str(i)] for i in range(5)) > max(gains[str(i)] for i in range(5, 10))


def test_wrong_labels_are_found_and_mended():
    rng = np.random.default_rng(0)
    x, y = clusters(rng, 200)
    wrong = rng.permutation(200)[:20]
    given = y.copy()
    given[wrong] = (y[wrong] + 1) % 3
    found = suspects(label_values(x, given, *clusters(rng, 100), n_classes=3), given)
    first = found.rows[:15]
    assert set(first.tolist()) <= set(wrong.tolist())
    np.testing.assert_array_equal(found.suggested[:15], y[first])
    assert (found.values < 0).all()
    assert (np.diff(found.values) >= 0).all()
    assert found.harm == pytest.approx(found.values.sum())
    assert (found.gain[:15] > 0).all()


def test_distances_and_spread():
    rows = np.array([[0.0], [1.0], [3.0], [3.1]])
    np.testing.assert_allclose(nearest_distances(rows, rows, others=True), [1.0, 1.0, 0.1, 0.1], atol=1e-7)
    assert np.isinf(nearest_distances(rows, rows[:0])).all()
    assert spacing(rows) == pytest.approx(0.55)
    assert spacing(rows[:1]) == 0
    assert thin(rows, 0.5, 3).tolist() == [0, 1, 2]
    assert thin(rows, 0.5, 4).tolist() == [0, 1, 2, 3]
    assert thin(rows[::-1], 1.5, 3).tolist() == [0, 2, 1]
    assert k_center(rows, rows[:1], 2).tolist() == [3, 1]
    assert k_center(rows, rows[:0], 9).tolist()[1] == 3
