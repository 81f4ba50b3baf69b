"""The model picker: follows a stream of votes, asks for few labels, and says which model is best now.

Source: Karimi et al., "Online Active Model Selection for Pre-trained Classifiers", AISTATS 2021, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.modelpicker.drift import Adwin
from easeml.modelpicker.experts import Experts, half_lives
from easeml.modelpicker.information import believed, information_gain
from easeml.modelpicker.intervals import accuracy_intervals
from easeml.modelpicker.memory import Asked, Memory, RowKey
from easeml.modelpicker.spending import Spending
from easeml.modelpicker.voting import (
    MISSING,
    Floats,
    Votes,
    contested,
    exponential_weights,
    vote_mass,
    vote_variance,
)

ModelKey = str | int

_POLICIES = ("modelpicker",)
_INTERVAL_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the rows just seen.

    Attributes
    ----------
    query : tuple of row ids
        Rows to ask a human about now.
    served : int
        Index of the model that is served.
    prediction : int
        The class it gives to the last row; -1 when no model voted.
    predictions : ndarray of int32, shape (n,)
        The classes of all rows of a batch.
    probabilities : ndarray of float64, shape (len(query), n_classes)
        Posterior vote mass of each class for the questions.
    gains : ndarray of float64, shape (len(query),)
        Bits per recent row, see :mod:`easeml.modelpicker.information`.
    """

    query: tuple[RowKey, ...]
    served: int
    prediction: int
    predictions: Votes = field(repr=False)
    probabilities: Floats = field(repr=False)
    gains: Floats = field(repr=False)


class ModelPicker:
    """Online active model selection over a stream of votes.

    Parameters
    ----------
    n_models : int
        k, models at the start (0 when all join later).
    n_classes : int
        Size of the label domain, at least 2.
    budget : int
        Labels that may be asked for; a hard cap.
    horizon : int
        Rows over which to spread the budget.
    model_ids : sequence of str or int, optional
        By default 0, 1, ...
    policy : {"modelpicker"}
    half_life : float, "auto" or None
        Rows after which a loss counts half; None for a stationary stream, "auto" follows drift.
    lookback : int
        Rows kept for models that join.
    rng : numpy.random.Generator
    scale : float, optional
        A fixed scale s of the published query probability; by default it follows from the budget.

    Raises
    ------
    ConfigurationError

    Notes
    -----
    For every row, eta = sqrt(ln k/(2t)), w proportional to exp(-eta (L - min L)), v = max_j W_j (1 - W_j);
    the row is asked about with probability 0 when all models agree, else u = min(1, max(s v, eta)); an answer
    adds 1[vote != label]/u to L. Cost per row O(k + c), per answer O(k).

    Examples
    --------
    >>> picker = ModelPicker(2, 2, budget=20, horizon=100, rng=np.random.default_rng(0))
    >>> for row in range(100):
    ...     for asked in picker.step(np.array([row % 2, 0])).query:
    ...         _ = picker.answer(asked, asked % 2)
    >>> picker.recommended, picker.labels_used <= 20
    (0, True)
    """

    def __init__(
        self,
        n_models: int,
        n_classes: int,
        *,
        budget: int,
        horizon: int,
        model_ids: Sequence[ModelKey] | None = None,
        policy: str = "modelpicker",
        half_life: float | str | None = None,
        lookback: int = 200,
        rng: np.random.Generator,
        scale: float | None = None,
    ) -> None:
        ids: list[ModelKey] = list(range(n_models) if model_ids is None else model_ids)
        if len(ids) != n_models or len(set(ids)) != n_models:
            raise ConfigurationError(
                f"{len(set(ids))} distinct model ids were given for {n_models} models.", mend="Give one id each."
            )
        _check_settings(n_classes, budget, horizon, lookback, policy)
        self.n_classes, self.policy, self.half_life = n_classes, policy, half_life
        self.drift = False
        self.alarms = 0
        self._ids = ids
        self._experts = Experts(half_lives(half_life), n_models)
        self._spending = Spending(budget, horizon, scale)
        self._memory = Memory(lookback)
        self._adwin = Adwin()
        self._rng = rng

    @property
    def model_ids(self) -> tuple[ModelKey, ...]:
        """The models in the order of their votes."""
        return tuple(self._ids)

    @property
    def k(self) -> int:
        """How many models there are."""
        return len(self._ids)

    @property
    def budget(self) -> int:
        """Labels that may be asked for in all."""
        return self._spending.budget

    @property
    def rows_seen(self) -> int:
        """Rows stepped through."""
        return self._spending.row

    @property
    def labels_used(self) -> int:
        """Labels asked for, answered or not; never above the budget."""
        return self._spending.asked

    @property
    def labels_answered(self) -> int:
        """Answers received."""
        return len(self._memory.labels)

    @property
    def pending(self) -> tuple[RowKey, ...]:
        """Rows asked about and not answered yet."""
        return tuple(self._memory.open)

    @property
    def lookback_rows(self) -> tuple[RowKey, ...]:
        """Rows in the window, oldest first."""
        return tuple(self._memory.window)

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
    def intervals(self) -> Floats:
        """Accuracy of each model on contested rows since the last alarm, shape (k, 2).

        Each interval misses at any time with probability at most 0.05, as long as the accuracy stands still.
        """
        right, ratios = self._memory.history(self.k)
        return accuracy_intervals(right, ratios, _INTERVAL_ALPHA)

    @property
    def recommended(self) -> ModelKey:
        """Id of the best single model.

        Raises
        ------
        NotFoundError
            When there is no model.
        """
        return self._ids[self._served()]

    def _served(self) -> int:
        if not self.k:
            raise NotFoundError("No model takes part yet.", mend="Add one with add_model.")
        return int(self._experts.losses[self._experts.leader].argmin())

    def step(self, votes: npt.ArrayLike, row_id: RowKey | None = None) -> Decision:
        """Take one production row.

        Parameters
        ----------
        votes : array_like of int, shape (k,)
            Classes in the order of :attr:`model_ids`; -1 where a model has no prediction.
        row_id : str or int, optional
            By default the running index.

        Raises
        ------
        InvalidDataError, NotFoundError
        """
        row = self.rows_seen if row_id is None else row_id
        return self.step_batch(np.asarray(votes)[None, :], [row])

    def step_batch(self, votes: npt.ArrayLike, row_ids: Sequence[RowKey]) -> Decision:
        """Take several rows in order, shape (n, k); the same as a :meth:`step` for each."""
        checked = self._checked(votes, len(row_ids))
        served = self._served()
        n = len(checked)
        rates, weights = self._experts.ahead(n)
        mass = vote_mass(weights, checked, self.n_classes)
        variance, split = vote_variance(mass), contested(checked)
        # one draw per row, asked or not, keeps single steps and batches on the same random numbers
        draws = self._rng.random(n)
        asked: list[int] = []
        windows: list[Votes] = []
        for i, row in enumerate(row_ids):
            self._memory.see(row, checked[i].copy())
            fresh = row not in self._memory.open and row not in self._memory.labels
            if split[i] and fresh:
                u, floor = self._spending.probability(float(variance[i]), float(rates[i]))
                if draws[i] < u:
                    self._spending.asked += 1
                    asked.append(i)
                    windows.append(self._memory.recent(self.k))
                    classes = np.array([self._class_of(checked[i], m) for m in self._experts.serves()])
                    self._memory.open[row] = Asked(checked[i].copy(), classes.astype(np.int32), u, floor / u)
            self._spending.passed(float(variance[i]), contested=bool(split[i]))
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
        posterior, error = believed(self._memory.history(self.k)[0], self.n_classes)
        return np.array(
            [
                information_gain(posterior, own, recent, self.n_classes, error=error)
                for own, recent in zip(votes, windows, strict=True)
            ]
        )

    def _class_of(self, votes: Votes, model: int) -> int:
        """Return the class a model gives, or, when it gives none, that of the next best model that does."""
        if votes[model] != MISSING:
            return int(votes[model])
        order = np.argsort(self._experts.losses[self._experts.leader], kind="stable")
        return next((int(votes[m]) for m in order if votes[m] != MISSING), MISSING)

    def _checked(self, votes: npt.ArrayLike, n: int) -> Votes:
        array = np.asarray(votes)
        if array.shape != (n, self.k):
            raise InvalidDataError(
                f"The votes have shape {array.shape}; {n} rows and {self.k} models need {(n, self.k)}.",
                mend="Give one class per model, -1 where there is none; retired models have no vote.",
            )
        self._check_classes(array, MISSING)
        return array.astype(np.int32)

    def _check_classes(self, array: npt.NDArray[Any], lowest: int) -> None:
        if not np.issubdtype(array.dtype, np.integer):
            raise InvalidDataError(f"Classes of type {array.dtype} are no class ids.", mend="Give integers.")
        outside = (array < lowest) | (array >= self.n_classes)
        if outside.any():
            raise InvalidDataError(
                f"Class {array[outside].flat[0]} does not exist.", mend=f"Classes are 0 to {self.n_classes - 1}."
            )

    def answer(self, row_id: RowKey, label: int) -> bool:
        """Take the label of a row that was asked about; late, out of order and repeated are all fine.

        Returns
        -------
        bool
            Whether it was new; a repeated answer changes nothing.

        Raises
        ------
        NotFoundError
            When the row was never asked about (or the question was withdrawn).
        InvalidDataError
            When the class does not exist.
        ConflictError
            When the row has another label already.
        """
        self._check_classes(np.asarray([label]), 0)
        known = self._memory.labels.get(row_id)
        if known is not None:
            if known != label:
                raise ConflictError(f"Row {row_id!r} has label {known}, not {label}.", mend="The first one stands.")
            return False
        if row_id not in self._memory.open:
            raise NotFoundError(f"Row {row_id!r} was not asked about.", mend="Answer rows that `query` named.")
        asked = self._memory.close(row_id, int(label))
        self._experts.learn(asked.votes, asked.served, label, asked.probability)
        self._watch(loss=float(asked.served[self._experts.leader] != label))
        return True

    def _watch(self, loss: float) -> None:
        self.drift = self._adwin.update(loss)
        if self.drift:
            self.alarms += 1
            self._memory.forget_history()
            if self.half_life is not None:
                self._experts.temper()

    def withdraw(self, row_id: RowKey) -> bool:
        """Take back a question that will not be answered; its label returns to the budget."""
        if self._memory.open.pop(row_id, None) is None:
            return False
        self._spending.asked -= 1
        return True

    def grant(self, budget: int, horizon: int) -> None:
        """Change the budget, counted from the start, and the rows over which to spread it.

        A budget below what was asked for already ends the questions.
        """
        _check_settings(self.n_classes, budget, horizon, self._memory.lookback, self.policy)
        self._spending.budget, self._spending.horizon = budget, horizon

    def add_model(self, model_id: ModelKey, votes_on_lookback: npt.ArrayLike | None = None) -> None:
        """Let a model join; it starts level with the best one, corrected on answered rows of the window.

        Parameters
        ----------
        model_id : str or int
        votes_on_lookback : array_like of int, shape (len(lookback_rows),), optional
            Its classes on the window, oldest row first; -1 where it has none (by default everywhere).

        Raises
        ------
        ConflictError, InvalidDataError
        """
        if model_id in self._ids:
            raise ConflictError(f"Model {model_id!r} takes part already.", mend="Give a new model a new id.")
        rows = len(self._memory.window)
        votes = np.full(rows, MISSING) if votes_on_lookback is None else np.asarray(votes_on_lookback)
        if votes.shape != (rows,):
            raise InvalidDataError(
                f"{votes.shape} votes were given for the {rows} rows of the window.",
                mend="Give one class per row of lookback_rows, -1 where there is none.",
            )
        if rows:
            self._check_classes(votes, MISSING)
        self._experts.join(self._memory.join(votes.astype(np.int32), self._served() if self.k else None))
        self._ids.append(model_id)

    def retire_model(self, model_id: ModelKey) -> None:
        """Let a model leave; later votes no longer contain it.

        Raises
        ------
        NotFoundError
        """
        if model_id not in self._ids:
            raise NotFoundError(f"Model {model_id!r} does not take part.", mend=f"Models: {self._ids}.")
        index = self._ids.index(model_id)
        self._experts.leave(index)
        self._memory.leave(index)
        del self._ids[index]

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and lists, and arrays; replays bit for bit."""
        return {
            "version": 1,
            "n_classes": self.n_classes,
            "policy": self.policy,
            "half_life": self.half_life,
            "model_ids": list(self._ids),
            "drift": self.drift,
            "alarms": self.alarms,
            "experts": self._experts.state(),
            "spending": self._spending.state(),
            "memory": self._memory.state(self.k, len(self._experts.half_lives)),
            "adwin": self._adwin.window.copy(),
            "rng": deepcopy(self._rng.bit_generator.state),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the picker that :meth:`state` described."""
        generator = getattr(np.random, str(state["rng"]["bit_generator"]))()
        generator.state = state["rng"]
        picker = cls(
            len(state["model_ids"]),
            state["n_classes"],
            budget=state["spending"]["budget"],
            horizon=state["spending"]["horizon"],
            model_ids=state["model_ids"],
            policy=state["policy"],
            half_life=state["half_life"],
            rng=np.random.Generator(generator),
        )
        picker.drift, picker.alarms = bool(state["drift"]), int(state["alarms"])
        picker._experts = Experts.from_state(state["experts"])
        picker._spending = Spending.from_state(state["spending"])
        picker._memory = Memory.from_state(state["memory"])
        picker._adwin = Adwin(state["adwin"])
        return picker


def _check_settings(n_classes: int, budget: int, horizon: int, lookback: int, policy: str) -> None:
    if policy not in _POLICIES:
        raise ConfigurationError(f"policy={policy!r} does not exist.", mend=f"Use one of {', '.join(_POLICIES)}.")
    if n_classes < 2:
        raise ConfigurationError(f"{n_classes} classes cannot be told apart.", mend="Give at least two.")
    if budget < 0 or horizon < 1 or lookback < 0:
        raise ConfigurationError(
            f"budget={budget}, horizon={horizon}, lookback={lookback} are not counts.",
            mend="Use a budget and lookback >= 0 and a horizon >= 1.",
        )
