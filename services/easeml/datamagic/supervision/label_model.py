"""Label model: how far each labelling function is to be believed, and what its votes say together.

Precision model: per source j and class c a precision a_jc = P(y = c | source j votes c). An abstention is no evidence.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from easeml.datamagic.supervision.votes import (
    ABSTAIN,
    Floats,
    Ints,
    Votes,
    check_balance,
    check_classes,
    check_codes,
    check_matrix,
    normalised,
)
from easeml.errors import InvalidDataError

PRIOR_MEAN = 0.7
"""Mean of the Beta prior of a precision, classes being equally frequent: a source somebody wrote beats chance."""
PRIOR_ROWS = 5.0
"""Strength of the prior beyond the number of votes it is matched with."""
VALID_WEIGHT = 10.0
"""Unlabelled rows that a labelled one counts for."""
_MOST_STEPS = 500
_STILL = 1e-7
_TIE = 1e-9


class LabelModel:
    """Probabilities of the classes from the votes of labelling functions.

    Parameters
    ----------
    n_classes : int
        Number of classes c, at least 2.
    class_balance : array-like of float, shape (c,), optional
        P(y); never learned from the votes, for a learned balance collapses to one class. Without it, the shares in the
        validation rows (one row more per class); without those, uniform.

    Attributes
    ----------
    balance : ndarray of float64, shape (c,)
        P(y) in use; after ``fit``.
    precision : ndarray of float64, shape (m, c)
        a_jc of each source and class; after ``fit``. The prior mean where a source never voted; at least the balance
        where no labelled row says otherwise.

    Notes
    -----
    score(c) = log p_c + sum over votes v of log(a_jv / p_v) if c = v else log((1 - a_jv) / (1 - p_v)). EM: the
    posterior of each row, then a_jc = (sum of the posteriors of c over the rows where j votes c + Beta prior of
    strength votes + 5); labelled rows count ten times with their label. Cost per step O(votes * c).

    The prior mean is .7 for a source that votes one class only: such a rule is written to be right. One that votes
    several has the odds ratio to p_c that .7 has to 1 / c: who judges every row is right less often about a rare class.
    A vote for c below p_c would speak against c: without a labelled row that says so, no precision falls there.

    Without labelled rows all rests on that prior. Accuracy (a tie counts 1 / c) and Brier score on real vote sets:

    ============= =========== =========== =========== =========== ===========
    votes         labelled    balance     neither     majority    Dawid-Skene
    ============= =========== =========== =========== =========== ===========
    youtube       .860 / .197 .876 / .257 .864 / .238 .816 / .271 .528 / .582
    sms           .898 / .196 .900 / .182 .674 / .367 .676 / .338 .866 / .267
    crowd_product -           .909 / .147 .905 / .160 .897 / .184 .939 / .106
    crowd_dog     -           .827 / .326 .827 / .323 .822 / .284 .843 / .274
    ============= =========== =========== =========== =========== ===========

    Limits then: rules that are better than .7 (those of sms: .97) are believed too little, rows without a vote need the
    balance (with it, majority vote is at .898 / .178 on sms), and many votes make too sure, for they are taken as
    independent. A crowd's votes belong to ``DawidSkene``.

    Source: the votes-as-evidence form of Ratner et al., VLDB 2017, section 3, with precisions as parameters.

    Examples
    --------
    >>> votes = [[1, -1], [1, 1], [0, -1], [-1, -1]]
    >>> model = LabelModel(2, class_balance=[0.6, 0.4]).fit(votes)
    >>> model.predict(votes).tolist()
    [1, 1, 0, 0]
    >>> model.predict_proba([[-1, -1]]).tolist()
    [[0.6, 0.4]]
    """

    name = "datamagic.label_model"
    version = 1

    def __init__(self, n_classes: int, class_balance: ArrayLike | None = None) -> None:
        self.n_classes = check_classes(n_classes)
        self._given = None if class_balance is None else check_balance(class_balance, self.n_classes)
        self.balance: Floats = np.full(self.n_classes, 1 / self.n_classes)
        self.precision: Floats = np.empty((0, self.n_classes))

    def __repr__(self) -> str:
        state = f"fitted on {len(self.precision)} sources" if len(self.precision) else "not fitted"
        return f"<LabelModel: {self.n_classes} classes, {state}>"

    @property
    def source(self) -> str:
        """Name under which the probabilities become candidates of a relation."""
        return f"{self.name}/{self.version}"

    def fit(self, votes: ArrayLike, valid: tuple[ArrayLike, ArrayLike] | None = None) -> Self:
        """Learn the precision of each source.

        Parameters
        ----------
        votes : array-like of int, shape (n, m)
            Vote of each of m sources on each row: a class code, -1: abstain.
        valid : (votes, labels), optional
            Votes, shape (k, m), and labels, shape (k,), of labelled rows.

        Raises
        ------
        InvalidDataError
            When a vote or label is no class code, or the shapes differ.
        """
        table = check_matrix(votes, self.n_classes)
        sources = table.shape[1]
        free = self._indicator(table)
        known = np.zeros((sources * self.n_classes, 2))
        self.balance = np.full(self.n_classes, 1 / self.n_classes) if self._given is None else self._given
        if valid is not None:
            known = self._evidence(*valid, sources)
        self.precision = self._em(free, known)
        return self

    def _evidence(self, votes: ArrayLike, labels: ArrayLike, sources: int) -> Floats:
        """Return the right votes and all votes of each source for each class on labelled rows; set the balance."""
        table = check_matrix(votes, self.n_classes, sources)
        gold = check_codes(labels, self.n_classes, "Labels", least=0)
        if gold.shape != (len(table),):
            raise InvalidDataError(
                f"{len(table)} rows of validation votes have {gold.size} labels.", mend="Give one label per row."
            )
        if self._given is None:
            counts = np.bincount(gold, minlength=self.n_classes) + 1.0
            self.balance = counts / counts.sum()
        said = self._indicator(table)
        hot = np.eye(self.n_classes)[gold]
        return np.column_stack([self._own(said.T @ hot), np.asarray(said.sum(axis=0)).ravel()])

    def _em(self, free: sparse.csr_matrix, known: Floats) -> Floats:
        right, total = VALID_WEIGHT * known[:, 0], VALID_WEIGHT * known[:, 1]
        said = np.asarray(free.sum(axis=0)).ravel()
        strength = said + PRIOR_ROWS
        prior = strength * self._prior_means(said + total > 0)
        least = np.where(total > 0, 0.0, np.tile(self.balance, len(said) // self.n_classes))
        precision = np.maximum((right + prior) / (total + strength), least)
        for _ in range(_MOST_STEPS):
            posterior = normalised(self._scores(free, precision))
            hits = right + self._own(free.T @ posterior)
            new = np.maximum((hits + prior) / (total + said + strength), least)
            moved = float(np.abs(new - precision).max(initial=0.0))
            precision = new
            if moved < _STILL:
                break
        return np.asarray(precision.reshape(-1, self.n_classes), np.float64)

    def _prior_means(self, votes_for: NDArray[np.bool_]) -> Floats:
        """Return the prior mean of each precision, given which classes each source votes; both of shape (m * c,)."""
        odds = (self.n_classes - 1) * PRIOR_MEAN / (1 - PRIOR_MEAN) * self.balance / (1 - self.balance)
        judged = odds / (1 + odds)
        several = votes_for.reshape(-1, self.n_classes).sum(axis=1) > 1
        return np.where(several[:, None], judged, PRIOR_MEAN).ravel()

    def _indicator(self, table: Ints) -> sparse.csr_matrix:
        return Votes.of(table, self.n_classes).indicator(self.n_classes)

    def _own(self, counts: Floats) -> Floats:
        """Return, of counts per (source and vote, class), those where the class is the vote."""
        places = np.arange(len(counts))
        return np.asarray(np.asarray(counts)[places, places % self.n_classes], np.float64)

    def _scores(self, indicator: sparse.csr_matrix, precision: Floats) -> Floats:
        """Return log p_c plus the evidence of all votes, shape (n, c)."""
        vote = np.arange(len(precision)) % self.n_classes
        miss = np.log1p(-precision) - np.log1p(-self.balance[vote])
        weight = np.repeat(miss[:, None], self.n_classes, axis=1)
        weight[np.arange(len(vote)), vote] = np.log(precision) - np.log(self.balance[vote])
        return np.asarray(np.log(self.balance) + indicator @ weight, np.float64)

    def predict_proba(self, votes: ArrayLike) -> Floats:
        """Return the probability of each class per row, shape (n, c).

        A row without a vote gets the class balance; the mass of classes that tie for the first place is shared among
        them as the class balance says, so that no tie goes to class 0.

        Raises
        ------
        InvalidDataError
            When a vote is no class code or the sources are not those of the fit.
        """
        table = check_matrix(votes, self.n_classes, len(self.precision))
        proba = normalised(self._scores(self._indicator(table), self.precision.ravel()))
        proba[(table == ABSTAIN).all(axis=1)] = self.balance
        return shared_ties(proba, self.balance)

    def predict(self, votes: ArrayLike) -> Ints:
        """Return the most probable class per row; -1 where even the class balance leaves a tie."""
        return decided(self.predict_proba(votes))


def shared_ties(proba: Floats, balance: Floats) -> Floats:
    """Return probabilities in which classes that tie for the first place share their mass as the balance says."""
    first = proba >= proba.max(axis=1, keepdims=True) - _TIE
    tied = first.sum(axis=1) > 1
    weight = np.where(first, balance, 0.0)
    share = weight / weight.sum(axis=1, keepdims=True) * np.where(first, proba, 0.0).sum(axis=1, keepdims=True)
    return np.where(tied[:, None] & first, share, proba)


def decided(proba: Floats) -> Ints:
    """Return the class of the largest probability per row, -1 on a tie."""
    best = proba.argmax(axis=1)
    first = proba >= proba.max(axis=1, keepdims=True) - _TIE
    return np.where(first.sum(axis=1) > 1, ABSTAIN, best).astype(np.int64)
