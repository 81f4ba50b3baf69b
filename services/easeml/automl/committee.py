"""The budgeted ensemble as one algorithm: a race of the portfolio's first arms, the best of which vote.

Its budget is a number of arms and not of seconds, so that repeating a trial repeats its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from easeml.artifacts.compound import Vote
from easeml.automl.ensemble import Codes, Floats, best_vote
from easeml.automl.portfolio import ARMS
from easeml.automl.race import Entry, Examples, Memory, Race, folds_of, refusal
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.stream.payloads import AlgorithmAnnounced

Train = Callable[[AlgorithmAnnounced, int, Floats, Codes], Any]
"""Arm, seed, float64[n, d], int64[n] -> fitted estimator."""


class Committee:
    """Vote of the best arms.

    Parameters
    ----------
    train : callable
        How an arm is trained.
    seed : int
        Seed of folds and arms, in [0, 2^32).
    arms : int
        How many arms of the portfolio race.
    members : int
        Members of the vote at most.

    Attributes
    ----------
    memory : Memory or None
        What a training that was cut off has judged already.
    judged_rows : int
        Training rows that chose the members; 0 before the fit.
    """

    def __init__(self, train: Train, seed: int, arms: int, members: int) -> None:
        self.memory: Memory | None = None
        self.judged_rows = 0
        self._train = train
        self._seed = seed
        self._arms = ARMS[:arms]
        self._members = members

    def fit(self, matrix: Floats, codes: Codes) -> Vote:
        """Return the vote for ``matrix`` float64[n, d] and ``codes`` int64[n].

        Raises
        ------
        InvalidDataError
            When no arm can be trained on these rows.
        """
        examples = Examples(matrix, codes, folds_of(codes, self._seed))
        race = Race(
            examples,
            examples,
            classes=int(codes.max()) + 1,
            fit=lambda arm, rows, labels: self._train(arm, self._seed, rows, labels),
            memory=self.memory,
        )
        entries: list[Entry] = []
        for arm in self._arms:
            try:
                entry = race.run(arm)
            except BudgetExhaustedError:  # the limit is that of the whole trial
                raise
            except Exception as error:
                # An algorithm may raise anything on data it was not made for; the others may be fit for it.
                refused = refusal(arm.algorithm, arm.family, error)
                continue
            if entry is not None:
                entries.append(entry)
        if not entries:
            raise InvalidDataError(f"None of {len(self._arms)} algorithms could be trained, the last:", mend=refused)
        weights = best_vote(np.stack([entry.probabilities for entry in entries]), race.truth, self._members)
        self.judged_rows = len(race.truth)
        chosen = np.flatnonzero(weights)
        return Vote([race.final(entries[place]) for place in chosen.tolist()], weights[chosen])
