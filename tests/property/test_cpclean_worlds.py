"""Certain predictions against every possible world, whatever the rows, priors, ties and answers are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.cpclean import CandidateRows, CertainPredictions, certain_predictions
from easeml.cpclean import products as slow_way
from easeml.cpclean.masses import Scan, entropy
from easeml.cpclean.neighbours import neighbour_lists
from easeml.cpclean.possible import possible_labels
from easeml.cpclean.products import Product
from easeml.cpclean.steps import steps_of, world_of


def every_world(sizes, features, prior, label, points, k, classes):
    """Return which labels are possible, their masses, and the masses given each candidate."""
    pointer = np.concatenate(([0], np.cumsum(sizes)))
    near = 1 / (1 + np.sqrt(((points[:, None] - features) ** 2).sum(axis=2)))
    possible = np.zeros((len(points), classes), bool)
    mass, given_one = np.zeros((len(points), classes)), np.zeros((len(points), len(features), classes))
    for world in itertools.product(*(range(a, b) for a, b in itertools.pairwise(pointer))):
        chosen = np.array(world)
        weight = prior[chosen].prod()
        if weight <= 0:
            continue
        for point in range(len(points)):
            nearest = np.argsort(-near[point, chosen], kind="stable")[:k]
            winner = np.bincount(label[chosen[nearest]], minlength=classes).argmax()
            possible[point, winner] = True
            mass[point, winner] += weight
            given_one[point, chosen, winner] += weight / prior[chosen]
    return possible, mass, given_one


def tiny(seed, mixed=False):
    """Return a training set with ties, uneven priors and priors of 0, and points."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 6))
    sizes = rng.integers(1, 4, size=rows)
    owner = np.repeat(np.arange(rows), sizes)
    classes = int(rng.integers(2, 5))
    label = rng.integers(classes, size=len(owner)) if mixed else rng.integers(classes, size=rows)[owner]
    prior = [np.ones(len(owner)), rng.random(len(owner)), rng.random(len(owner)) ** 6][seed % 3]
    first = np.append(True, owner[1:] != owner[:-1])
    prior = np.where(first | (rng.random(len(owner)) < 0.9), prior + 1e-4, 0.0)
    prior /= np.bincount(owner, prior)[owner]
    features = rng.integers(4, size=(len(owner), 2)).astype(float)
    points = rng.integers(4, size=(2, 2)).astype(float)
    return sizes, features, prior, label, points, int(rng.integers(1, min(rows, 5) + 1)), classes, rng


def predictions(sizes, features, prior, label, points, k, classes, rng):
    pointer = np.concatenate(([0], np.cumsum(sizes)))
    return CertainPredictions(CandidateRows(pointer, features, prior), label, points, k=k, n_classes=classes, rng=rng)


def current(made):
    """Return the rows of predictions as they are now."""
    book = made._book
    places = book.living()
    sizes = np.bincount(book.owner[places], minlength=made.rows)
    return (sizes, book.features[places], book.prior[places], book.label[places]), book.owner[places]


def check(made):
    """Compare everything that predictions say with every world."""
    rows, owner = current(made)
    possible, mass, given_one = every_world(*rows, made._validation, made.k, made.n_classes)
    np.testing.assert_array_equal(made.certain, possible.sum(axis=1) == 1)
    np.testing.assert_allclose(made.label_mass, mass, atol=1e-12)
    drop = entropy(mass)
    gain = np.zeros(made.rows)
    open_ = np.flatnonzero(~made.certain)
    for row in np.flatnonzero(rows[0] > 1):
        own = owner == row
        after = (rows[2][own] * entropy(given_one[:, own])).sum(axis=1)
        gain[row] = (drop - after)[open_].sum() / max(len(open_), 1)
    np.testing.assert_allclose(made.gain, gain, atol=1e-9)
    for row in np.flatnonzero(rows[0] > 1).tolist():
        own, every = np.flatnonzero(owner == row), made.candidates_of(row)[1]
        part = np.arange(len(every)) % 2
        mine, told = part[every > 0], 0.0
        for side in (0, 1):
            share = rows[2][own][mine == side]
            if len(share):
                joint = (share[:, None] * given_one[:, own[mine == side]]).sum(axis=1) / share.sum()
                told += (share.sum() * entropy(joint))[open_].sum()
        np.testing.assert_allclose(made.bits_of_part(row, part) * np.log(2), drop[open_].sum() - told, atol=1e-9)
    best = made.next()
    assert len(best) == (0 if made.done else 1)
    if len(best) and gain.max() > 1e-6:
        assert gain[best[0]] >= gain.max() - 2e-9
    return gain


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**9), st.booleans())
def test_everything_agrees_with_every_world(seed, mixed):
    check(predictions(*tiny(seed, mixed)))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**9))
def test_the_batch_form_says_the_same(seed):
    sizes, features, prior, label, points, k, classes, _ = tiny(seed)
    pointer = np.concatenate(([0], np.cumsum(sizes)))
    certain, mass = certain_predictions(pointer, features, prior, label, points, k=k, n_classes=classes)
    possible, expected, _ = every_world(sizes, features, prior, label, points, k, classes)
    np.testing.assert_array_equal(certain, possible.sum(axis=1) == 1)
    np.testing.assert_allclose(mass, expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**9), st.data())
def test_after_any_news_it_is_as_if_it_had_begun_so(seed, data):
    made = predictions(*tiny(seed, seed % 4 == 0))
    for version in range(4):
        row = data.draw(st.integers(0, made.rows - 1))
        own = len(made.candidates_of(row)[1])
        point = np.array(data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))), float)
        match data.draw(st.sampled_from(["answer", "outside", "prior", "rows", "points"])):
            case "answer":
                made.answer(row, data.draw(st.integers(0, own - 1)), version)
            case "outside":
                made.answer(row, point, version)
            case "prior":
                weight = np.array([data.draw(st.sampled_from([0.0, 1.0, 3.0])) for _ in range(own)])
                weight = weight if weight.any() else np.ones(own)
                made.set_prior(row, weight / weight.sum(), version)
            case "rows":
                other = CandidateRows(np.array([0, 2]), np.stack([point, point[::-1]]), np.array([0.3, 0.7]))
                place = data.draw(st.sampled_from([None, [row]]))
                made.add_rows(other, [data.draw(st.integers(0, made.n_classes - 1))], version, rows=place)
            case _:
                made.add_validation(point[None], version)
        gain = check(made)
        again = CertainPredictions.from_state(made.state(), np.random.default_rng(0))
        np.testing.assert_allclose(again.gain, gain, atol=1e-9)
        np.testing.assert_array_equal(again.certain, made.certain)
        np.testing.assert_allclose(again.label_mass, made.label_mass, atol=1e-13)
        for point in np.flatnonzero(~made.certain):
            np.testing.assert_array_equal(again._lists[point][0], made._lists[point][0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9))
def test_the_fast_and_the_slow_way_agree(seed):
    sizes, features, prior, label, points, k, classes, _ = tiny(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    world = world_of(owner.astype(np.int32), prior, label.astype(np.int32), len(sizes))
    live = np.flatnonzero(prior > 0)
    lists = neighbour_lists(points[:1], features[live], owner[live], live.astype(np.int32), k)
    steps = steps_of(lists, world)
    product, scan = Product(steps, classes, k), Scan(steps, classes, k)
    mass, found = product.masses()
    np.testing.assert_array_equal(product.possible, possible_labels(steps, classes, k)[0])
    if not scan.lossy[0]:
        np.testing.assert_allclose(scan.mass, mass, atol=1e-12)
        fast = {int(one.row[i]): one.information(mass)[i] for one in scan.conditionals() for i in range(len(one.row))}
        told = dict(zip(found.row.tolist(), found.information(mass), strict=True))
        assert fast.keys() == told.keys()
        assert all(abs(fast[row] - told[row]) < 1e-9 for row in fast)


@pytest.mark.parametrize("at_once", [1, 30, 1 << 21])
def test_the_slow_way_does_not_depend_on_its_blocks(monkeypatch, at_once):
    monkeypatch.setattr(slow_way, "_AT_ONCE", at_once)
    for seed in range(0, 40, 4):
        check(predictions(*tiny(seed, mixed=True)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**9))
def test_certain_at_the_end_means_what_the_clean_rows_say(seed):
    sizes, features, prior, label, points, k, classes, rng = tiny(seed)
    made = predictions(sizes, features, prior, label, points, k, classes, rng)
    truth = [int(rng.choice(np.flatnonzero(made.candidates_of(row)[1] > 0))) for row in range(made.rows)]
    asked = 0
    while not made.done:
        row = int(made.next()[0])
        assert made.uncertain_rows[row]
        made.answer(row, truth[row], 0)
        asked += 1
    assert asked <= (sizes > 1).sum()
    starts = np.concatenate(([0], np.cumsum(sizes)))[:-1] + truth
    ones = np.ones(len(sizes), int)
    _, clean, _ = every_world(ones, features[starts], np.ones(len(sizes)), label[starts], points, k, classes)
    np.testing.assert_array_equal(made.label_mass, clean)
