"""Possible labels, label masses and conditionals of one point by products over its rows: slow, general, stable.

At each step the other rows pass or do not pass independently; the mass of each tally of the passed ones is built row by
row, from the front and from the back, so that every row can be left out without a division. Candidates of a row may
differ in their labels (weak supervision), and priors may be as uneven as they like. ``easeml.cpclean.masses`` does the
same for many points at once where it can. Cost O(s n h) for s steps, n rows on the list and h tallies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from easeml.cpclean.masses import Conditionals
from easeml.cpclean.neighbours import Bools, Floats, Ints
from easeml.cpclean.steps import Steps
from easeml.cpclean.tallies import Tallies, tallies_of

_AT_ONCE = 1 << 21
"""Numbers kept in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """What has passed of the n rows of a list before each of some steps, the step's own row left out.

    Attributes
    ----------
    start, stop : int
        The steps.
    alpha : ndarray of float64, shape (stop - start, n)
    beta : ndarray of float64, shape (stop - start, n, c)
        By label.
    """

    start: int
    stop: int
    alpha: Floats
    beta: Floats


class Product:
    """The steps of one point, row by row.

    Parameters
    ----------
    steps : Steps
        Of one point.
    classes, k : int

    Attributes
    ----------
    possible : ndarray of bool, shape (c,)
        Labels of some world, without rounding.
    """

    def __init__(self, steps: Steps, classes: int, k: int) -> None:
        self._steps, self._classes, self._k = steps, classes, k
        self._present, self._label = np.unique(steps.label, return_inverse=True)
        self._tallies = tallies_of(len(self._present), k)
        self._names, self._row = np.unique(steps.row, return_inverse=True)
        self._rest = np.zeros(len(self._names))
        for rows in steps.rows:
            self._rest[np.searchsorted(self._names, rows.row)] = rows.rest
        self.possible = np.zeros(classes, bool)
        for factors in self._factors():
            here = self._winners(_passed(factors, self._tallies).astype(np.float64), factors) > 0
            self.possible[self._present] |= here[: len(self._present)].any(axis=1)

    def masses(self) -> tuple[Floats, Conditionals]:
        """Return the label masses of the point, shape (1, c), and what its uncertain rows do to it."""
        steps, few = self._steps, len(self._present)
        uncertain = np.array(sorted({one for rows in steps.rows for one in rows.row.tolist()}), np.int64)
        rows = np.searchsorted(self._names, uncertain)
        mass = np.zeros(few)
        out, inside = np.zeros((len(rows), few)), np.zeros((len(rows), few, few))
        own, before, upto = np.zeros((3, len(steps), few))
        for factors in self._factors():
            front, back = _tallied(factors, self._tallies), _tallied(factors, self._tallies, backwards=True)
            mine = slice(factors.start, factors.stop)
            own[mine] = self._winners(front[-1], factors)[:few].T
            mass += steps.prior[mine] @ own[mine]
            for place, row in enumerate(rows.tolist()):
                without = _convolved(front[row], back[row + 1], self._tallies, self._k)
                here = self._row[mine] == row
                gain = self._winners(without, factors) * np.where(here, 0.0, steps.prior[mine])
                at = np.flatnonzero(here)
                before[factors.start + at] = out[place] + _upto(gain[:few])[at]
                out[place] += gain[:few].sum(axis=1)
                for label in np.unique(self._label[self._row == row]).tolist() if self._k > 1 else []:
                    first = few * (1 + label * (self._k - 1))
                    voted = gain[first : first + few]
                    those = at[self._label[mine][at] == label]
                    upto[factors.start + those] = inside[place, label] + _upto(voted)[those]
                    inside[place, label] += voted.sum(axis=1)
        line = np.searchsorted(uncertain, steps.row)
        known = np.isin(steps.row, uncertain)
        given = own + before
        given[known] += inside[line[known], self._label[known]] - upto[known]
        return self._all_classes(mass[None]), self._conditionals(uncertain, given, out)

    def _conditionals(self, uncertain: Ints, given: Floats, out: Floats) -> Conditionals:
        steps = [np.flatnonzero(self._steps.row == row) for row in uncertain.tolist()]
        width = max(map(len, steps), default=0)
        step = np.full((len(steps), width), len(self._steps))
        for line, own in enumerate(steps):
            step[line, : len(own)] = own
        return Conditionals(
            np.zeros(len(steps), np.int64),
            uncertain,
            step,
            np.append(self._steps.prior, 0.0)[step],
            self._all_classes(np.vstack([given, np.zeros((1, given.shape[1]))])[step]),
            self._rest[np.searchsorted(self._names, uncertain)],
            self._all_classes(out),
        )

    def _factors(self) -> Iterator[_Factors]:
        steps, rows, few = self._steps, len(self._names), len(self._present)
        at_once = max(1, _AT_ONCE // (rows * len(self._tallies.size)))
        for start in range(0, len(steps), at_once):
            stop = min(start + at_once, len(steps))
            time = np.arange(stop - start)
            row, label, prior = self._row[start:stop], self._label[start:stop], steps.prior[start:stop]
            own = np.zeros((stop - start, rows, few))
            own[time, row, label] = prior
            beta = np.zeros_like(own)
            np.add.at(beta[0], (self._row[:start], self._label[:start]), steps.prior[:start])
            beta[1:] = own[:-1]
            np.cumsum(beta, axis=0, out=beta)
            # Summed from the end: what is to come is exactly 0 where nothing is.
            alpha = own.sum(axis=2)
            alpha[-1] += np.bincount(self._row[stop:], steps.prior[stop:], minlength=rows) + self._rest
            alpha = np.cumsum(alpha[::-1], axis=0)[::-1]
            alpha[time, row], beta[time, row] = 1.0, 0.0
            yield _Factors(start, stop, alpha, beta)

    def _winners(self, mass: Floats, factors: _Factors) -> Floats:
        """Return what steps of mass 1 add per line of ``Tallies.winners``; ``mass`` has shape (tallies, steps)."""
        label = self._label[factors.start : factors.stop]
        out = np.zeros((self._tallies.winners[0].shape[0], len(label)))
        for last in np.unique(label).tolist():
            out[:, label == last] = self._tallies.winners[last] @ mass[:, label == last]
        return out

    def _all_classes(self, mass: Floats) -> Floats:
        out = np.zeros((*mass.shape[:-1], self._classes))
        out[..., self._present] = mass
        return out


def _tallied(factors: _Factors, tallies: Tallies, *, backwards: bool = False) -> Floats:
    """Return the mass of each tally of the rows before each row (after it: ``backwards``), (n + 1, tallies, steps)."""
    steps, rows = factors.alpha.shape
    out = np.zeros((rows + 1, len(tallies.size), steps))
    out[rows if backwards else 0, tallies.place[(0,) * tallies.counts.shape[1]]] = 1.0
    for row in reversed(range(rows)) if backwards else range(rows):
        old, new = (out[row + 1], out[row]) if backwards else (out[row], out[row + 1])
        np.multiply(old, factors.alpha[:, row], out=new)
        for label in range(tallies.counts.shape[1]):
            beta = factors.beta[:, row, label]
            if beta.any():
                fits = tallies.more[:, label] < len(tallies.size)
                new[tallies.more[fits, label]] += old[fits] * beta
    return out


def _passed(factors: _Factors, tallies: Tallies) -> Bools:
    """Return which tallies of all rows some world has at each step, shape (tallies, steps)."""
    steps, rows = factors.alpha.shape
    found = np.zeros((len(tallies.size), steps), bool)
    found[tallies.place[(0,) * tallies.counts.shape[1]]] = True
    for row in range(rows):
        new = found & (factors.alpha[:, row] > 0)
        for label in range(tallies.counts.shape[1]):
            fits = tallies.more[:, label] < len(tallies.size)
            new[tallies.more[fits, label]] |= found[fits] & (factors.beta[:, row, label] > 0)
        found = new
    return found


def _convolved(front: Floats, back: Floats, tallies: Tallies, k: int) -> Floats:
    """Return the tallies of K - 1 and K - 2 votes of two independent groups of rows together."""
    out = np.zeros_like(front)
    for place, tally in enumerate(tallies.counts):
        if tallies.size[place] >= k - 2:
            for part, own in enumerate(tallies.counts):
                if (own <= tally).all():
                    out[place] += front[part] * back[tallies.place[tuple((tally - own).tolist())]]
    return out


def _upto(values: Floats) -> Floats:
    """Return the sum of what comes before each step, shape (steps, lines)."""
    return np.vstack([np.zeros((1, len(values))), np.cumsum(values, axis=1).T[:-1]])
