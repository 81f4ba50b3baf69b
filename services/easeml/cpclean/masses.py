"""Label masses of points and what they become once a row is known, by one scan of the steps (Q2, sort-scan).

At a step of row b with prior p, the rows passed before make a tally of size K - 1 with the mass that stands at that
tally in prod_n (alpha_n + beta_n z_{y_n}) over the rows n != b. Per class this is, with r = beta / alpha, the product
of all alpha times the elementary symmetric polynomials of r, which follow from its power sums (Newton); finished rows
are an integer shift. A row i is taken out of the product by a short series in its own r, and its r stays what it is
between two of its own steps: so the sums over time of everything the conditionals P(. | row i = j) need are
differences of running sums that all rows share, and a scan costs O(s) instead of O(s n) for s steps and n rows.
Source: Karlas et al., PVLDB 14(3), 2021, section 3 (sort-scan); the running sums are derived here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from easeml.cpclean.neighbours import Bools, Floats, Ints
from easeml.cpclean.steps import Rows, Steps
from easeml.cpclean.tallies import Tallies, tallies_of

UNASSIGNED = 1e-14
"""Mass of worlds that a scan may leave out; 1e-6 hides rows that matter and wastes twice as many answers."""
EXACT = 1e4
"""Largest (beta / alpha)^(K - 1) that the series may meet: about 1e-12 is lost to rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditionals:
    """Label masses of points once a row is known.

    Attributes
    ----------
    point, row : ndarray of int64, shape (g,)
    step : ndarray of int64, shape (g, width)
        Flat steps; the number of all steps where there is none.
    prior : ndarray of float64, shape (g, width)
    mass : ndarray of float64, shape (g, width, c)
        P(label | the row is what comes at the step).
    rest_prior : ndarray of float64, shape (g,)
    rest : ndarray of float64, shape (g, c)
        P(label | the row is a candidate that is not on the list).
    """

    point: Ints
    row: Ints
    step: Ints
    prior: Floats
    mass: Floats
    rest_prior: Floats
    rest: Floats

    def of_points(self, chosen: Bools) -> Conditionals:
        """Return those of the chosen points; ``chosen`` is a mask of all points."""
        mine = chosen[self.point]
        if mine.all():
            return self
        return Conditionals(
            self.point[mine],
            self.row[mine],
            self.step[mine],
            self.prior[mine],
            self.mass[mine],
            self.rest_prior[mine],
            self.rest[mine],
        )

    def information(self, mass: Floats) -> Floats:
        """Return by how much knowing the row is expected to lower the entropy of the point, in nats, shape (g,).

        Parameters
        ----------
        mass : ndarray of float64, shape (points, c)
            Label masses of the points.
        """
        now = entropy(mass)[self.point]
        after = (self.prior * entropy(self.mass)).sum(axis=1) + self.rest_prior * entropy(self.rest)
        return np.asarray(np.maximum(now - after, 0.0))


def entropy(mass: Floats) -> Floats:
    """Return the entropy over the last axis in nats."""
    return np.asarray(entr(np.maximum(mass, 0.0)).sum(axis=-1))


class Scan:
    """Scan of the steps of some points. The candidates of a row must not differ in their labels.

    Parameters
    ----------
    steps : Steps
    classes, k : int
    trust : float
        Largest (beta / alpha)^(K - 1) of a row; 1e-16 times that may be lost to rounding.

    Attributes
    ----------
    mass : ndarray of float64, shape (points, c)
        Label masses.
    lossy : ndarray of bool, shape (points,)
        Points of which rounding may spoil too much: they need ``easeml.cpclean.products``.
    """

    def __init__(self, steps: Steps, classes: int, k: int, trust: float = EXACT) -> None:
        # Only classes that occur cost anything.
        self._present, label = np.unique(steps.label, return_inverse=True)
        self._k, self._classes, self._rows = k, classes, steps.rows
        self._place = np.append(label, 0)
        tallies = tallies_of(len(self._present), k)
        grid = _Grid(steps, label, k, trust)
        self.lossy = grid.lossy
        self._time = np.append(steps.time(), grid.width)
        winning = _winning(grid, tallies)
        few = len(self._present)
        # What a step of mass 1 would give, label by label; running sums start at 0.
        self._own = winning[:few]
        self._sums = np.zeros((*winning.shape[:2], grid.width + 1))
        np.cumsum(winning * grid.prior, axis=2, out=self._sums[:, :, 1:])
        self.mass = self._all_classes(self._sums[:few, :, -1].T)

    def conditionals(self) -> Iterator[Conditionals]:
        """Yield what the uncertain rows of the lists do to their points."""
        width = self._sums.shape[2] - 1
        for rows in self._rows:
            near = self._time[rows.step[:, 0]] < width
            if near.any():
                yield self._conditionals(rows.select(near))
            if not near.all():
                yield self._nothing(rows.select(~near))

    def _nothing(self, rows: Rows) -> Conditionals:
        """Return the conditionals of rows that come only once everything is assigned."""
        none = rows.step[:, :0]
        mass = self.mass[rows.point]
        return Conditionals(
            rows.point, rows.row, none, rows.prior[:, :0], mass[:, None][:, :0], np.ones(len(none)), mass
        )

    def _conditionals(self, rows: Rows) -> Conditionals:
        few, width = len(self._present), self._sums.shape[2] - 1
        time = np.minimum(self._time[rows.step], width)
        origin = rows.point[:, None] * (width + 1)
        opens = origin + np.hstack([np.zeros_like(time[:, :1]), np.minimum(time + 1, width)])
        closes = origin + np.hstack([time, np.full_like(time[:, :1], width)])
        at = rows.point[:, None] * width + np.minimum(time, width - 1)
        done = rows.alpha <= 0
        alpha = np.where(done, 1.0, rows.alpha)
        ratio = rows.beta / alpha
        block = (1 + self._place[rows.step[:, 0]] * (self._k - 1)) * few
        mass, rest = np.empty((*time.shape, few)), np.empty((len(time), few))
        for label in range(few):
            # The row in: Horner's scheme in -beta / alpha, from the most votes of its class down.
            inside = np.zeros(opens.shape)
            for votes in range(self._k - 1, 0, -1):
                inside *= -ratio
                inside += self._between(block + (votes - 1) * few + label, opens, closes)
            inside /= alpha
            every = self._between(np.full(len(time), label), opens, closes)
            out = np.where(done, 0.0, (every - rows.beta * inside) / alpha)
            before = np.cumsum(out, axis=1)
            after = np.cumsum(np.where(done, every, inside)[:, :0:-1], axis=1)[:, ::-1]
            own = np.where(time < width, self._own[label].reshape(-1)[at], 0.0)
            mass[:, :, label] = before[:, :-1] + own + after
            rest[:, label] = before[:, -1]
        return Conditionals(
            rows.point, rows.row, rows.step, rows.prior, self._all_classes(mass), rows.rest, self._all_classes(rest)
        )

    def _between(self, line: Ints, opens: Ints, closes: Ints) -> Floats:
        """Return the sums of a line of the running sums over stretches of time."""
        flat, shift = self._sums.reshape(-1), (line * self._sums[0].size)[:, None]
        return np.asarray(flat[closes + shift] - flat[opens + shift])

    def _all_classes(self, mass: Floats) -> Floats:
        if len(self._present) == self._classes:
            return mass
        out = np.zeros((*mass.shape[:-1], self._classes))
        out[..., self._present] = mass
        return out


class _Grid:
    """Steps as matrices of points x time, up to where nothing is left to assign."""

    def __init__(self, steps: Steps, label: Ints, k: int, trust: float) -> None:
        width = int(np.diff(steps.pointer).max())
        # The first step beyond the limit is met with exact numbers before it, so its point is found to be lossy.
        limit = 10.0 * trust ** (1 / max(k - 1, 1))
        before = np.minimum(steps.beta_before / steps.alpha_before, limit)
        after = np.where(steps.finished, 0.0, steps.beta / np.where(steps.finished, 1.0, steps.alpha))
        after = np.minimum(after, limit)
        fall = np.log(np.where(steps.finished, 1.0, steps.alpha) / steps.alpha_before)
        self.k = k
        self.before, self.after = steps.padded(before, width), steps.padded(after, width)
        self.fall, self.finished = steps.padded(fall, width), steps.padded(steps.finished, width)
        self.inside = np.arange(width) < np.diff(steps.pointer)[:, None]
        left = np.exp(_before(self.fall)) * self._unassigned()
        self.inside &= np.logical_and.accumulate(left >= UNASSIGNED, axis=1)
        self.width = int(self.inside.sum(axis=1).max(initial=0))
        for name in ("before", "after", "fall", "finished", "inside"):
            setattr(self, name, getattr(self, name)[:, : self.width])
        self.label = steps.padded(label, self.width)
        self.prior = np.where(self.inside, steps.padded(steps.prior, self.width), 0.0)
        lost = self.inside & (self.after ** (k - 1) > trust)
        self.lossy = np.asarray(lost.any(axis=1))
        alpha = np.where(self.inside, steps.padded(steps.alpha_before, self.width), 1.0)
        # All other rows: the step's own row is left out of the product.
        self.outside = np.exp(_before(self.fall)) / alpha

    def _unassigned(self) -> Floats:
        """Return, relative to the product of all alpha, the mass of the worlds in which fewer than K rows passed."""
        done = _before(self.finished.astype(np.int64))
        power = [_before(self.after**votes - self.before**votes) for votes in range(1, self.k)]
        total = np.zeros(done.shape)
        for votes, one in enumerate(_symmetric(power, done.shape)):
            total += np.where(done <= self.k - 1 - votes, one, 0.0)
        return total

    def polynomial(self, label: int) -> list[Floats]:
        """Return the mass of 0, 1, ... K - 1 of a class's other rows, relative to ``outside``, at each step."""
        mine = self.label == label
        power = []
        for votes in range(1, self.k):
            gone = np.where(mine, self.before**votes, 0.0)
            power.append(_before(np.where(mine, self.after**votes, 0.0) - gone) - gone)
        plain = _symmetric(power, mine.shape)
        done = _before((self.finished & mine).astype(np.int64))
        if not done.any():
            return plain
        return [self._shifted(plain, done, votes) for votes in range(self.k)]

    @staticmethod
    def _shifted(plain: list[Floats], done: Ints, votes: int) -> Floats:
        """Return the mass of so many votes where ``done`` of them are certain."""
        out = np.zeros(done.shape)
        for shift in range(votes + 1):
            out += np.where(done == shift, plain[votes - shift], 0.0)
        return out


def _winning(grid: _Grid, tallies: Tallies) -> Floats:
    """Return what a step of mass 1 adds per line of ``Tallies.winners``, shape (lines, points, time)."""
    found = [grid.outside]
    sizes = [0]
    for label in range(tallies.counts.shape[1]):
        mass = grid.polynomial(label)
        found = [one * mass[votes] for one, size in zip(found, sizes, strict=True) for votes in range(grid.k - size)]
        sizes = [size + votes for size in sizes for votes in range(grid.k - size)]
    flat = np.stack(found).reshape(len(found), -1)
    lines = tallies.winners[0].shape[0]
    out = np.zeros((lines, flat.shape[1]))
    for label, winners in enumerate(tallies.winners):
        mine = np.flatnonzero(grid.inside & (grid.label == label))
        out[:, mine] = winners @ flat[:, mine]
    return out.reshape(lines, *grid.inside.shape)


def _symmetric(power: list[Floats], shape: tuple[int, ...]) -> list[Floats]:
    """Return the elementary symmetric polynomials of degree 0, 1, ... from power sums (Newton's identities)."""
    found = [np.ones(shape)]
    for degree in range(1, len(power) + 1):
        total = np.zeros(shape)
        for part in range(1, degree + 1):
            total += (-1) ** (part - 1) * found[degree - part] * power[part - 1]
        # Rounding may leave less than nothing.
        found.append(np.maximum(total / degree, 0.0))
    return found


def _before(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of what comes before each place of the last axis."""
    out = np.zeros_like(values)
    np.cumsum(values[:, :-1], axis=1, out=out[:, 1:])
    return out
