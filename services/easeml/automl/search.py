"""The batch form for one tenant: a relation and CPU seconds in, a stream of models out.

::

    for candidate in fit(relation, budget_cpu_seconds=10):
        print(candidate.algorithm, candidate.accuracy)
    model = candidate.model        # the last promises most: a vote, or the best single model

The arms are those that trainers know, in the portfolio's order; they race over folds of the training rows
(``easeml.automl.race``), or on validation rows where these are given. Whoever is among the best few by then is
trained on all rows and handed out at once; their vote comes last. Time is that of this process's processor,
never of the clock on the wall; what a reader computes between two candidates is not counted.

Uncertain rows are trained at their most probable, or in sampled possible worlds (``worlds``); they are judged at
their most probable.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from easeml.artifacts import Classifier, Encoder, dump
from easeml.artifacts.compound import Vote
from easeml.automl.ensemble import Floats, best_vote, score, surest
from easeml.automl.families import parse_parameters, train
from easeml.automl.limits import MEMORY, cpu_limit, memory_limit
from easeml.automl.portfolio import ARMS
from easeml.automl.race import Entry, Examples, Race, folds_of, refusal
from easeml.automl.training import check_enough
from easeml.automl.trial import Labelled, labelled, sampled
from easeml.errors import BudgetExhaustedError, ConfigurationError, InvalidDataError
from easeml.relation import Relation
from easeml.stream.payloads import AlgorithmAnnounced

_LEAST_HINT = 1e-3


class Outcome(StrEnum):
    """What became of an arm."""

    TRAINED = "trained"  # a candidate was handed out
    BEATEN = "beaten"  # it fell behind, or is not among the best few
    COSTLY = "costly"  # it would outlast the budget
    REFUSED = "refused"  # it failed, or made something that is no model


@dataclass(frozen=True, slots=True)
class Tried:
    """One arm that was tried.

    Parameters
    ----------
    algorithm : str
        Its name.
    outcome : Outcome
        What became of it.
    cpu_seconds : float
        What that cost.
    error : str or None
        Why it was refused: what, where, how to mend it.
    """

    algorithm: str
    outcome: Outcome
    cpu_seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of the stream.

    Parameters
    ----------
    algorithm : str
        Name of the arm, "vote" for several.
    members : dict of str to float
        Arms of the model and their weights.
    model : Classifier
        Trained on all training rows; ``easeml.artifacts.dump`` writes it.
    accuracy, log_loss : float
        On rows that it was not trained on, folds of the training rows or the validation rows; that of a vote is the
        one it was chosen by.
    cpu_seconds : float
        CPU seconds of the search until it was ready.
    """

    algorithm: str
    members: dict[str, float]
    model: Classifier
    accuracy: float
    log_loss: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What is searched.

    Parameters
    ----------
    arms : tuple of AlgorithmAnnounced
        Algorithms, in the order in which they are tried.
    members : int
        Members of the vote at most; 1: no vote.
    worlds : int
        Possible worlds to sample uncertain training rows from; 0: each row at its most probable.
    seed : int
        Seed of folds, worlds and algorithms, in [0, 2^32).

    Raises
    ------
    ConfigurationError
        When there are no arms, two of one name, or one that trainers do not know.
    """

    arms: tuple[AlgorithmAnnounced, ...] = ARMS
    members: int = 3
    worlds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        names = [arm.algorithm for arm in self.arms]
        double = sorted({name for name in names if names.count(name) > 1})
        if double or not names or self.members < 1 or self.worlds < 0:
            raise ConfigurationError(
                f"A portfolio of {len(names)} algorithms ({', '.join(double[:3]) or 'none'} twice), {self.members} "
                f"members and {self.worlds} worlds cannot be searched.",
                mend="Give each algorithm another name, at least one, one member and no negative number of worlds.",
            )
        for arm in self.arms:
            parse_parameters(arm.family, arm.parameters)

    def fit(
        self,
        relation: Relation,
        budget_cpu_seconds: float,
        *,
        validation: Relation | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> Search:
        """Return the stream of models; ``fit`` of this module describes it."""
        return Search(self, relation, budget_cpu_seconds, validation, clock)


def fit(
    relation: Relation,
    budget_cpu_seconds: float,
    *,
    validation: Relation | None = None,
    portfolio: Portfolio | None = None,
) -> Search:
    """Return the models found for a relation within a budget, as a stream.

    Parameters
    ----------
    relation : Relation
        Training rows; those whose label is unknown are left out.
    budget_cpu_seconds : float
        CPU seconds of this process, above 0: encoding, training, judging and the vote.
    validation : Relation, optional
        Rows to judge by; without it folds of the training rows are used.
    portfolio : Portfolio, optional
        What to search.

    Raises
    ------
    ConfigurationError
        When the budget is not above 0.
    InvalidDataError
        When the relation has no label, fewer than two classes have rows, nothing can be learnt from, or the
        validation rows have other classes.
    """
    return (portfolio or Portfolio()).fit(relation, budget_cpu_seconds, validation=validation)


class Search(Iterator[Candidate]):
    """Candidates, each ready to serve; the last promises most.

    Attributes
    ----------
    tried : list of Tried
        Every arm tried so far, also those that made no candidate.
    spent : float
        CPU seconds used so far.

    Raises
    ------
    BudgetExhaustedError
        At the end, when no arm was ready within the budget.
    InvalidDataError
        At the end, when every arm was refused.
    """

    def __init__(
        self,
        portfolio: Portfolio,
        relation: Relation,
        budget: float,
        validation: Relation | None,
        clock: Callable[[], float],
    ) -> None:
        if not budget > 0:
            raise ConfigurationError(f"The budget was {budget} CPU seconds.", mend="Give a number above 0.")
        self.tried: list[Tried] = []
        self.spent = 0.0
        self._budget = budget
        self._clock = clock
        self._resumed = clock()
        self._portfolio = portfolio
        self._waiting = deque(portfolio.arms)
        self._closed = False
        self._ready: list[tuple[Entry, Any]] = []
        self._paces: list[float] = []
        self._classes = relation.classes
        self._encoder, self._race = self._prepared(relation, validation)
        self.spent = clock() - self._resumed

    def _prepared(self, relation: Relation, validation: Relation | None) -> tuple[Encoder, Race]:
        portfolio = self._portfolio
        if relation.label is None:
            raise InvalidDataError("The relation has no label.", mend="Name the label column.")
        if validation is not None and validation.classes != relation.classes:
            raise InvalidDataError(
                "The validation rows have other classes than the training rows.",
                mend="Read both with the same classes.",
            )
        rows = relation.take(relation.most_probable_world().labels >= 0)
        likeliest = labelled(rows)
        worlds = sampled(rows, portfolio.worlds, portfolio.seed) if portfolio.worlds else [likeliest]
        judged = likeliest if validation is None else _known(labelled(validation))
        codes = np.concatenate([world.labels for world in worlds]).astype(np.int64)
        truth = judged.labels.astype(np.int64)
        check_enough(codes, truth, len(self._classes))
        encoder = Encoder().fit(likeliest.frame, relation.columns)
        matrix = np.vstack([encoder.transform(world.frame) for world in worlds])
        if validation is None:
            fold = folds_of(truth, portfolio.seed)
            learnt = Examples(matrix, codes, np.tile(fold, len(worlds)))
        else:
            fold = np.zeros(len(truth), np.int64)
            learnt = Examples(matrix, codes, np.full(len(codes), -1))
        shown = matrix if judged is worlds[0] else encoder.transform(judged.frame)
        return encoder, Race(
            learnt,
            Examples(shown, truth, fold),
            classes=len(self._classes),
            fit=lambda arm, rows, labels: train(arm, portfolio.seed, rows, labels),
        )

    def __next__(self) -> Candidate:
        self._resumed = self._clock()
        try:
            while self._waiting and self._left() > 0:
                candidate = self._try(self._waiting.popleft())
                if candidate is not None:
                    return candidate
            if self._closed:
                raise StopIteration
            self._closed = True
            return self._vote()
        finally:
            self.spent += self._clock() - self._resumed

    def _left(self) -> float:
        return self._budget - self.spent - (self._clock() - self._resumed)

    def _try(self, arm: AlgorithmAnnounced) -> Candidate | None:
        started = self._clock()
        # Nobody, an endless algorithm least of all, may take more than half of what the others wait for.
        allowed = self._left() / 2 if self._waiting else self._left()
        if self._paces and statistics.median(self._paces) * arm.cost_hint * self._race.folds > allowed:
            self.tried.append(Tried(arm.algorithm, Outcome.COSTLY, 0.0))
            return None
        candidate, error = None, None
        try:
            with cpu_limit(allowed), memory_limit(MEMORY):
                candidate = self._trained(arm, started, allowed)
            outcome = Outcome.BEATEN if candidate is None else Outcome.TRAINED
        except BudgetExhaustedError as exhausted:
            outcome, error = Outcome.COSTLY, refusal(arm.algorithm, arm.family, exhausted)
        except Exception as refused:
            # An algorithm may raise anything on data it was not made for; the next one may be fit for it.
            outcome, error = Outcome.REFUSED, refusal(arm.algorithm, arm.family, refused)
        self.tried.append(Tried(arm.algorithm, outcome, self._clock() - started, error))
        return candidate

    def _trained(self, arm: AlgorithmAnnounced, started: float, allowed: float) -> Candidate | None:
        """Return the model of an arm if it is worth handing out."""

        def check_pace(folds: int) -> None:
            spent = self._clock() - started
            self._paces.append(spent / folds / max(arm.cost_hint, _LEAST_HINT))
            # One training more than there are folds: on all rows, which takes a little longer.
            if spent / folds * (self._race.folds + 1.5) > allowed:
                raise BudgetExhaustedError("What is left of the budget would not see it through.", mend="Give more.")

        entry = self._race.run(arm, check_pace)
        if entry is None or not self._among_the_best(entry):
            return None
        estimator = self._race.final(entry)
        # What cannot be stored is refused here, and not when somebody wants to keep it.
        dump(Classifier(self._encoder, estimator, self._classes))
        self._ready.append((entry, estimator))
        return self._candidate(arm.algorithm, {arm.algorithm: 1.0}, estimator, entry.probabilities)

    def _candidate(self, algorithm: str, members: dict[str, float], estimator: Any, judged: Floats) -> Candidate:
        accuracy, log_loss = score(judged, self._race.truth)
        model = Classifier(self._encoder, estimator, self._classes)
        return Candidate(algorithm, members, model, accuracy, log_loss, self._budget - self._left())

    def _among_the_best(self, entry: Entry) -> bool:
        entries = [*(ready for ready, _ in self._ready), entry]
        scores = [(one.accuracy, one.log_loss) for one in entries]
        # The most accurate decides who is close to it, so it stays even where others are surer.
        most_accurate = scores[-1] == max(scores, key=lambda one: (one[0], -one[1]))
        return most_accurate or len(entries) - 1 in surest(scores, len(self._race.truth), self._portfolio.members)

    def _vote(self) -> Candidate:
        """Return the vote of the best that are ready, or the best model where no other is close."""
        if not self._ready:
            refused = [tried.error for tried in self.tried if tried.outcome is Outcome.REFUSED]
            if len(refused) == len(self._portfolio.arms):
                raise InvalidDataError(
                    "Every algorithm of the portfolio was refused, the first:", mend=refused[0] or ""
                )
            raise BudgetExhaustedError(
                f"No model was ready within {self._budget:g} CPU seconds.",
                mend="Give more, or begin with cheaper arms.",
            )
        judged = np.stack([entry.probabilities for entry, _ in self._ready])
        weights = best_vote(judged, self._race.truth, self._portfolio.members)
        chosen = [
            (entry, estimator, weight)
            for (entry, estimator), weight in zip(self._ready, weights, strict=True)
            if weight
        ]
        members = {entry.arm.algorithm: float(weight) for entry, _, weight in chosen}
        if len(chosen) == 1:
            entry, estimator, _ = chosen[0]
            return self._candidate(entry.arm.algorithm, members, estimator, entry.probabilities)
        vote = Vote([estimator for _, estimator, _ in chosen], np.array([weight for *_, weight in chosen]))
        return self._candidate("vote", members, vote, np.tensordot(weights, judged, 1))


def _known(rows: Labelled) -> Labelled:
    known = rows.labels >= 0
    return Labelled(rows.frame[known], rows.labels[known])
