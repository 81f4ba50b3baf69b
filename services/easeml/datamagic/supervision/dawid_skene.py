"""Dawid-Skene: the true class of each item and the confusion of each worker, from a crowd's votes alone.

Source: Dawid & Skene, Applied Statistics 28(1), 1979, equations 2.3 to 2.5, in the log domain, with Dirichlet priors.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import minimize_scalar

from easeml.datamagic.supervision.label_model import decided, shared_ties
from easeml.datamagic.supervision.votes import Floats, Ints, Votes, check_balance, check_classes, normalised
from easeml.errors import ConfigurationError

RIGHT_ROWS, WRONG_ROWS = 0.5, 0.1
"""Votes added to each worker's table: for the true class, and for every other one."""
_MOST_STEPS = 500
_STILL = 1e-7
_COOLEST = 0.05
_FOLDS = 3


class DawidSkene:
    """Class probabilities of items from the votes of workers of unknown reliability.

    Parameters
    ----------
    n_classes : int
        Number of classes c, at least 2.
    class_balance : array-like of float, shape (c,), optional
        P(y), held fixed; without it, learned (one item more per class).
    smoothing : float
        Factor of the prior votes of each worker (0.5 for the true class, 0.1 for each other one); above 0.
    temperature : float, optional
        Exponent in (0, 1] of the posterior of an item with votes; below 1 it takes back the certainty that comes from
        taking votes for independent, and leaves the decision as it is. Without it, the one under which held-out votes
        are predicted best.

    Attributes
    ----------
    balance : ndarray of float64, shape (c,)
        P(y).
    confusion : ndarray of float64, shape (w, c, c)
        P(worker says b | the class is a) at ``[worker, a, b]``.
    everyone : ndarray of float64, shape (c, c)
        The same for a worker nobody has seen: the pool of all workers.
    history : list of float
        Log posterior of the parameters after each step; it never decreases.
    temper : float
        The temperature in use.

    Notes
    -----
    Cost per step O(votes * c). Votes are taken as given the class independent; abstentions as no evidence.

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 1, 0], [-1, -1, -1]]
    >>> DawidSkene(2).fit(votes).predict(votes).tolist()[:4]
    [0, 1, 0, 1]
    """

    name = "datamagic.dawid_skene"
    version = 1

    def __init__(
        self,
        n_classes: int,
        class_balance: ArrayLike | None = None,
        *,
        smoothing: float = 1.0,
        temperature: float | None = None,
    ) -> None:
        if not smoothing > 0:
            raise ConfigurationError(f"A smoothing of {smoothing} lets a rare vote decide alone.", mend="Above 0.")
        if temperature is not None and not 0 < temperature <= 1:
            raise ConfigurationError(f"A temperature of {temperature} is not in (0, 1].", mend="1: no tempering.")
        self.n_classes = check_classes(n_classes)
        self._given = None if class_balance is None else check_balance(class_balance, self.n_classes)
        self._temperature = temperature
        self._prior = smoothing * np.where(np.eye(self.n_classes, dtype=bool), RIGHT_ROWS, WRONG_ROWS)
        self.balance: Floats = np.full(self.n_classes, 1 / self.n_classes)
        self.confusion: Floats = np.empty((0, self.n_classes, self.n_classes))
        self.everyone: Floats = self._prior / self._prior.sum(axis=1, keepdims=True)
        self.history: list[float] = []
        self.temper = 1.0

    @property
    def source(self) -> str:
        """Name under which the probabilities become candidates of a relation."""
        return f"{self.name}/{self.version}"

    def fit(self, votes: ArrayLike | Votes) -> Self:
        """Learn the workers' confusions and the class balance by EM from majority shares.

        Parameters
        ----------
        votes : array-like of int, shape (items, workers), or Votes
            Class codes, -1: no vote.

        Raises
        ------
        InvalidDataError
            When a vote is no class code.
        """
        table = Votes.of(votes, self.n_classes)
        said = table.indicator(self.n_classes)
        posterior = self._shares(table)
        self.history = []
        for _ in range(_MOST_STEPS):
            self._maximise(said, posterior, table)
            scores = self._scores(said, self.confusion)
            top = scores.max(axis=1, keepdims=True, initial=-np.inf)
            weight = np.exp(scores - top)
            total = weight.sum(axis=1, keepdims=True)
            posterior = weight / total
            self.history.append(float((top + np.log(total)).sum()) + self._prior_density())
            if len(self.history) > 1 and self.history[-1] - self.history[-2] <= _STILL * abs(self.history[-1]):
                break
        self.temper = self._tempered(table) if self._temperature is None else self._temperature
        return self

    def _shares(self, table: Votes) -> Floats:
        cells = table.item * self.n_classes + table.answer
        counts = np.bincount(cells, minlength=table.n_items * self.n_classes).reshape(-1, self.n_classes)
        total = counts.sum(axis=1, keepdims=True)
        start = self.balance if self._given is None else self._given
        return np.where(total > 0, counts / np.maximum(total, 1), start)

    def _maximise(self, said: sparse.csr_matrix, posterior: Floats, table: Votes) -> None:
        """Set the most probable parameters for posteriors of the items; items without a vote say nothing."""
        counts = np.asarray(said.T @ posterior).reshape(-1, self.n_classes, self.n_classes).transpose(0, 2, 1)
        smooth = counts + self._prior
        self.confusion = smooth / smooth.sum(axis=2, keepdims=True)
        pool = counts.sum(axis=0) + self._prior
        self.everyone = pool / pool.sum(axis=1, keepdims=True)
        if self._given is not None:
            self.balance = self._given
            return
        seen = np.zeros(table.n_items, bool)
        seen[table.item] = True
        mass = posterior[seen].sum(axis=0) + 1.0
        self.balance = mass / mass.sum()

    def _scores(self, said: sparse.csr_matrix, confusion: Floats) -> Floats:
        weight = np.log(confusion).transpose(0, 2, 1).reshape(-1, self.n_classes)
        return np.asarray(np.log(self.balance) + said @ weight, np.float64)

    def _prior_density(self) -> float:
        """Return the log prior of the parameters, up to a constant."""
        density = float((self._prior * np.log(self.confusion)).sum())
        if self._given is None:
            density += float(np.log(self.balance).sum())
        return density

    def _tempered(self, table: Votes) -> float:
        """Return the temperature under which held-out votes are predicted best from the others on their item.

        A vote counts in a fit that has not seen it; without that, certainty that was fitted would look earned.
        """
        fold = np.empty(len(table.item), np.int64)
        fold[np.lexsort((table.answer, table.worker, table.item))] = np.arange(len(fold)) % _FOLDS
        scores, own = [], []
        for place in range(_FOLDS):
            held = fold == place
            rest = table.select(~held)
            fit = type(self)(self.n_classes, self._given, temperature=1.0)
            fit._prior = self._prior
            fit.fit(rest)
            believed = fit._scores(rest.indicator(self.n_classes), fit.confusion)
            held &= np.isin(table.item, rest.item)
            scores.append(believed[table.item[held]])
            own.append(fit.confusion[table.worker[held], :, table.answer[held]])
        score, likelihood = np.concatenate(scores), np.concatenate(own)
        if not len(score):
            return 1.0

        def loss(temper: float) -> float:
            return -float(np.log((normalised(temper * score) * likelihood).sum(axis=1)).mean())

        return float(minimize_scalar(loss, bounds=(_COOLEST, 1.0), method="bounded").x)

    def predict_proba(self, votes: ArrayLike | Votes) -> Floats:
        """Return the probability of each class per item, shape (items, c).

        An item without a vote gets the class balance; a worker that the fit has not seen counts as the pool of all.

        Raises
        ------
        InvalidDataError
            When a vote is no class code.
        """
        table = Votes.of(votes, self.n_classes)
        known = self.confusion[: table.n_workers]
        strangers = np.broadcast_to(self.everyone, (table.n_workers - len(known), *self.everyone.shape))
        confusion = np.concatenate([known, strangers])
        proba = normalised(self.temper * self._scores(table.indicator(self.n_classes), confusion))
        uncovered = np.ones(table.n_items, bool)
        uncovered[table.item] = False
        proba[uncovered] = self.balance
        return shared_ties(proba, self.balance)

    def predict(self, votes: ArrayLike | Votes) -> Ints:
        """Return the most probable class per item; -1 where even the class balance leaves a tie."""
        return decided(self.predict_proba(votes))
