"""Everything about points at once: which are certain, their label masses, and what each row would tell about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.cpclean.masses import EXACT, Conditionals, Scan, entropy
from easeml.cpclean.neighbours import Bools, Floats, Ints, Lists
from easeml.cpclean.possible import possible_labels
from easeml.cpclean.products import Product
from easeml.cpclean.steps import Steps, World, steps_of

_AT_ONCE = 1 << 17
"""Steps, padded, times classes, studied at once: what fits the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What is known about some points.

    Attributes
    ----------
    points : ndarray of int64, shape (p,)
        Which points of the lists.
    possible : ndarray of bool, shape (p, c)
        Labels of some world.
    mass : ndarray of float64, shape (p, c)
        Label masses; exactly 0 and 1 where one label is possible.
    conditionals : tuple of Conditionals
        Of the uncertain points and rows; ``point`` counts within ``points``.
    lists : Lists
        Lists of the points, up to where K rows are finished.
    steps : Steps
        Their steps, of which the conditionals speak.
    """

    points: Ints
    possible: Bools
    mass: Floats
    conditionals: tuple[Conditionals, ...]
    lists: Lists
    steps: Steps

    def information(self) -> list[tuple[NDArray[np.int32], Floats]]:
        """Return, for each point, the uncertain rows on its list and the nats that each is expected to tell."""
        found = [(one.point, one.row, one.information(self.mass)) for one in self.conditionals]
        if not found:
            return [(np.empty(0, np.int32), np.empty(0))] * len(self.points)
        point, row, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((row, point))
        bounds = np.searchsorted(point[order], np.arange(1, len(self.points)))
        rows, values = row[order].astype(np.int32), value[order]
        return list(zip(np.split(rows, bounds), np.split(values, bounds), strict=True))

    def information_of_part(self, row: int, places: Ints, prior: Floats, group: Ints) -> float:
        """Return the nats that the group of a row's candidate is expected to tell about the points.

        Parameters
        ----------
        row : int
            The row.
        places : ndarray of int64, shape (m,)
            Its candidates, ascending.
        prior : ndarray of float64, shape (m,)
        group : ndarray of int64, shape (m,)
        """
        belief = np.bincount(group, prior)
        line, total = self.steps.line, 0.0
        for one in self.conditionals:
            for at in np.flatnonzero(one.row == row).tolist():
                given = np.repeat(one.rest[at : at + 1], len(places), axis=0)
                for step, mass in zip(one.step[at].tolist(), one.mass[at], strict=True):
                    if step < len(self.steps):
                        given[np.searchsorted(places, self.lists.candidate[line[step] : line[step + 1]])] = mass
                joint = np.zeros((len(belief), given.shape[1]))
                np.add.at(joint, group, prior[:, None] * given)
                after = belief @ entropy(joint / np.where(belief > 0, belief, 1.0)[:, None])
                total += max(float(entropy(self.mass[one.point[at]]) - after), 0.0)
        return total


def studies(lists: Lists, world: World, classes: int, k: int, trust: float = EXACT) -> Iterator[Study]:
    """Yield studies of all points, points with lists of similar length together."""
    sizes = np.diff(lists.pointer)
    order = np.argsort(sizes, kind="stable")
    budget = _AT_ONCE // max(classes, 2)
    start = 0
    while start < len(order):
        # The last list of a block is its longest.
        stop = start + 1
        while stop < len(order) and sizes[order[stop]] * (stop + 1 - start) <= budget:
            stop += 1
        points = np.sort(order[start:stop])
        yield from _divided(points, _taken(lists, points), world, classes, k, trust)
        start = stop


def _taken(lists: Lists, points: Ints) -> Lists:
    chosen = np.zeros(len(lists.pointer) - 1, bool)
    chosen[points] = True
    return lists.take(chosen)


def _divided(points: Ints, lists: Lists, world: World, classes: int, k: int, trust: float) -> Iterator[Study]:
    """Yield the study of the points that one scan can do, and one of each that it cannot."""
    steps = steps_of(lists, world)
    needed = steps.needed(k)
    if not needed.all():
        lists = lists.select(np.repeat(needed, np.diff(steps.line)))
        steps = steps_of(lists, world)
    slow = np.logical_or.reduceat(world.mixed[steps.row], steps.pointer[:-1])
    if not slow.any():
        possible = possible_labels(steps, classes, k)
        open_ = possible.sum(axis=1) > 1
        mass = possible.astype(np.float64)
        if not open_.any():
            yield Study(points, possible, mass, (), lists, steps)
            return
        scan = Scan(steps, classes, k, trust)
        slow = scan.lossy & open_
        if not slow.any():
            mass[open_] = scan.mass[open_]
            found = tuple(one.of_points(open_) for one in scan.conditionals())
            yield Study(points, possible, mass, found, lists, steps)
            return
    if not slow.all():
        yield from _divided(points[~slow], lists.take(~slow), world, classes, k, trust)
    for point in np.flatnonzero(slow).tolist():
        alone = np.arange(len(points)) == point
        yield _alone(points[alone], lists.take(alone), world, classes, k)


def _alone(points: Ints, lists: Lists, world: World, classes: int, k: int) -> Study:
    steps = steps_of(lists, world)
    product = Product(steps, classes, k)
    possible = product.possible[None]
    if possible.sum() == 1:
        return Study(points, possible, possible.astype(np.float64), (), lists, steps)
    mass, found = product.masses()
    return Study(points, possible, mass, (found,), lists, steps)
