"""The steps of neighbour lists: what has passed of each row before and after each step, as arrays over many points.

A step is a line of a neighbour list, candidates of a row at equal similarity taken together. ``beta`` is the prior mass
of the step's row that has passed, ``alpha`` = 1 - beta what has not; a row is *finished* where all of it has passed.
Steps stand in matrices of points x time, padded at the end with steps of prior 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.cpclean.neighbours import Bools, Floats, Ints, Lists

_LEAST = 2.0**-60
"""Mass of candidates that are still to come where rounding leaves none."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The candidates as they are now.

    Parameters
    ----------
    owner : ndarray of int32, shape (m,)
        Row of each candidate.
    prior : ndarray of float64, shape (m,)
        0: not possible, or not any more; sums to 1 per row.
    label : ndarray of int32, shape (m,)
        Label of each candidate.
    count : ndarray of int32, shape (n,)
        Possible candidates of each row.
    mixed : ndarray of bool, shape (n,)
        Whether the candidates of a row differ in their labels.
    """

    owner: NDArray[np.int32]
    prior: Floats
    label: NDArray[np.int32]
    count: NDArray[np.int32]
    mixed: Bools


def world_of(owner: NDArray[np.int32], prior: Floats, label: NDArray[np.int32], rows: int) -> World:
    """Return the world of ``rows`` rows; a candidate whose owner is negative does not count."""
    live = np.flatnonzero((prior > 0) & (owner >= 0))
    count = np.bincount(owner[live], minlength=rows).astype(np.int32)
    low, high = np.full(rows, np.iinfo(np.int32).max), np.full(rows, -1)
    np.minimum.at(low, owner[live], label[live])
    np.maximum.at(high, owner[live], label[live])
    return World(owner, prior, label, count, low < high)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Uncertain rows with nearly as many steps each: one line per point and row.

    Attributes
    ----------
    point, row : ndarray of int64, shape (g,)
    label : ndarray of int64, shape (g,)
    step : ndarray of int64, shape (g, width)
        Flat steps in order; the number of all steps where there is none.
    prior : ndarray of float64, shape (g, width)
        Mass of each step.
    alpha, beta : ndarray of float64, shape (g, 1 + width)
        What has not passed, and what has, before the first step and after each.
    rest : ndarray of float64, shape (g,)
        Mass of the candidates that are not on the list.
    """

    point: Ints
    row: Ints
    label: Ints
    step: Ints
    prior: Floats
    alpha: Floats
    beta: Floats
    rest: Floats

    def select(self, keep: Bools) -> Rows:
        """Return the chosen rows."""
        if keep.all():
            return self
        return Rows(
            self.point[keep],
            self.row[keep],
            self.label[keep],
            self.step[keep],
            self.prior[keep],
            self.alpha[keep],
            self.beta[keep],
            self.rest[keep],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps of several points, flat by point and time.

    Attributes
    ----------
    pointer : ndarray of int64, shape (points + 1,)
    line : ndarray of int64, shape (s + 1,)
        First line of the lists that each step takes together; the number of lines at the end.
    row, label : ndarray of int64, shape (s,)
    prior : ndarray of float64, shape (s,)
    alpha_before, beta_before, alpha, beta : ndarray of float64, shape (s,)
        Of the step's row, before and after it.
    first, finished : ndarray of bool, shape (s,)
        Whether it is the first step of its row; whether its row is finished by it.
    rows : tuple of Rows
        All rows that are uncertain.
    """

    pointer: Ints
    line: Ints
    row: Ints
    label: Ints
    prior: Floats
    alpha_before: Floats
    beta_before: Floats
    alpha: Floats
    beta: Floats
    first: Bools
    finished: Bools
    rows: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.row)

    def padded(self, values: NDArray[Any], width: int) -> NDArray[Any]:
        """Return one value per step as a matrix of points x time, cut or padded with 0 to ``width``."""
        sizes = np.diff(self.pointer)
        out = np.zeros((len(sizes), width), values.dtype)
        time = self.time()
        out[np.arange(width) < sizes[:, None]] = values[time < width]
        return out

    def needed(self, k: int) -> Bools:
        """Return which steps come before K rows are finished: no world's neighbours are beyond."""
        done: Ints = np.cumsum(self.finished) - self.finished
        started: Ints = np.repeat(done[self.pointer[:-1]], np.diff(self.pointer))
        return np.asarray(done - started < k)

    def time(self) -> Ints:
        """Return the place of each step in its point's list."""
        return np.arange(len(self)) - np.repeat(self.pointer[:-1], np.diff(self.pointer))


def steps_of(lists: Lists, world: World) -> Steps:
    """Return the steps of the lists, of which there is one or more. Cost O(m log m) for m lines."""
    every = world.label[lists.candidate].astype(np.int64)
    # Candidates that differ in their labels are different steps even where they are equally near.
    line = np.flatnonzero(~(lists.tied & np.append(False, every[1:] == every[:-1])))
    candidate = lists.candidate[line]
    label, row = every[line], world.owner[candidate].astype(np.int64)
    prior = np.add.reduceat(world.prior[lists.candidate], line)
    ends = np.append(line, len(lists.candidate))
    pointer = np.searchsorted(line, lists.pointer)
    point = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
    order = np.argsort(point * len(world.count) + row, kind="stable")
    fresh = np.ones(len(line), bool)
    fresh[1:] = (row[order][1:] != row[order][:-1]) | (point[order][1:] != point[order][:-1])
    starts = np.flatnonzero(fresh)
    sizes = np.diff(np.append(starts, len(line)))
    whole = np.add.reduceat(np.diff(ends)[order], starts) == world.count[row[order[starts]]]
    first, finished = np.zeros((2, len(line)), bool)
    first[order[starts]] = True
    finished[order[starts + sizes - 1]] = whole
    masses = np.zeros((4, len(line) + 1))
    known = world.count[row[order[starts]]] == 1
    masses[0, order[starts[known]]] = masses[3, order[starts[known]]] = 1.0
    rows, low = [], 0
    while low < sizes.max():
        high = max(2 * low, 1)
        mine = np.flatnonzero(~known & (sizes > low) & (sizes <= high))
        low = high
        if len(mine):
            step = _padded(order, starts[mine], sizes[mine])
            head = step[:, 0]
            made = _rows((point[head], row[head], label[head]), step, np.append(prior, 0.0)[step], whole[mine])
            masses[:, step] = made.alpha[:, :-1], made.beta[:, :-1], made.alpha[:, 1:], made.beta[:, 1:]
            rows.append(made)
    before, passed, alpha, beta = masses[:, :-1]
    return Steps(pointer, ends, row, label, prior, before, passed, alpha, beta, first, finished, tuple(rows))


def _padded(order: Ints, starts: Ints, sizes: Ints) -> Ints:
    width = np.arange(int(sizes.max()))
    places = np.minimum(starts[:, None] + width, len(order) - 1)
    return np.where(width < sizes[:, None], order[places], len(order))


def _rows(names: tuple[Ints, Ints, Ints], step: Ints, prior: Floats, whole: Bools) -> Rows:
    beta = np.zeros((len(prior), prior.shape[1] + 1))
    np.cumsum(prior, axis=1, out=beta[:, 1:])
    rest = np.where(whole, 0.0, np.maximum(1.0 - beta[:, -1], _LEAST))
    # Summed from the end, so that what little remains is exact.
    alpha = np.zeros_like(beta)
    np.cumsum(prior[:, ::-1], axis=1, out=alpha[:, -2::-1])
    alpha += rest[:, None]
    return Rows(*names, step, prior, alpha, beta, rest)
