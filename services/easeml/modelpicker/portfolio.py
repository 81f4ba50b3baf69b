"""The portfolio engine: lookback questions, two estimates, combiners, drift, certificates, a hard budget.

Each label due goes, by a coin, to an audit of the next contested row or to the row of the lookback window that tells
most: about which model is best (Model Selector) or, while a combiner is served, also to the row of late about which
that one doubts most. See the modules of this package for each part and its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.acquisition import expected_gains, posterior_of
from easeml.modelpicker.combiners import N_COMBINERS, Evidence, RecentClasses
from easeml.modelpicker.decision import Decision
from easeml.modelpicker.drift import LossWatch, VoteWatch
from easeml.modelpicker.information import believed, information_gain
from easeml.modelpicker.pace import Pace
from easeml.modelpicker.pruning import Certificates
from easeml.modelpicker.robust import Audits
from easeml.modelpicker.rows import RowKey, Rows
from easeml.modelpicker.similarity import Labelled
from easeml.modelpicker.standing import Standing, beliefs, level
from easeml.modelpicker.voting import MISSING, Floats, Votes, contested, vote_mass

AUDITS = 0.2
"""Share of the labels that go to contested rows by chance."""

_DOUBTS = 0.75
_DOUBTFUL = 20
_REMEMBERED = 1000
_TEMPER = 0.25
_FREE, _OPEN = -2, -1
_MEMORY_OF_COUNTS = 4.0


@dataclass(slots=True)
class Question:
    """A row asked about.

    Attributes
    ----------
    votes : ndarray of int32, shape (k,)
    number : int
        The row's.
    said : ndarray of int32, shape (3,)
        Classes by the best model and the combiners when the row arrived.
    expected : ndarray of float64, shape (k,)
        Probability by the posterior that each model is right.
    believed : ndarray of float64, shape (k,)
        The same by similar rows.
    audit : float
        Probability of the audit that the row is; 0 for a row chosen by what it tells.
    """

    votes: Votes
    number: int
    said: Votes
    expected: Floats
    believed: Floats
    audit: float

    def join(self, vote: int, reference: int | None) -> None:
        """Add a model; it is expected to be what the reference is."""
        self.votes = np.append(self.votes, vote).astype(np.int32)
        for name in ("expected", "believed"):
            values = getattr(self, name)
            setattr(self, name, np.append(values, values[reference] if reference is not None else 0.0))

    def leave(self, index: int) -> None:
        """Remove a model."""
        for name in ("votes", "expected", "believed"):
            setattr(self, name, np.delete(getattr(self, name), index))


class Portfolio:
    """The engine behind ``policy="portfolio"``; models are known by their places.

    Parameters
    ----------
    k, n_classes, budget, horizon, lookback : int
    half_life : float, "auto" or None
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        k: int,
        n_classes: int,
        *,
        budget: int,
        horizon: int,
        half_life: float | str | None,
        lookback: int,
        rng: np.random.Generator,
    ) -> None:
        self.n_classes, self.half_life, self.lookback = n_classes, half_life, lookback
        self.drift, self.alarms = False, 0
        self.pace = Pace(budget, horizon)
        self.labels: dict[RowKey, int] = {}
        self.open: dict[RowKey, Question] = {}
        self._rng = rng
        self._window = Rows(lookback, {"number": np.zeros(0, np.int64), "votes": np.zeros((0, k), np.int32)})
        self._rows = Rows(max(_REMEMBERED, lookback), _columns(k, n_classes))
        self._labelled = Labelled(k, n_classes)
        self._standing = Standing(k, half_life)
        self._certificates, self._audits = Certificates(k), Audits(k)
        self._recent, self._evidence = RecentClasses(n_classes), Evidence()
        self._losses, self._vote_watch = LossWatch(), VoteWatch()
        self._waiting = 0
        self._since = 0
        self._override: int | None = None
        self._groups = np.zeros(k, np.int64)
        self._labelled.compare(np.unique(self._groups))
        self._weigh()

    @property
    def k(self) -> int:
        """Models that take part."""
        return len(self._groups)

    @property
    def lookback_rows(self) -> list[RowKey]:
        """Rows in the window, oldest first."""
        return self._window.ids

    @property
    def posterior(self) -> Floats:
        """Weight of each model by discounted counts of right answers, shape (k,); models that vote alike share one."""
        if not self.k:
            return np.zeros(0)
        return self._weights[self._groups] / np.bincount(self._groups, minlength=self.k)[self._groups]

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """Which models are still considered."""
        return self._certificates.alive.copy()

    @property
    def e_values(self) -> Floats:
        """Evidence that each model is not the best."""
        return self._certificates.e_values

    @property
    def intervals(self) -> Floats:
        """Accuracy on contested rows."""
        return self._certificates.intervals

    @property
    def best(self) -> int:
        """The best single model."""
        if self._override is not None and self._standing.leader is None:
            return self._override
        return self._standing.best(self._considered)

    @property
    def _considered(self) -> npt.NDArray[np.bool_]:
        alive = self._certificates.alive
        return alive if alive.any() else np.ones(self.k, np.bool_)

    @property
    def served(self) -> int:
        """The best single model, or k and above for a combiner that has proved better."""
        combiner = self._evidence.proven
        return self.best if combiner is None else self.k + combiner

    def step_batch(self, votes: Votes, row_ids: Sequence[RowKey]) -> Decision:
        """Take several rows in order."""
        self.drift = False
        asked: list[tuple[RowKey, Floats, float]] = []
        predictions: list[Votes] = []
        start = 0
        while start < len(votes):
            apart = (votes[start:] != votes[start:, self._groups]).any(axis=1)
            stop = start + int(apart.argmax()) if apart.any() else len(votes)
            if stop == start:
                self._tell_apart(votes[start])
            else:
                predictions.append(self._take(votes[start:stop], row_ids[start:stop], asked))
                start = stop
        said = np.concatenate(predictions) if predictions else np.zeros(0, np.int32)
        return Decision(
            query=tuple(row for row, _, _ in asked),
            served=self.served,
            prediction=int(said[-1]) if len(said) else MISSING,
            predictions=said,
            probabilities=np.array([mass for _, mass, _ in asked]).reshape(-1, self.n_classes),
            gains=np.array([gain for _, _, gain in asked]),
        )

    def _tell_apart(self, votes: Votes) -> None:
        """Let models that vote differently on this row be different models."""
        first: dict[tuple[int, int], int] = {}
        pairs = zip(self._groups.tolist(), votes.tolist(), strict=True)
        self._groups = np.array([first.setdefault(pair, i) for i, pair in enumerate(pairs)], np.int64)
        self._compare()

    def _compare(self) -> None:
        """Make everything anew that depends on which models are distinct."""
        self._labelled.compare(np.unique(self._groups))
        self._resum()
        self._weigh()

    def _resum(self) -> None:
        self._rows["sums"][:] = self._labelled.sums(self._rows["votes"])

    def _take(self, votes: Votes, row_ids: Sequence[RowKey], asked: list[tuple[RowKey, Floats, float]]) -> Votes:
        """Take rows on which no new models differ; return their predictions, and add what is asked to ``asked``."""
        for row in row_ids:
            self._window.remove(row)
            self._rows.remove(row)
        split = contested(votes)
        columns, predictions = self._believe(votes, split, row_ids)
        place = np.cumsum(split) - 1
        shown = kept = 0
        for i in range(len(votes)):
            split_here = bool(split[i])
            self.pace.advance(contested=split_here)
            if self._vote_watch.update(contested=split_here, impurity=float(columns["impurity"][i])):
                self._alarm()
            last = i == len(votes) - 1
            if not last and self.pace.due == 0:
                continue
            numbers = np.arange(self.pace.row - (i + 1 - shown), self.pace.row)
            self._window.extend(row_ids[shown : i + 1], number=numbers, votes=votes[shown : i + 1])
            upto = int(place[i]) + 1
            ids = [row_ids[j] for j in (np.flatnonzero(split[shown : i + 1]) + shown).tolist()]
            self._rows.extend(ids, **{name: columns[name][kept:upto] for name in self._rows.columns()})
            shown, kept = i + 1, upto
            self._ask_due(split_here, asked)
        return predictions

    def _believe(
        self, votes: Votes, split: npt.NDArray[np.bool_], row_ids: Sequence[RowKey]
    ) -> tuple[dict[str, npt.NDArray[Any]], Votes]:
        """Return the columns of contested rows, with the impurity of all, and the predictions of all rows."""
        at = np.flatnonzero(split)
        own = votes[at]
        numbers = self.pace.row + at
        mass = vote_mass(np.broadcast_to(self._weights, own.shape), own, self.n_classes)
        sums = self._labelled.sums(own)
        plain, adapted = self._combine(votes, split, sums, mass)
        right = beliefs(sums, _of_votes(mass, own), own)
        best = self._standing.see(numbers, own, right, level(_of_votes(adapted, own), own), self._considered)
        if self._override is not None and self._standing.leader is None:
            best[:] = self._override
        said = np.stack([self._classes_of(own, best), plain.argmax(axis=1), adapted.argmax(axis=1)], axis=1)
        predictions = votes.max(axis=1, initial=MISSING).astype(np.int32)
        combiner = self._evidence.proven
        predictions[at] = said[:, 0 if combiner is None else combiner + 1]
        shares = vote_mass(np.ones(own.shape), own, self.n_classes)
        impurity = np.zeros(len(votes))
        impurity[at] = 1 - (shares**2).sum(axis=1)
        return {
            "number": numbers,
            "votes": own,
            "status": np.array([self._status(row_ids[i]) for i in at.tolist()], np.int64),
            "sums": sums,
            "gain": expected_gains(self._hoped, own, self.n_classes),
            "doubt": 1 - adapted.max(axis=1, initial=0.0),
            "said": said.astype(np.int32),
            "impurity": impurity,
        }, predictions

    def _combine(self, votes: Votes, split: npt.NDArray[np.bool_], sums: Floats, mass: Floats) -> tuple[Floats, Floats]:
        """Return what the combiners believe about contested rows; agreed rows tell which classes are recent."""
        balance = self._labelled.balance
        plain, adapted = np.empty_like(sums), np.empty_like(sums)
        place = 0
        for row, contest in zip(votes, split, strict=True):
            if contest:
                plain[place], adapted[place], even = self._recent.combine(sums[place], balance, mass[place])
                place += 1
            else:
                even = np.zeros(self.n_classes)
                agreed = int(row.max(initial=MISSING))
                if agreed != MISSING:
                    even[agreed] = 1.0
            self._recent.see(even)
        return plain, adapted

    def _status(self, row: RowKey) -> int:
        return self.labels.get(row, _OPEN if row in self.open else _FREE)

    def _classes_of(self, votes: Votes, models: npt.NDArray[np.int64]) -> Votes:
        """Return the class a model gives to each row, or, where it gives none, that of the next best that does."""
        found = votes[np.arange(len(votes)), models]
        for i in np.flatnonzero(found == MISSING):
            order = np.argsort(-self._standing.scores(self._standing.leader), kind="stable")
            found[i] = next((votes[i, m] for m in order if votes[i, m] != MISSING), MISSING)
        return found

    def _ask_due(self, contest: bool, asked: list[tuple[RowKey, Floats, float]]) -> None:
        """Spend the labels due, as far as there are rows to ask about."""
        rows = self._rows
        self._waiting = min(self._waiting, self.pace.due)
        if contest and self._waiting and rows["status"][-1] == _FREE:
            self._waiting -= 1
            chance = min(AUDITS * self.pace.rate / self.pace.share, 1.0)
            asked.append(self._ask(len(rows) - 1, max(chance, 1e-12)))
        while self.pace.due > self._waiting:
            start = int(np.searchsorted(rows["number"], self.pace.row - max(self.lookback, 1)))
            free = np.flatnonzero(rows["status"][start:] == _FREE) + start
            if not len(free):
                break
            coin = self._rng.random()
            if coin < AUDITS:
                self._waiting += 1
            else:
                asked.append(self._ask(self._choose(free, coin), 0.0))

    def _choose(self, free: npt.NDArray[np.int64], coin: float) -> int:
        """Return the row, of those free, whose label tells most."""
        rows = self._rows
        if self._evidence.proven is not None and coin < AUDITS + (1 - AUDITS) * _DOUBTS:
            late = free[free >= len(rows) - _DOUBTFUL]
            late = late if len(late) else free
            return int(late[rows["doubt"][late].argmax()])
        if self._stale:
            self._score()
        gains = rows["gain"][free]
        half_life = self._standing.half_life_in_use
        if half_life is not None:
            gains = gains * np.exp2((rows["number"][free] - self.pace.row) / half_life)
        return int(free[gains.argmax()])

    def _ask(self, place: int, audit: float) -> tuple[RowKey, Floats, float]:
        """Ask about a row; return it, the posterior mass of its classes, and the bits it tells."""
        rows = self._rows
        row, votes = rows.ids[place], rows["votes"][place].copy()
        mass = vote_mass(self._weights[None], votes[None], self.n_classes)
        expected = level(_of_votes(mass, votes[None]), votes[None])[0]
        right = beliefs(rows["sums"][[place]], _of_votes(mass, votes[None]), votes[None])[0]
        number, said = int(rows["number"][place]), rows["said"][place].copy()
        self.open[row] = Question(votes, number, said, expected, right, audit)
        rows["status"][place] = _OPEN
        self.pace.asked += 1
        # what is open is expected to be answered as the posterior says, so the next question asks something else
        self._settle()
        self._stale = True
        belief, error = believed(self._history(), self.n_classes)
        gain = information_gain(belief, votes, self._window["votes"], self.n_classes, error=error)
        return row, mass[0], gain

    def _expected(self) -> Floats:
        """Return how often each model is expected to be right on the open questions."""
        return sum((question.expected for question in self.open.values()), start=np.zeros(self.k))

    def _history(self) -> npt.NDArray[np.int8]:
        """Return which models were right on the answered rows since the last alarm, shape (a, k); -1 without vote."""
        known = self._labelled
        votes, labels = known.votes[known.weights == 1], known.labels[known.weights == 1]
        return np.where(votes == MISSING, -1, votes == labels[:, None]).astype(np.int8)

    def answer(self, row: RowKey, label: int) -> None:
        """Take the answer to an open question."""
        question = self.open.pop(row)
        self.labels[row] = label
        place = self._rows.find(row)
        if place is not None:
            self._rows["status"][place] = label
        self._learn(question, label)
        self._recent.answer(label, self.pace.row - question.number)
        self._evidence.add(question.said, label, self.pace.row, fading=self.half_life is not None)
        model = self.best
        voted = question.votes != MISSING
        right = np.where(voted, question.votes == label, -1).astype(np.int8)
        if question.audit:
            self._certificates.add(right)
            errors = np.where(voted, right - question.believed, 0.0)
            self._audits.add(errors, question.audit)
        self.drift = bool(voted[model]) and self._losses.update(
            right=bool(right[model]), believed=float(question.believed[model])
        )
        if self.drift:
            self._labelled.temper(_TEMPER)
            self._resum()
            self._alarm()
        else:
            self._weigh()
        self._judge()

    def _learn(self, question: Question, label: int) -> None:
        """Let a label speak for similar rows."""
        known, rows = self._labelled, self._rows
        known.add(question.votes, label, question.number)
        half_life = self._standing.half_life
        before = self.pace.row - int(_MEMORY_OF_COUNTS * half_life) if isinstance(half_life, float) else 0
        if known.expire(before):
            self._resum()
        else:
            rows["sums"][:, label] += known.worth(rows["votes"])

    def _alarm(self) -> None:
        """Begin anew what was learnt from rows before a change."""
        self.drift = True
        self.alarms += 1
        self._certificates.restart(self.k)
        self._audits = Audits(self.k)
        if self.half_life is not None:
            self._since = self.pace.row - _DOUBTFUL
            self.pace.restart()
        self._weigh()

    def _weigh(self) -> None:
        """Make the posterior from the labels, and the worth of questions from the posterior."""
        known, half_life = self._labelled, self._standing.half_life_in_use
        self._shares = np.zeros(self.k)
        considered = self._considered
        for first in np.unique(self._groups).tolist():
            self._shares[first] = float(considered[self._groups == first].any())
        weights = known.weights
        if half_life is not None:
            weights = weights * np.exp2((known.numbers - self.pace.row) / (_MEMORY_OF_COUNTS * half_life))
        self._counts = (known.right * weights[:, None]).sum(axis=0)
        self._settle()
        self._score()

    def _settle(self) -> None:
        """Make the posterior from the counts, and the one expected once all open questions are answered."""
        if self.k:
            self._weights = posterior_of(self._counts, self._shares)
            self._hoped = posterior_of(self._counts + self._expected(), self._shares)
        else:
            self._weights = self._hoped = np.zeros(0)

    def _score(self) -> None:
        """Value the rows of the window that may be asked about."""
        rows = self._rows
        start = int(np.searchsorted(rows["number"], self.pace.row - max(self.lookback, 1)))
        rows["gain"][start:] = expected_gains(self._hoped, rows["votes"][start:], self.n_classes)
        self._stale = False

    def _judge(self) -> None:
        """Estimate anew how good the models are, by rows since the last change."""
        rows, counted = self._rows, int(np.searchsorted(self._rows["number"], self._since))
        votes, status = rows["votes"][counted:], rows["status"][counted:]
        mass = vote_mass(np.broadcast_to(self._weights, votes.shape), votes, self.n_classes)
        right = beliefs(rows["sums"][counted:], _of_votes(mass, votes), votes)
        known = status >= 0
        right[known] = level((votes[known] == status[known, None]).astype(np.float64), votes[known])
        self._standing.remake(rows["number"][counted:], votes, right)
        self._override = None
        if self.half_life != "auto" or self._standing.leader is None:
            best = self.best
            believed_right = right.mean(axis=0) if len(right) else np.zeros(self.k)
            other = self._audits.contradict(believed_right, best, self._considered)
            self._override = other if other != best else None

    def withdraw(self, row: RowKey) -> bool:
        """Take back an open question; its label returns to the budget."""
        if self.open.pop(row, None) is None:
            return False
        self.pace.asked -= 1
        self._weigh()
        return True

    def join(self, votes: Votes) -> None:
        """Add a model with its votes on the window, oldest row first; it starts level with the best elsewhere."""
        known, window = self._labelled, self._window
        k, reference = self.k, self.best if self.k else None
        votes = votes.astype(np.int32)
        by_number = dict(zip(window["number"].tolist(), votes.tolist(), strict=True))

        def own(numbers: npt.NDArray[np.int64]) -> Votes:
            return np.array([by_number.get(number, MISSING) for number in numbers.tolist()], np.int32)

        column = own(known.numbers)
        as_best = known.right[:, reference] if reference is not None else np.zeros(len(known))
        known.join(column, np.where(column == MISSING, as_best, column == known.labels))
        window.replace(list(window.ids), window.columns() | {"votes": np.column_stack([window["votes"], votes])})
        columns = self._rows.columns()
        columns["votes"] = np.column_stack([columns["votes"], own(columns["number"])])
        self._rows.replace(list(self._rows.ids), columns)
        self._insert_contested()
        for question in self.open.values():
            question.join(by_number.get(question.number, MISSING), reference)
        self._groups = np.append(self._groups, k)
        for part in (self._standing, self._certificates, self._audits):
            part.join()
        self._compare()
        self._judge()

    def _insert_contested(self) -> None:
        """Remember the rows of the window that have become contested."""
        window, rows = self._window, self._rows
        fresh = [i for i in np.flatnonzero(contested(window["votes"])) if rows.find(window.ids[i]) is None]
        votes = window["votes"][fresh]
        agreed = votes[:, :-1].max(axis=1, initial=MISSING)
        added = {
            "number": window["number"][fresh],
            "votes": votes,
            "status": np.array([self._status(window.ids[i]) for i in fresh], np.int64),
            "sums": np.zeros((len(fresh), self.n_classes)),
            "gain": np.zeros(len(fresh)),
            "doubt": np.zeros(len(fresh)),
            "said": np.repeat(agreed[:, None], 1 + N_COMBINERS, axis=1),
        }
        merged = {name: np.concatenate([value, added[name]]) for name, value in rows.columns().items()}
        order = np.argsort(merged["number"], kind="stable")
        ids = rows.ids + [window.ids[i] for i in fresh]
        rows.replace([ids[i] for i in order], {name: value[order] for name, value in merged.items()})

    def leave(self, index: int) -> None:
        """Remove a model."""
        for rows in (self._window, self._rows):
            rows.replace(list(rows.ids), rows.columns() | {"votes": np.delete(rows["votes"], index, axis=1)})
        for part in (self._labelled, self._standing, self._certificates, self._audits):
            part.leave(index)
        for question in self.open.values():
            question.leave(index)
        groups = np.delete(self._groups, index)
        first: dict[int, int] = {}
        self._groups = np.array([first.setdefault(group, i) for i, group in enumerate(groups.tolist())], np.int64)
        self._override = None
        if self.k:
            self._compare()
            self._judge()

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and lists, and arrays."""
        questions = list(self.open.values())
        rows = self._rows.state()
        del rows["sums"]
        return {
            "drift": self.drift,
            "alarms": self.alarms,
            "waiting": self._waiting,
            "since": self._since,
            "override": self._override,
            "groups": self._groups.copy(),
            "counts": self._counts.copy(),
            "shares": self._shares.copy(),
            "stale": self._stale,
            "pace": self.pace.state(),
            "memory": {
                "lookback": self.lookback,
                "answered_ids": list(self.labels),
                "answered_labels": np.array(list(self.labels.values()), np.int64),
                "open_ids": list(self.open),
                "open_votes": np.array([q.votes for q in questions], np.int32).reshape(-1, self.k),
                "open_said": np.array([q.said for q in questions], np.int32).reshape(-1, 3),
                "open_expected": np.array([q.expected for q in questions]).reshape(-1, self.k),
                "open_believed": np.array([q.believed for q in questions]).reshape(-1, self.k),
                "open_numbers": np.array([q.number for q in questions], np.int64),
                "open_audits": np.array([q.audit for q in questions], np.float64),
                "window_ids": list(self._window.ids),
                "window_numbers": self._window["number"].copy(),
                "window_votes": self._window["votes"].copy(),
            },
            "rows": rows,
            "labelled": self._labelled.state(),
            "standing": self._standing.state(),
            "certificates": self._certificates.state(),
            "audits": self._audits.state(),
            "recent": self._recent.counts.copy(),
            "evidence": self._evidence.state(),
            "losses": self._losses.adwin.window.copy(),
            "vote_watch": self._vote_watch.state(),
            "rng": deepcopy(self._rng.bit_generator.state),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], n_classes: int, half_life: float | str | None) -> Self:
        """Return what :meth:`state` described."""
        groups = np.array(state["groups"], np.int64)
        k = len(groups)
        generator = getattr(np.random, str(state["rng"]["bit_generator"]))()
        generator.state = state["rng"]
        engine = cls(
            k,
            n_classes,
            budget=state["pace"]["budget"],
            horizon=state["pace"]["horizon"],
            half_life=half_life,
            lookback=int(state["memory"]["lookback"]),
            rng=np.random.Generator(generator),
        )
        for name in ("waiting", "since", "override"):
            setattr(engine, f"_{name}", state[name])
        engine.drift, engine.alarms = bool(state["drift"]), int(state["alarms"])
        engine.pace = Pace.from_state(state["pace"])
        engine._remember(state["memory"])
        engine._groups = groups
        engine._labelled = Labelled.from_state(state["labelled"], k, n_classes)
        engine._labelled.compare(np.unique(groups))
        like = _columns(k, n_classes)
        del like["sums"]
        rows = Rows.from_state(state["rows"], like)
        sums = engine._labelled.sums(rows["votes"])
        engine._rows.replace(rows.ids, rows.columns() | {"sums": sums})
        engine._standing = Standing.from_state(state["standing"])
        engine._certificates = Certificates.from_state(state["certificates"])
        engine._audits = Audits.from_state(state["audits"], k)
        engine._recent.counts = np.array(state["recent"], np.float64)
        engine._evidence = Evidence.from_state(state["evidence"])
        engine._losses.adwin.window = np.array(state["losses"], np.float64)
        engine._vote_watch = VoteWatch.from_state(state["vote_watch"])
        engine._counts, engine._shares = np.array(state["counts"]), np.array(state["shares"])
        engine._settle()
        engine._stale = bool(state["stale"])
        return engine

    def _remember(self, memory: dict[str, Any]) -> None:
        """Take over answers, questions and the window from a state."""
        self.labels = dict(zip(memory["answered_ids"], map(int, memory["answered_labels"]), strict=True))
        columns = [
            np.array(memory[f"open_{name}"], dtype)
            for name, dtype in (
                ("votes", np.int32),
                ("numbers", np.int64),
                ("said", np.int32),
                ("expected", np.float64),
                ("believed", np.float64),
                ("audits", np.float64),
            )
        ]
        for row, votes, number, said, expected, right, audit in zip(memory["open_ids"], *columns, strict=True):
            self.open[row] = Question(votes, int(number), said, expected, right, float(audit))
        votes = np.array(memory["window_votes"], np.int32).reshape(-1, self.k)
        self._window.extend(memory["window_ids"], number=np.array(memory["window_numbers"], np.int64), votes=votes)


def _columns(k: int, n_classes: int) -> dict[str, npt.NDArray[Any]]:
    """Return the columns in which contested rows are remembered, empty."""
    return {
        "number": np.zeros(0, np.int64),
        "votes": np.zeros((0, k), np.int32),
        "status": np.zeros(0, np.int64),
        "sums": np.zeros((0, n_classes)),
        "gain": np.zeros(0),
        "doubt": np.zeros(0),
        "said": np.zeros((0, 1 + N_COMBINERS), np.int32),
    }


def _of_votes(mass: Floats, votes: Votes) -> Floats:
    """Return for each vote the value of its class, shape (n, k), from (n, n_classes); a missing vote gets any."""
    return np.take_along_axis(mass, np.maximum(votes, 0).astype(np.int64), axis=1)
