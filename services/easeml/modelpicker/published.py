"""The published algorithm as an engine: the named baseline, with our own spending.

Source: Karimi et al., "Online Active Model Selection for Pre-trained Classifiers", AISTATS 2021, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.decision import Decision
from easeml.modelpicker.drift import Adwin
from easeml.modelpicker.experts import Experts, half_lives
from easeml.modelpicker.information import Known, information_gain
from easeml.modelpicker.intervals import accuracy_intervals
from easeml.modelpicker.memory import Asked, Memory
from easeml.modelpicker.recall import generator_of
from easeml.modelpicker.rows import RowKey
from easeml.modelpicker.spending import Spending
from easeml.modelpicker.validated import Validated, Validation
from easeml.modelpicker.voting import (
    MISSING,
    Floats,
    Votes,
    contested,
    exponential_weights,
    vote_mass,
    vote_variance,
)

_INTERVAL_ALPHA = 0.05


class Published:
    """The engine behind ``policy="modelpicker"``; models are known by their places.

    Parameters
    ----------
    k, n_classes, budget, horizon, lookback : int
    half_life : float, "auto" or None
    rng : numpy.random.Generator
    scale : float, optional
        A fixed scale s of the query probability; by default it follows from the budget.

    Notes
    -----
    For every row, eta = sqrt(ln k/(2t)), w proportional to exp(-eta (L - min L)), v = max_j W_j (1 - W_j);
    the row is asked about with probability 0 when all models agree, else u = min(1, max(s v, eta)); an answer
    adds 1[vote != label]/u to L. Cost per row O(k + c), per answer O(k).
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
        scale: float | None = None,
    ) -> None:
        self.n_classes, self.half_life, self.k = n_classes, half_life, k
        self.drift, self.alarms = False, 0
        self.pace = Spending(budget, horizon, scale)
        self._experts = Experts(half_lives(half_life), k)
        self.memory = Memory(lookback)
        self._adwin = Adwin()
        self._validated = Validated(k)
        self._rng = rng

    @property
    def posterior(self) -> Floats:
        """Weight of each model, shape (k,); sums to 1."""
        leader = self._experts.leader
        rate = self._experts.rate(self._experts.rows[[leader]])
        return exponential_weights(self._experts.losses[leader], rate)[0] if self.k else np.zeros(0)

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """Which models are still considered, shape (k,); this policy never prunes."""
        return np.ones(self.k, dtype=np.bool_)

    @property
    def e_values(self) -> Floats:
        """Evidence that each model is not the best: none."""
        return np.ones(self.k)

    @property
    def intervals(self) -> Floats:
        """Accuracy of each model on contested rows since the last alarm, shape (k, 2)."""
        right, ratios = self.memory.history(self.k)
        return accuracy_intervals(right, ratios, _INTERVAL_ALPHA)

    @property
    def best(self) -> int:
        """The model with the least loss."""
        return int(self._experts.losses[self._experts.leader].argmin())

    def step_batch(self, checked: Votes, row_ids: Sequence[RowKey]) -> Decision:
        """Take several rows in order."""
        served, n = self.best, len(checked)
        rates, weights = self._experts.ahead(n)
        mass = vote_mass(weights, checked, self.n_classes)
        variance, split = vote_variance(mass), contested(checked)
        # one draw per row, asked or not, keeps single steps and batches on the same random numbers
        draws = self._rng.random(n)
        asked: list[int] = []
        windows: list[Votes] = []
        for i, row in enumerate(row_ids):
            self.memory.see(row, checked[i].copy())
            fresh = row not in self.memory.open and row not in self.memory.labels
            if split[i] and fresh:
                u, floor = self.pace.probability(float(variance[i]), float(rates[i]))
                if draws[i] < u:
                    self.pace.asked += 1
                    asked.append(i)
                    windows.append(self.memory.recent(self.k))
                    classes = np.array([self._class_of(checked[i], m) for m in self._experts.serves()])
                    self.memory.open[row] = Asked(checked[i].copy(), classes.astype(np.int32), u, floor / u)
            self.pace.passed(float(variance[i]), contested=bool(split[i]))
        self._experts.pass_rows(n)
        predictions = np.array([self._class_of(row, served) for row in checked], dtype=np.int32)
        return Decision(
            query=tuple(row_ids[i] for i in asked),
            served=served,
            prediction=int(predictions[-1]) if n else MISSING,
            predictions=predictions,
            probabilities=mass[asked],
            gains=self._gains(checked[asked], windows),
        )

    def _gains(self, votes: Votes, windows: list[Votes]) -> Floats:
        """Return what labels are expected to tell about predictions on the windows that they end."""
        if not windows:
            return np.zeros(0)
        known, best = self._known, self.best
        gains = [
            information_gain(own[None], recent, known, best, self.n_classes)
            for own, recent in zip(votes, windows, strict=True)
        ]
        return np.concatenate(gains)

    @property
    def _known(self) -> Known:
        right, ratios = self.memory.history(self.k)
        return Known(right, np.ones(len(ratios)), self._validated.worth, self._validated.expected)

    def worth(self, rows: Sequence[RowKey]) -> Floats:
        """Return the bits that answers to open questions are expected to tell now."""
        votes = np.array([self.memory.open[row].votes for row in rows], np.int32).reshape(len(rows), self.k)
        return information_gain(votes, self.memory.recent(self.k), self._known, self.best, self.n_classes)

    def _class_of(self, votes: Votes, model: int) -> int:
        """Return the class a model gives, or, when it gives none, that of the next best model that does."""
        if votes[model] != MISSING:
            return int(votes[model])
        order = np.argsort(self._experts.losses[self._experts.leader], kind="stable")
        return next((int(votes[m]) for m in order if votes[m] != MISSING), MISSING)

    def answer(self, row: RowKey, label: int) -> None:
        """Take the answer to an open question."""
        asked = self.memory.close(row, label)
        self._experts.learn(asked.votes, asked.served, label, asked.probability)
        self.drift = self._adwin.update(float(asked.served[self._experts.leader] != label))
        if self.drift:
            self.alarms += 1
            self.memory.forget_history()
            self._validated.temper()
            if self.half_life is not None:
                self._experts.temper()

    def withdraw(self, row: RowKey) -> bool:
        """Take back an open question; its label returns to the budget."""
        if self.memory.open.pop(row, None) is None:
            return False
        self.pace.asked -= 1
        return True

    def join(self, votes: Votes) -> None:
        """Add a model with its votes on the window; it starts level with the best, corrected on answered rows."""
        best = self.best if self.k else None
        more = self.memory.join(votes.astype(np.int32), best)
        self._experts.join(more if best is None else more - float(self._validated.losses[best]))
        self._validated.join()
        self.k += 1

    def validate(self, index: int, found: Validation) -> None:
        """Take what validation said of a model."""
        before = self._validated.losses
        self._validated.learn(index, found)
        self._experts.charge(self._validated.losses - before)

    def leave(self, index: int) -> None:
        """Remove a model."""
        before = np.delete(self._validated.losses, index)
        for part in (self._experts, self.memory, self._validated):
            part.leave(index)
        self._experts.charge(self._validated.losses - before)
        self.k -= 1

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and lists, and arrays."""
        return {
            "drift": self.drift,
            "alarms": self.alarms,
            "experts": self._experts.state(),
            "pace": self.pace.state(),
            "memory": self.memory.state(self.k, len(self._experts.half_lives)),
            "adwin": self._adwin.window.copy(),
            "validated": self._validated.state(),
            "rng": deepcopy(self._rng.bit_generator.state),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], n_classes: int, half_life: float | str | None) -> Self:
        """Return what :meth:`state` described."""
        experts = Experts.from_state(state["experts"])
        pace = Spending.from_state(state["pace"])
        engine = cls(
            experts.losses.shape[1],
            n_classes,
            budget=pace.budget,
            horizon=pace.horizon,
            half_life=half_life,
            lookback=int(state["memory"]["lookback"]),
            rng=generator_of(state["rng"]),
        )
        engine.drift, engine.alarms = bool(state["drift"]), int(state["alarms"])
        engine.pace, engine._experts = pace, experts
        engine.memory = Memory.from_state(state["memory"])
        engine._adwin = Adwin(state["adwin"])
        engine._validated = Validated.from_state(state["validated"])
        return engine
