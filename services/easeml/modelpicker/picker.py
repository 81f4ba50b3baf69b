"""The model picker: follows a stream of votes, asks for few labels, and says which model is best now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.modelpicker.decision import Decision
from easeml.modelpicker.experts import half_lives
from easeml.modelpicker.portfolio import Portfolio
from easeml.modelpicker.published import Published
from easeml.modelpicker.rows import RowKey
from easeml.modelpicker.validated import Validation
from easeml.modelpicker.voting import MISSING, Floats, Votes, vote_mass

ModelKey = str | int

ENGINES: dict[str, type[Portfolio | Published]] = {"portfolio": Portfolio, "modelpicker": Published}


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
    policy : {"portfolio", "modelpicker"}
        The engine of :mod:`easeml.modelpicker.portfolio`, or the published algorithm with our own spending.
    half_life : float, "auto" or None
        Rows after which a row counts half; None for a stationary stream, "auto" follows drift.
    lookback : int
        Rows kept for models that join, which a question may name.
    rng : numpy.random.Generator
    scale : float, optional
        A fixed scale s of the published query probability, for ``policy="modelpicker"`` alone; by default it follows
        from the budget.

    Raises
    ------
    ConfigurationError

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
        policy: str = "portfolio",
        half_life: float | str | None = "auto",
        lookback: int = 200,
        rng: np.random.Generator,
        scale: float | None = None,
    ) -> None:
        ids: list[ModelKey] = list(range(n_models) if model_ids is None else model_ids)
        if len(ids) != n_models or len(set(ids)) != n_models:
            raise ConfigurationError(
                f"{len(set(ids))} distinct model ids were given for {n_models} models.", mend="Give one id each."
            )
        _check_settings(n_classes, budget, horizon, lookback)
        half_lives(half_life)
        self.n_classes, self.policy, self.half_life = n_classes, policy, half_life
        self._ids = ids
        engine = _engine(policy)
        settings: dict[str, Any] = {"scale": scale} if engine is Published else {}
        if scale is not None and not settings:
            raise ConfigurationError("The portfolio has no scale.", mend='Leave it out, or use policy="modelpicker".')
        self._engine = engine(
            n_models,
            n_classes,
            budget=budget,
            horizon=horizon,
            half_life=half_life,
            lookback=lookback,
            rng=rng,
            **settings,
        )
        self._lookback = lookback

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
        return self._engine.pace.budget

    @property
    def horizon(self) -> int:
        """Rows over which the budget is spread."""
        return self._engine.pace.horizon

    @property
    def rows_seen(self) -> int:
        """Rows stepped through."""
        return self._engine.pace.row

    @property
    def labels_used(self) -> int:
        """Labels asked for, answered or not; never above the budget."""
        return self._engine.pace.asked

    @property
    def labels_answered(self) -> int:
        """Answers received."""
        return len(self._engine.memory.labels)

    @property
    def pending(self) -> tuple[RowKey, ...]:
        """Rows asked about and not answered yet."""
        return tuple(self._engine.memory.open)

    @property
    def lookback_rows(self) -> tuple[RowKey, ...]:
        """Rows on which a model that joins is judged.

        The rows of the window, oldest first; the portfolio has before them those asked about that have left it.
        """
        return tuple(self._engine.memory.lookback_rows)

    @property
    def drift(self) -> bool:
        """Whether the last rows or the last answer raised an alarm."""
        return self._engine.drift

    @property
    def alarms(self) -> int:
        """Drift alarms so far."""
        return self._engine.alarms

    @property
    def posterior(self) -> Floats:
        """Weight of each model, shape (k,); sums to 1."""
        return self._engine.posterior

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """Which models may still be the best, shape (k,); the best is ever ruled out with probability 0.05 at most."""
        return self._engine.alive

    @property
    def e_values(self) -> Floats:
        """Evidence that each model is not the best, shape (k,), valid at any time; k/0.05 rules it out."""
        return self._engine.e_values

    @property
    def intervals(self) -> Floats:
        """Accuracy of each model on contested rows since the last alarm, shape (k, 2).

        Each interval misses at any time with probability at most 0.05, as long as the accuracy stands still.
        """
        return self._engine.intervals

    @property
    def recommended(self) -> ModelKey:
        """Id of the best single model.

        Raises
        ------
        NotFoundError
            When there is no model.
        """
        self._check_models()
        return self._ids[self._engine.best]

    def _check_models(self) -> None:
        if not self.k:
            raise NotFoundError("No model takes part yet.", mend="Add one with add_model.")

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
        checked = self._checked(votes, row_ids)
        self._check_models()
        return self._engine.step_batch(checked, row_ids)

    def _checked(self, votes: npt.ArrayLike, row_ids: Sequence[RowKey]) -> Votes:
        array, n = np.asarray(votes), len(row_ids)
        if array.shape != (n, self.k):
            raise InvalidDataError(
                f"The votes have shape {array.shape}; {n} rows and {self.k} models need {(n, self.k)}.",
                mend="Give one class per model, -1 where there is none; retired models have no vote.",
            )
        if len(set(row_ids)) != n:
            raise InvalidDataError("A row comes twice in one batch.", mend="Give each row once.")
        self._check_classes(array, MISSING)
        return array.astype(np.int32)

    def _check_classes(self, array: npt.NDArray[Any], lowest: int) -> None:
        if array.dtype.kind not in "iu":
            raise InvalidDataError(f"Classes of type {array.dtype} are no class ids.", mend="Give integers.")
        if array.size and not lowest <= (least := array.min()) <= (greatest := array.max()) < self.n_classes:
            raise InvalidDataError(
                f"Class {least if least < lowest else greatest} does not exist.",
                mend=f"Classes are 0 to {self.n_classes - 1}.",
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
        known = self._engine.memory.labels.get(row_id)
        if known is not None:
            if known != label:
                raise ConflictError(f"Row {row_id!r} has label {known}, not {label}.", mend="The first one stands.")
            return False
        if row_id not in self._engine.memory.open:
            raise NotFoundError(f"Row {row_id!r} was not asked about.", mend="Answer rows that `query` named.")
        self._engine.answer(row_id, int(label))
        return True

    def valued(self) -> tuple[tuple[RowKey, ...], Floats, Floats]:
        """Return the open questions with what is believed about them by now: every answer changes what others tell.

        Returns
        -------
        rows : tuple of row ids
            As :attr:`pending`.
        probabilities : ndarray of float64, shape (q, n_classes)
        gains : ndarray of float64, shape (q,)
            Both as in :class:`~easeml.modelpicker.decision.Decision`.
        """
        rows = self.pending
        votes = np.array([self._engine.memory.open[row].votes for row in rows], np.int32).reshape(len(rows), self.k)
        mass = vote_mass(np.broadcast_to(self.posterior, votes.shape), votes, self.n_classes)
        mass[mass.sum(axis=1) == 0] = 1 / self.n_classes  # whoever voted has retired
        return rows, mass, self._engine.worth(rows) if self.k else np.zeros(len(rows))

    def withdraw(self, row_id: RowKey) -> bool:
        """Take back a question that will not be answered; its label returns to the budget."""
        return self._engine.withdraw(row_id)

    def grant(self, budget: int, horizon: int) -> None:
        """Change the budget, counted from the start, and the rows over which to spread it.

        A budget below what was asked for already ends the questions.
        """
        _check_settings(self.n_classes, budget, horizon, self._lookback)
        self._engine.pace.budget, self._engine.pace.horizon = budget, horizon

    def add_model(self, model_id: ModelKey, votes_on_lookback: npt.ArrayLike | None = None) -> None:
        """Let a model join; it starts level with the best one, corrected on answered rows that it has a vote on.

        Parameters
        ----------
        model_id : str or int
        votes_on_lookback : array_like of int, shape (len(lookback_rows),), optional
            Its classes on these rows, in their order; -1 where it has none (by default everywhere).

        Raises
        ------
        ConflictError, InvalidDataError
        """
        if model_id in self._ids:
            raise ConflictError(f"Model {model_id!r} takes part already.", mend="Give a new model a new id.")
        rows = len(self._engine.memory.lookback_rows)
        votes = np.full(rows, MISSING) if votes_on_lookback is None else np.asarray(votes_on_lookback)
        if votes.shape != (rows,):
            raise InvalidDataError(
                f"{votes.shape} votes were given for the {rows} lookback rows.",
                mend="Give one class per row of lookback_rows, -1 where there is none.",
            )
        if rows:
            self._check_classes(votes, MISSING)
        self._engine.join(votes.astype(np.int32))
        self._ids.append(model_id)

    def validate(self, model_id: ModelKey, accuracy: float, rows: float) -> None:
        """Take what is known of a model before any production row is answered.

        What it is worth is in :mod:`easeml.modelpicker.validated`.

        Parameters
        ----------
        model_id : str or int
        accuracy : float
            On validation rows, in [0, 1].
        rows : float
            How many those were.

        Raises
        ------
        NotFoundError, InvalidDataError
        """
        self._engine.validate(self._place(model_id), Validation.checked(accuracy, rows))

    def _place(self, model_id: ModelKey) -> int:
        if model_id not in self._ids:
            raise NotFoundError(f"Model {model_id!r} does not take part.", mend=f"Models: {self._ids}.")
        return self._ids.index(model_id)

    def retire_model(self, model_id: ModelKey) -> None:
        """Let a model leave; later votes no longer contain it.

        Raises
        ------
        NotFoundError
        """
        index = self._place(model_id)
        self._engine.leave(index)
        del self._ids[index]

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and lists, and arrays; replays bit for bit."""
        return {
            "version": 2,
            "n_classes": self.n_classes,
            "policy": self.policy,
            "half_life": self.half_life,
            "model_ids": list(self._ids),
            **self._engine.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the picker that :meth:`state` described."""
        picker = cls.__new__(cls)
        picker.n_classes, picker.policy, picker.half_life = state["n_classes"], state["policy"], state["half_life"]
        picker._ids = list(state["model_ids"])
        picker._engine = _engine(picker.policy).from_state(state, picker.n_classes, picker.half_life)
        picker._lookback = int(state["memory"]["lookback"])
        return picker


def _engine(policy: str) -> type[Portfolio | Published]:
    if policy not in ENGINES:
        raise ConfigurationError(f"policy={policy!r} does not exist.", mend=f"Use one of {', '.join(ENGINES)}.")
    return ENGINES[policy]


def _check_settings(n_classes: int, budget: int, horizon: int, lookback: int) -> None:
    if n_classes < 2:
        raise ConfigurationError(f"{n_classes} classes cannot be told apart.", mend="Give at least two.")
    if budget < 0 or horizon < 1 or lookback < 0:
        raise ConfigurationError(
            f"budget={budget}, horizon={horizon}, lookback={lookback} are not counts.",
            mend="Use a budget and lookback >= 0 and a horizon >= 1.",
        )
