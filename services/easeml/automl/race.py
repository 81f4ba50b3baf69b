"""Arms race over folds of the training rows: who falls behind the leader is dropped before it costs more.

Each arm is trained on all folds but one and judged on that one. After every fold it is compared with the leader on
the rows that both were judged on, by McNemar's test: an arm that errs where the leader does not, so much more often
than the other way round, gives up.

Sources: Maron & Moore, "Hoeffding races", NIPS 1993; McNemar, Psychometrika 1947.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from easeml.artifacts.classifier import over_domain
from easeml.automl.ensemble import Codes, Floats, score
from easeml.errors import EaseMLError, InvalidDataError
from easeml.stream.payloads import AlgorithmAnnounced

Mask = NDArray[np.bool_]
Fit = Callable[[AlgorithmAnnounced, Floats, Codes], Any]
"""Arm, float64[n, d], int64[n] -> fitted estimator."""

_BEHIND = 3.0
"""Standard errors behind the leader at which an arm gives up."""
_JUDGED_BY_ONE = 20_000
"""From so many rows on one fold of five is judged, the others never: it is large enough."""
_FOLDS = ((500, 8), (2000, 5), (_JUDGED_BY_ONE, 4))


class Memory(Protocol):
    """What arms said of the judged rows, kept where it outlives the process."""

    def get(self, key: str) -> Floats | None:
        """Return what was kept; None: nothing."""

    def put(self, key: str, found: Floats) -> None:
        """Keep something."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows and their folds.

    Parameters
    ----------
    matrix : float64[n, d]
        Encoded rows.
    codes : int64[n]
        Classes.
    fold : int64[n]
        Judged in this fold and trained in all others; -1: trained in all.
    """

    matrix: Floats
    codes: Codes
    fold: Codes


@dataclass(frozen=True, slots=True)
class Entry:
    """An arm that ran the whole race.

    Parameters
    ----------
    arm : AlgorithmAnnounced
        What was trained.
    probabilities : float64[n, k]
        What it says of the judged rows, each by a model that was not trained on it.
    accuracy, log_loss : float
        Of these.
    model : object, optional
        The fitted estimator, where the race trained it on all rows.
    """

    arm: AlgorithmAnnounced
    probabilities: Floats
    accuracy: float
    log_loss: float
    model: Any = None


class Race:
    """One race.

    Parameters
    ----------
    learnt : Examples
        Rows to train on.
    judged : Examples
        Rows to judge by; the same rows, or others of fold 0 alone.
    classes : int
        Size of the label domain.
    fit : callable
        How an arm is trained.
    memory : Memory, optional
        Of an earlier race over the same rows that did not end: its arms are not judged again.
    """

    def __init__(
        self, learnt: Examples, judged: Examples, *, classes: int, fit: Fit, memory: Memory | None = None
    ) -> None:
        self._memory = memory
        self._rows = _digest(learnt, judged) if memory is not None else ""
        self._learnt = learnt
        self._judged = judged
        self._classes = classes
        self._fit = fit
        self._right: Mask | None = None
        self._best = -1.0
        self.folds = int(judged.fold.max()) + 1

    def run(self, arm: AlgorithmAnnounced, each_fold: Callable[[int], None] | None = None) -> Entry | None:
        """Train and judge an arm fold by fold.

        Parameters
        ----------
        arm : AlgorithmAnnounced
            What to train.
        each_fold : callable, optional
            Told after each fold but the last how many are done; may raise to end the run.

        Returns
        -------
        Entry or None
            None when it fell behind.

        Raises
        ------
        EaseMLError
            What training or the shape of the output is refused with.
        """
        with single_threaded():
            found, model = self._remembered(arm, each_fold)
        if found is None:
            return None
        scored = self._judged.fold >= 0
        accuracy, log_loss = score(found[scored], self.truth)
        if accuracy > self._best:
            self._best = accuracy
            self._right = found.argmax(axis=1) == self._judged.codes
        return Entry(arm, found[scored], accuracy, log_loss, model)

    def _remembered(
        self, arm: AlgorithmAnnounced, each_fold: Callable[[int], None] | None
    ) -> tuple[Floats | None, Any]:
        """Return what ``_judge`` does, or did in the race that this one goes on with."""
        if self._memory is None:
            return self._judge(arm, each_fold)
        key = hashlib.sha256(f"{self._rows} {arm.algorithm} {arm.family} {arm.parameters}".encode()).hexdigest()
        known = self._memory.get(key)
        if known is not None:
            return (known if len(known) else None), None
        found, model = self._judge(arm, each_fold)
        self._memory.put(key, np.empty((0, self._classes)) if found is None else found)
        return found, model

    def _judge(self, arm: AlgorithmAnnounced, each_fold: Callable[[int], None] | None) -> tuple[Floats | None, Any]:
        """Return what an arm says of the judged rows, None if it fell behind, and its model if all rows made it."""
        judged, learnt = self._judged, self._learnt
        found = np.zeros((len(judged.codes), self._classes))
        for fold in range(self.folds):
            kept, shown = learnt.fold != fold, judged.fold == fold
            model = self._fit(arm, learnt.matrix[kept], learnt.codes[kept])
            found[shown] = over_domain(model, judged.matrix[shown], self._classes)
            if self._behind(found, judged.fold <= fold):
                return None, None
            if each_fold is not None and fold + 1 < self.folds:
                each_fold(fold + 1)
        return found, model if kept.all() else None

    def final(self, entry: Entry) -> Any:
        """Return the estimator of an entry, trained on all rows."""
        if entry.model is not None:
            return entry.model
        with single_threaded():
            return self._fit(entry.arm, self._learnt.matrix, self._learnt.codes)

    @property
    def truth(self) -> Codes:
        """Right classes of the rows that entries speak about: int64[n]."""
        return self._judged.codes[self._judged.fold >= 0]

    def _behind(self, found: Floats, seen: Mask) -> bool:
        if self._right is None:
            return False
        rows = seen & (self._judged.fold >= 0)
        mine, leader = (found.argmax(axis=1) == self._judged.codes)[rows], self._right[rows]
        lost, won = int((leader & ~mine).sum()), int((mine & ~leader).sum())
        return lost - won > _BEHIND * math.sqrt(lost + won)


def _digest(*examples: Examples) -> str:
    digest = hashlib.sha256()
    for one in examples:
        for part in (one.matrix, one.codes, one.fold):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Train with one thread and without warnings of convergence.

    A training has a fixed number of steps; that they were not enough shows in its score.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def folds_of(codes: Codes, seed: int) -> Codes:
    """Return the fold of each row: int64[n], classes spread evenly; -1 for rows that are never judged.

    More folds for fewer rows: there a fold takes much of what there is to learn from, and costs little. The only row
    of a class is never judged: without it there is nothing to learn the class from.

    Raises
    ------
    InvalidDataError
        When no class has two rows.

    Examples
    --------
    >>> np.bincount(folds_of(np.repeat([0, 1], 400), seed=0)).tolist()
    [160, 160, 160, 160, 160]
    """
    several = np.flatnonzero(np.bincount(codes)[codes] > 1)
    if not len(several):
        raise InvalidDataError(
            "No class has two training rows, so no algorithm can be judged.",
            mend="Label more rows, or give validation rows.",
        )
    order = np.random.default_rng(seed).permutation(several)
    order = order[np.argsort(codes[order], kind="stable")]
    count = min(next((folds for rows, folds in _FOLDS if len(codes) < rows), 5), len(order))
    fold = np.full(len(codes), -1, np.int64)
    fold[order] = np.arange(len(order)) % count
    return np.where(fold == 0, 0, -1) if len(codes) >= _JUDGED_BY_ONE else fold


def refusal(algorithm: str, family: str, error: Exception) -> str:
    """Return in words why an algorithm made no model: what, where, how to mend it."""
    if isinstance(error, EaseMLError):
        return f"{algorithm} ({family}): {error}"
    text = f"{algorithm} ({family}) failed with {type(error).__name__}: {str(error)[:500]}."
    return f"{text} Look at the data, or announce other parameters."
