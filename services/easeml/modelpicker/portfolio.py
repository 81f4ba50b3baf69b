"""The portfolio engine: lookback questions, two estimates, combiners, drift, certificates, a hard budget.

Each label due goes, by a coin, to an audit of the next contested row or to the row of the lookback window that tells
most about which model is best (Model Selector) or, while the stream drifts, to the late row in most doubt.
Rows are taken in as they come and thought about before every question and answer, and else at least every 512 rows.
See the modules of this package for each part and its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.acquisition import Posterior, worth_asking
from easeml.modelpicker.combiners import Evidence, RecentClasses, adapted
from easeml.modelpicker.decision import Decision
from easeml.modelpicker.drift import LossWatch, VoteWatch
from easeml.modelpicker.information import Known, information_gain
from easeml.modelpicker.pace import Pace
from easeml.modelpicker.pruning import Certificates
from easeml.modelpicker.recall import FREE, OPEN, Question, Recall, generator_of
from easeml.modelpicker.robust import Audits
from easeml.modelpicker.rows import RowKey
from easeml.modelpicker.similarity import MOST
from easeml.modelpicker.standing import Standing, level
from easeml.modelpicker.validated import Validated, Validation
from easeml.modelpicker.voting import MISSING, Floats, Votes, contested, of_votes, vote_mass

AUDITS = 0.2
"""Share of the labels that go to contested rows by chance."""

_DOUBTS = 0.9
_DOUBTFUL = 20
_TEMPER = 0.25
_AT_EASE, _IN_HASTE = 512, 4
_MEMORY_OF_COUNTS = 4.0
_FIGURES = ("drift", "alarms", "_waiting", "_since", "_starved", "_override", "best")
_PARTS = (
    "pace", "memory", "_posterior", "_standing", "_certificates", "_audits", "_evidence", "_validated", "_vote_watch",
)  # fmt: skip

Asked = tuple[RowKey, Floats, float]  # the row, the posterior mass of its classes, the bits it tells


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
        self.n_classes = n_classes
        self.half_life = half_life if half_life is None or isinstance(half_life, str) else float(half_life)
        self.drift, self.alarms = False, 0
        self.pace = Pace(budget, horizon)
        self._rng = rng
        self.memory, self._validated = Recall(k, n_classes, lookback), Validated(k)
        self._standing = Standing(k, self.half_life)
        self._certificates, self._audits, self._evidence = Certificates(k), Audits(k), Evidence()
        self._recent, self._live = RecentClasses(n_classes), RecentClasses(n_classes)
        self._losses, self._vote_watch = LossWatch(), VoteWatch()
        self._new: list[tuple[RowKey, Votes, bool]] = []
        self._waiting = self._since = 0
        self._starved = False
        self._override: int | None = None
        self._groups = np.zeros(k, np.int64)
        self._posterior = Posterior(k)
        self._compare()
        self._choose_served()

    @property
    def k(self) -> int:
        """Models that take part."""
        return len(self._groups)

    @property
    def posterior(self) -> Floats:
        """Weight of each model by discounted counts of right answers, shape (k,); models that vote alike share one."""
        if not self.k:
            return np.zeros(0)
        return np.asarray(
            self._posterior.weights[self._groups] / np.bincount(self._groups, minlength=self.k)[self._groups]
        )

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
    def _considered(self) -> npt.NDArray[np.bool_]:
        """Which models may be chosen; where a half-life is set, what was proved once need not hold any more."""
        alive = self._certificates.alive
        lasting = not isinstance(self.half_life, float) and alive.any()
        return alive if lasting else np.ones(self.k, np.bool_)

    def _choose_served(self) -> None:
        """Settle on the best single model, and on a combiner if one has proved better."""
        self.combiner = self._evidence.proven
        if self._override is not None and self._standing.leader is None:
            self.best = self._override
        else:
            self.best = self._standing.best(self._considered) if self.k else 0
        self._live.counts = self._recent.counts.copy()

    def step_batch(self, votes: Votes, row_ids: Sequence[RowKey]) -> Decision:
        """Take several rows in order."""
        self.drift = False
        asked: list[Asked] = []
        split, apart = contested(votes), self._apart(votes)
        predictions = np.empty(len(votes), np.int32)
        start = 0
        while start < len(votes):
            if apart[start]:
                self._think()
                self._tell_apart(votes[start])
                apart = self._apart(votes)
            stop = self._pass(split, apart, start)
            rows = slice(start, stop)
            predictions[rows] = self._take(row_ids[rows], votes[rows], split[rows])
            contest = bool(split[stop - 1])
            if self._asks(contest):
                self._think()
                self._ask_due(contest, asked)
            elif len(self._new) >= self._patience:
                self._think()
            start = stop
        return Decision(
            query=tuple(row for row, _, _ in asked),
            served=self.best if self.combiner is None else self.k + self.combiner,
            prediction=int(predictions[-1]) if len(predictions) else MISSING,
            predictions=predictions,
            probabilities=np.array([mass for _, mass, _ in asked]).reshape(-1, self.n_classes),
            gains=np.array([gain for _, _, gain in asked]),
        )

    @property
    def _patience(self) -> int:
        """Rows after which those that came are thought about."""
        return _IN_HASTE if self._standing.leader is not None else min(_IN_HASTE + self.pace.row // 4, _AT_EASE)

    def _asks(self, contest: bool) -> bool:
        """Return whether a label is due that may be asked for after the row that passed last."""
        due = self.pace.due
        return due > 0 and (contest or (due > self._waiting and not self._starved))

    def _pass(self, split: npt.NDArray[np.bool_], apart: npt.NDArray[np.bool_], start: int) -> int:
        """Let rows pass up to one after which there is something to do; return the place behind it."""
        for i in range(start, len(split)):
            contest, many = bool(split[i]), len(self._new) + i + 1 - start
            self.pace.advance(contested=contest)
            if many >= self._patience or self._asks(contest) or apart[i + 1 : i + 2].any():
                return i + 1
        return len(split)

    def _take(self, row_ids: Sequence[RowKey], votes: Votes, split: npt.NDArray[np.bool_]) -> Votes:
        """Remember rows that passed; return the classes served for them."""
        for row in row_ids:
            self.memory.forget(row)
        self.memory.window.extend(row_ids, number=np.arange(self.pace.row - len(votes), self.pace.row), votes=votes)
        self._new.extend(zip(row_ids, votes.copy(), split.tolist(), strict=True))
        return self._predict(votes, split)

    def _predict(self, votes: Votes, split: npt.NDArray[np.bool_]) -> Votes:
        """Return the classes served for the rows that came last."""
        if self.combiner is None:
            said: Votes = votes[:, self.best].copy()
            for i in np.flatnonzero(said == MISSING).tolist():
                said[i] = self._next_best(votes[i])
            return said
        _, belief = self.memory.combine(votes[split])
        if self.combiner > 0:
            even = self.memory.even(votes, split, belief)
            belief = adapted(even[split], self._live.see(even)[split])
        said = np.asarray(votes.max(axis=1, initial=MISSING), np.int32)
        said[split] = belief.argmax(axis=1)
        return said

    def _next_best(self, votes: Votes) -> int:
        """Return the class by the best of the models that have a vote, -1 without any."""
        order = np.argsort(-self._standing.scores(self._standing.leader), kind="stable")
        return next((int(votes[m]) for m in order if votes[m] != MISSING), MISSING)

    def _apart(self, votes: Votes) -> npt.NDArray[np.bool_]:
        """Return on which rows models differ that never did before."""
        if len(self.memory.labelled.distinct) == self.k:
            return np.zeros(len(votes), np.bool_)
        return np.asarray((votes != votes[:, self._groups]).any(axis=1))

    def _tell_apart(self, votes: Votes) -> None:
        """Let models that vote differently on this row be different models."""
        first: dict[tuple[int, int], int] = {}
        pairs = zip(self._groups.tolist(), votes.tolist(), strict=True)
        self._groups = np.array([first.setdefault(pair, i) for i, pair in enumerate(pairs)], np.int64)
        self._compare()

    def _compare(self) -> None:
        """Make everything anew that depends on which models are distinct."""
        self.memory.labelled.compare(np.unique(self._groups))
        self.memory.recount()
        self._weigh()

    def _think(self) -> None:
        """Take the rows that came since into every estimate."""
        if not self._new:
            return
        votes = np.stack([votes for _, votes, _ in self._new])
        split = np.array([contest for _, _, contest in self._new])
        at = np.flatnonzero(split)
        ids = [self._new[i][0] for i in at.tolist()]
        numbers = self.pace.row - len(self._new) + at
        columns = self._believe(votes, split, numbers)
        columns["status"] = np.array([self.memory.status(row) for row in ids], np.int64)
        self.memory.rows.extend(ids, **columns)
        self._new.clear()
        self._starved = False
        self._watch(votes, split)
        self._choose_served()

    def _believe(
        self, votes: Votes, split: npt.NDArray[np.bool_], numbers: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the columns in which new contested rows are remembered."""
        own = votes[split]
        apart, belief = self.memory.combine(own)
        even = self.memory.even(votes, split, belief)
        believed_adapted = adapted(even[split], self._recent.see(even)[split])
        right = level(of_votes(belief, own), own)
        best = self._standing.see(numbers, own, right, level(of_votes(believed_adapted, own), own), self._considered)
        if self._override is not None and self._standing.leader is None:
            best[:] = self._override
        by_best = own[np.arange(len(own)), best]
        said = np.stack([by_best, belief.argmax(axis=1), believed_adapted.argmax(axis=1)], axis=1)
        padded = np.zeros((len(own), MOST), apart.dtype)
        padded[:, : apart.shape[1]] = apart
        return {
            "number": numbers,
            "votes": own,
            "apart": padded,
            "doubt": 1 - believed_adapted.max(axis=1, initial=0.0),
            "said": said.astype(np.int32),
        }

    def _watch(self, votes: Votes, split: npt.NDArray[np.bool_]) -> None:
        """Look for a change of how models disagree."""
        shares = vote_mass(np.ones(votes.shape), votes, self.n_classes)
        impurity = 1 - (shares**2).sum(axis=1)
        for contest, value in zip(split.tolist(), impurity.tolist(), strict=True):
            if ago := self._vote_watch.update(contested=contest, impurity=value):
                self._alarm(ago)

    def _ask_due(self, contest: bool, asked: list[Asked]) -> None:
        """Spend the labels due, as far as there are rows to ask about; the newest one may be contested."""
        rows = self.memory.rows
        # once all is due, nothing waits for rows that may never come
        over = self.pace.row >= self.pace.horizon
        self._waiting = 0 if over else min(self._waiting, self.pace.due)
        if contest and self._waiting and rows["status"][-1] == FREE:
            self._waiting -= 1
            chance = min(AUDITS * self.pace.rate / self.pace.share, 1.0)
            asked.append(self._ask(len(rows) - 1, chance))
        while self.pace.due > self._waiting:
            start = self.memory.since(self._window_start)
            free = np.flatnonzero(rows["status"][start:] == FREE) + start
            self._starved = not len(free)
            if self._starved:
                break
            coin = self._rng.random()
            if coin < AUDITS and not over:
                self._waiting += 1
            else:
                asked.append(self._ask(self._choose(free, coin), 0.0))

    @property
    def _window_start(self) -> int:
        return self.pace.row - max(self.memory.lookback, 1)

    def _choose(self, free: npt.NDArray[np.int64], coin: float) -> int:
        """Return the row, of those free, whose label tells most."""
        rows = self.memory.rows
        if self._standing.leader is not None and coin < AUDITS + (1 - AUDITS) * _DOUBTS:
            late = free[free >= len(rows) - _DOUBTFUL]
            late = late if len(late) else free
            return int(late[rows["doubt"][late].argmax()])
        worth = worth_asking(self._posterior.hoped, rows["votes"][free], self.memory.belief(free))
        return int(free[(worth * self._standing.faded(self.pace.row - rows["number"][free])).argmax()])

    def _ask(self, place: int, audit: float) -> Asked:
        """Ask about a contested row."""
        rows = self.memory.rows
        row, votes = rows.ids[place], rows["votes"][place].copy()
        mass = vote_mass(self._posterior.weights[None], votes[None], self.n_classes)
        own = of_votes(mass, votes[None])
        expected = level(own, votes[None])[0]
        right = self.memory.right(slice(place, place + 1))[0]
        number, said = int(rows["number"][place]), rows["said"][place].copy()
        self.memory.ask(row, Question(votes, number, said, expected, right, audit))
        rows["status"][place] = OPEN
        self.pace.asked += 1
        # what is open is expected to be answered as the posterior says, so the next question asks something else
        self._posterior.settle(self.memory.expected(self.k))
        return row, mass[0], float(self.worth([row])[0])

    def worth(self, rows: Sequence[RowKey]) -> Floats:
        """Return the bits that answers to open questions are expected to tell now."""
        votes = np.array([self.memory.open[row].votes for row in rows], np.int32).reshape(len(rows), self.k)
        known = Known(*self.memory.history(), self._trusted, self._validated.expected)
        return information_gain(votes, self.memory.window["votes"], known, self.best, self.n_classes)

    @property
    def _trusted(self) -> float:
        """Rows that validation counts as now."""
        return self._validated.worth * float(self._standing.faded(np.array(self.pace.row) / _MEMORY_OF_COUNTS))

    def answer(self, row: RowKey, label: int) -> None:
        """Take the answer to an open question."""
        self._think()
        question = self.memory.close(row, label)
        before = self.pace.row - int(_MEMORY_OF_COUNTS * self.half_life) if isinstance(self.half_life, float) else 0
        self.memory.learn(question, label, before)
        self._recent.answer(label, self.pace.row - question.number)
        self._evidence.add(question.said, label, audited=question.audit > 0)
        voted = question.votes != MISSING
        right = np.where(voted, question.votes == label, -1).astype(np.int8)
        if question.audit:
            self._certificates.add(right)
            self._audits.add(np.where(voted, right - question.believed, 0.0), question.audit)
        self.drift = (
            self.k > 0
            and bool(voted[self.best])
            and self._losses.update(right=bool(right[self.best]), believed=float(question.believed[self.best]))
        )
        if self.drift:
            self.memory.labelled.temper(_TEMPER)
            self._alarm(_DOUBTFUL)
        else:
            self._weigh()
        self._judge()

    def _alarm(self, ago: int) -> None:
        """Begin anew what was learnt from rows before a change some rows ago."""
        self.drift = True
        self.alarms += 1
        self._validated.temper()
        self._certificates.restart(self.k)
        self._audits = Audits(self.k)
        if self.half_life is not None:
            self._since = self.pace.row - ago
            self._evidence = Evidence()
            self.pace.restart()
        self._weigh()

    def _weigh(self) -> None:
        """Make the posterior from the labels."""
        known = self.memory.labelled
        weights = known.weights * self._standing.faded((self.pace.row - known.numbers) / _MEMORY_OF_COUNTS)
        counts = (known.right * weights[:, None]).sum(axis=0) + self._trusted * self._validated.expected
        self._posterior.count(counts, self._groups, self._considered)
        self._posterior.settle(self.memory.expected(self.k))
        self.memory.fit(self._posterior.weights)

    def _judge(self) -> None:
        """Estimate anew how good the models are, if there are any, by contested rows since the last change."""
        if not self.k:
            return
        numbers, votes, right = self.memory.believed(self._since)
        # rows are believed by the few that are labelled, so a validation row counts as many as a label stands for
        each = max(len(right) / (1 + float(self.memory.labelled.weights.sum())), 1.0)
        self._standing.remake(numbers, votes, right, each * self._trusted, self._validated.expected)
        self._override = None
        self._choose_served()
        if self._standing.half_life_in_use is None and len(right):
            other = self._audits.contradict(right.mean(axis=0), self.best, self._considered)
            self._override = other if other != self.best else None
            self._choose_served()

    def withdraw(self, row: RowKey) -> bool:
        """Take back an open question; its label returns to the budget."""
        if self.memory.withdraw(row) is None:
            return False
        self.pace.asked -= 1
        self._weigh()
        return True

    def join(self, votes: Votes) -> None:
        """Add a model with its votes on the lookback rows; it starts level with the best elsewhere."""
        self._think()
        same = (self.memory.lookback_votes == votes[:, None]).all(axis=0) & (len(votes) > 0)
        self.memory.join(votes, self.best if self.k else None)
        self._groups = np.append(self._groups, self._groups[same.argmax()] if same.any() else self.k)
        for part in (self._standing, self._certificates, self._audits, self._validated):
            part.join()
        self._vote_watch = VoteWatch()
        self._compare()
        self._judge()

    def validate(self, index: int, found: Validation) -> None:
        """Take what validation said of a model."""
        self._think()
        self._validated.learn(index, found)
        self._weigh()
        self._judge()

    def leave(self, index: int) -> None:
        """Remove a model."""
        self._think()
        for part in (self.memory, self._standing, self._certificates, self._audits, self._validated):
            part.leave(index)
        self._vote_watch = VoteWatch()
        first: dict[int, int] = {}
        groups = np.delete(self._groups, index).tolist()
        self._groups = np.array([first.setdefault(group, i) for i, group in enumerate(groups)], np.int64)
        self._override = None
        self._compare()
        self._judge()

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and lists, and arrays."""
        votes = [votes for _, votes, _ in self._new]
        return {
            "groups": self._groups.copy(),
            "new_ids": [row for row, _, _ in self._new],
            "new_votes": np.array(votes, np.int32).reshape(len(votes), self.k),
            "recent": self._recent.counts.copy(),
            "losses": self._losses.adwin.window.copy(),
            "rng": deepcopy(self._rng.bit_generator.state),
            **{name.lstrip("_"): getattr(self, name) for name in _FIGURES},
            **{name.lstrip("_"): getattr(self, name).state() for name in _PARTS},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], n_classes: int, half_life: float | str | None) -> Self:
        """Return what :meth:`state` described."""
        groups, pace = np.array(state["groups"], np.int64), Pace.from_state(state["pace"])
        k, lookback = len(groups), int(state["memory"]["lookback"])
        engine = cls(
            k,
            n_classes,
            budget=pace.budget,
            horizon=pace.horizon,
            half_life=half_life,
            lookback=lookback,
            rng=generator_of(state["rng"]),
        )
        engine.drift, engine.alarms = bool(state["drift"]), int(state["alarms"])
        engine.pace, engine._groups = pace, groups
        engine._waiting, engine._since = int(state["waiting"]), int(state["since"])
        engine._starved = bool(state["starved"])
        engine.memory = Recall.from_state(state["memory"], k, n_classes, np.unique(groups))
        engine._standing = Standing.from_state(state["standing"])
        engine._certificates = Certificates.from_state(state["certificates"])
        engine._audits = Audits.from_state(state["audits"], k)
        engine._recent.counts = np.array(state["recent"], np.float64)
        engine._evidence = Evidence.from_state(state["evidence"])
        engine._validated = Validated.from_state(state["validated"])
        engine._losses.adwin.window = np.array(state["losses"], np.float64)
        engine._vote_watch = VoteWatch.from_state(state["vote_watch"])
        engine._posterior = Posterior.from_state(state["posterior"])
        engine._posterior.settle(engine.memory.expected(k))
        engine.memory.fit(engine._posterior.weights)
        engine._override = state["override"]
        engine._choose_served()
        engine.best = int(state["best"])
        if state["new_ids"]:
            engine._take_up(state["new_ids"], np.array(state["new_votes"], np.int32))
        return engine

    def _take_up(self, row_ids: Sequence[RowKey], votes: Votes) -> None:
        """Go on with the rows that were not thought about yet."""
        split = contested(votes)
        self._new.extend(zip(row_ids, votes, split.tolist(), strict=True))
        self._predict(votes, split)
