"""What accuracy cleaning can reach: a belief, for whoever must choose between cleaning and labelling.

Bounds say nothing where most rows are uncertain, and random worlds understate what the right one reaches. The expected
accuracy is linear in the prior of each candidate, so raising the priors of candidates that help ascends it towards a
good world; because the best world for some points need not be as good for others, priors are fitted on one half of
the validation points and scored on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.cpclean.neighbours import Bools, Floats, Ints, Lists
from easeml.cpclean.steps import World, world_of
from easeml.cpclean.study import Study, studies

_ROUNDS = 13
_RATE = 2.0
_TRUST = 1e10
"""A belief need not be exact."""
_DROPPED = 1e-3
"""Candidates that have become less likely than that are out."""
_LINES = 200_000
"""Lines of neighbour lists looked at, about two seconds of work; of the points of longer lists a sample is."""


@dataclass(frozen=True, slots=True)
class Potential:
    """Belief about the accuracy that cleaning can reach.

    Parameters
    ----------
    accuracy : float
        Best reachable validation accuracy, cross-fitted.
    expected : float
        Expected validation accuracy over the worlds as they are now.
    certain : float
        Share of the predictions that are certain.
    """

    accuracy: float
    expected: float
    certain: float


def potential_of(
    lists: Lists, world: World, truth: NDArray[np.int32], mass: Floats, certain: Bools, k: int, rng: np.random.Generator
) -> Potential:
    """Return the potential of a training set. Cost about 13 scans of the uncertain points, or of a sample of them.

    Parameters
    ----------
    lists : Lists
        Neighbour lists of the v points.
    world : World
    truth : ndarray of int32, shape (v,)
        Labels of the points.
    mass : ndarray of float64, shape (v, c)
        Label masses of the points.
    certain : ndarray of bool, shape (v,)
    k : int
    rng : Generator
        Draws the points and divides them into halves.
    """
    points, classes = mass.shape
    if not points:
        return Potential(0.0, 0.0, 1.0)
    right = mass[np.arange(points), truth]
    expected = float(right.mean())
    # Points that are certain teach nothing.
    halves = _halves(np.diff(lists.pointer), np.flatnonzero(~certain), rng)
    gained, scored = 0.0, 0
    for fitted, other in (halves, halves[::-1]):
        found = _ascended(lists.take(fitted), world, truth[fitted], classes, k)
        reached = _right(_living(lists.take(other), found), found, truth[other], classes, k)
        gained, scored = gained + float((reached - right[other]).sum()), scored + len(reached)
    share = float((~certain).mean())
    # The best world is at least as good as the mean of all.
    return Potential(expected + max(gained, 0.0) / max(scored, 1) * share, expected, float(certain.mean()))


def _halves(sizes: Ints, points: Ints, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Return masks of two disjoint halves of the points, or of as many of them as are not too much work."""
    drawn = rng.permutation(points)
    few = int(np.searchsorted(np.cumsum(sizes[drawn]), _LINES)) + 1
    one, other = np.zeros((2, len(sizes)), bool)
    one[drawn[:few:2]] = other[drawn[1:few:2]] = True
    return one, other


def _ascended(lists: Lists, world: World, truth: NDArray[np.int32], classes: int, k: int) -> World:
    for _ in range(_ROUNDS):
        slope = np.zeros(len(world.prior))
        base = np.zeros(len(world.count))
        lists = _living(lists, world)
        for study in studies(lists, world, classes, k, _TRUST):
            _add_slopes(study, truth, slope, base)
        world = _raised(world, _RATE * (slope + base[world.owner]))
    return world


def _add_slopes(study: Study, truth: NDArray[np.int32], slope: Floats, base: Floats) -> None:
    """Add by how much each candidate, once known, makes the true labels of the study's points more likely."""
    mine = truth[study.points]
    candidate, size = study.lists.candidate, np.diff(study.steps.line)
    for one in study.conditionals:
        label = mine[one.point]
        pairs = np.arange(len(label))
        rest = one.rest[pairs, label]
        base += np.bincount(one.row, rest - study.mass[one.point, label], minlength=len(base))
        step = np.zeros(len(size) + 1)
        step[one.step] = one.mass[pairs[:, None], np.arange(one.step.shape[1]), label[:, None]] - rest[:, None]
        slope += np.bincount(candidate, np.repeat(step[:-1], size), minlength=len(slope))


def _raised(world: World, exponent: Floats) -> World:
    """Return the world with priors multiplied by the exponentials, and without what has become unlikely."""
    live = world.prior > 0
    owner = world.owner[live]
    top = np.full(len(world.count), -np.inf)
    np.maximum.at(top, owner, exponent[live])
    raised = world.prior[live] * np.exp(exponent[live] - top[owner])
    for _ in range(2):
        raised /= np.bincount(owner, raised, minlength=len(top))[owner]
        raised[raised < _DROPPED] = 0.0
    prior = np.zeros(len(world.prior))
    prior[live] = raised / np.bincount(owner, raised, minlength=len(top))[owner]
    return world_of(world.owner, prior, world.label, len(world.count))


def _living(lists: Lists, world: World) -> Lists:
    return lists.select(world.prior[lists.candidate] > 0)


def _right(lists: Lists, world: World, truth: NDArray[np.int32], classes: int, k: int) -> Floats:
    """Return the mass of the true label of each point."""
    out = np.zeros(len(truth))
    for study in studies(lists, world, classes, k, _TRUST):
        out[study.points] = study.mass[np.arange(len(study.points)), truth[study.points]]
    return out
