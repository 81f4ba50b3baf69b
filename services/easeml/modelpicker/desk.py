"""One app's picker on the stream: who takes part, which rows were seen, and what was picked last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError, Poison
from easeml.ids import EventId
from easeml.modelpicker.decision import Decision
from easeml.modelpicker.joining import Joining
from easeml.modelpicker.picker import ModelPicker
from easeml.modelpicker.validated import Validation
from easeml.stream.payloads import AppDefined, ModelPicked, Payload, Pillar, Question, QuestionKind, tells_otherwise
from easeml.stream.service import Packed

PATIENCE = 2.0
"""Seconds a row waits for the votes of all models."""

ASKER = "modelpicker"

_WAITING = 1000
"""Models whose validation is remembered until a verdict lets them join."""

Decided = Callable[[list[str], Decision], None]
"""Is told of rows and what was decided on them."""


@dataclass(slots=True)
class Desk:
    """State of one app.

    Attributes
    ----------
    picker : ModelPicker or None
        None until the first model has passed.
    retired : list of str
        Models that may not join any more.
    last_row : str or None
        The last row that was stepped through.
    period : int
        Picks made.
    picked : str or None
        The last pick.
    alarms : int
        Drift alarms up to the last pick.
    promised : dict of str to float
        Bits that each open question promised when it was asked last, by row.
    valued : list of (int, list of str)
        Answers and models that were known when open questions were valued last.
    validations : dict of str to (float, float)
        Accuracy on, and number of, validation rows of models that have not joined.
    due_row, due_at : str or None, float
        Rows up to this one no longer wait for votes from this tick on. Only ticks measure waiting: event times come
        from the data that caused an event and may lie far back.
    packed : Packed or None
        The storable form; None once something has changed. Of many models' votes only the last ones complete a row.
    """

    app: str
    picker: ModelPicker | None = None
    retired: list[str] = field(default_factory=list)
    last_row: str | None = None
    period: int = 0
    picked: str | None = None
    alarms: int = 0
    promised: dict[str, float] = field(default_factory=dict)
    valued: list[Any] = field(default_factory=list)
    validations: dict[str, tuple[float, float]] = field(default_factory=dict)
    due_row: str | None = None
    due_at: float = 0.0
    packed: Packed | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Models that take part, in the order of their votes."""
        return tuple(map(str, self.picker.model_ids)) if self.picker is not None else ()

    def validated(self, model: str, metrics: Mapping[str, float]) -> None:
        """Take how right a model was on validation rows, if that is told; one that has not joined brings it with it.

        Raises
        ------
        Poison
            When the figures cannot be true; the model may join all the same.
        """
        if "accuracy" not in metrics or "validation_rows" not in metrics:
            return
        try:
            found = Validation.checked(metrics["accuracy"], metrics["validation_rows"])
        except InvalidDataError as error:
            raise Poison(f"Model {model}: {error.message}", mend=error.mend, reason=error.reason) from error
        self.packed = None
        if self.picker is not None and model in self.models:
            self.picker.validate(model, *found)
        elif model not in self.retired:
            self.validations[model] = found
        for oldest in list(self.validations)[:-_WAITING]:
            del self.validations[oldest]

    def join(self, model: str, rows: Joining, app: AppDefined, rng: np.random.Generator) -> None:
        """Let a model that passed take part.

        Raises
        ------
        Poison
            When the app's settings for the picker do not exist.
        """
        if model in self.models or model in self.retired:
            return
        self.packed = None
        picker = self._current(app, rng)
        lookback = [str(row) for row in picker.lookback_rows]
        votes = rows.votes(lookback, (model,), picker.n_classes)[:, 0]
        picker.add_model(model, votes)
        if model in self.validations:
            picker.validate(model, *self.validations.pop(model))
        if picker.k == 1:
            # one model alone raises no question, so rows from before are not worth a step
            self.last_row = rows.newest

    def retire(self, model: str) -> None:
        """Let a model leave for good."""
        self.packed = None
        if model not in self.retired:
            self.retired.append(model)
        self.validations.pop(model, None)
        if self.picker is not None and model in self.models:
            self.picker.retire_model(model)

    def answer(self, row_id: str, label: int) -> None:
        """Take an answer.

        Raises
        ------
        Poison
            When the row was not asked about, or has another label already.
        """
        if self.picker is None:
            raise Poison(f"Row {row_id!r} was not asked about.", mend="No model takes part yet.", reason="not_asked")
        self.packed = None
        try:
            self.picker.answer(row_id, label)
        except NotFoundError as error:
            raise Poison(error.message, mend=error.mend, reason="not_asked") from error
        except ConflictError as error:
            raise Poison(error.message, mend=error.mend, reason="conflict") from error

    def proceed(
        self,
        rows: Joining,
        app: AppDefined,
        rng: np.random.Generator,
        *,
        tick: float | None = None,
        decided: Decided | None = None,
    ) -> list[Payload]:
        """Step through every row that is ready; return the questions and the pick, if it is new.

        ``decided`` is told of each decision before the pick follows it.
        """
        said: list[Payload] = []
        if self.models:
            picker = self._current(app, rng)
            ready = rows.ready(self.last_row, self.models, self._overdue(rows, tick))
            if ready:
                self.last_row = ready[-1]
                decision = picker.step_batch(rows.votes(ready, self.models, picker.n_classes), ready)
                if decided is not None:
                    decided(ready, decision)
                said += self._questions(app, decision)
            said += self._value_anew(picker, app)
            said += self._pick(picker)
            if ready or said or tick is not None:
                self.packed = None
        return said

    def _overdue(self, rows: Joining, tick: float | None) -> str | None:
        """Return the row up to which rows have waited long enough."""
        if tick is None or self.last_row == rows.newest:
            return None
        if rows.number(self.last_row) >= rows.number(self.due_row):
            self.due_row, self.due_at = rows.newest, tick + PATIENCE
        return self.due_row if tick >= self.due_at else None

    def _current(self, app: AppDefined, rng: np.random.Generator) -> ModelPicker:
        """Return the picker under the app's newest settings; another label domain begins anew."""
        picker = self.picker
        if picker is None or picker.n_classes != len(app.classes):
            try:
                picker = ModelPicker(
                    len(self.models),
                    len(app.classes),
                    budget=app.label_budget,
                    horizon=app.horizon,
                    model_ids=self.models,
                    policy=app.picker_policy,
                    half_life=_half_life(app.picker_half_life),
                    rng=rng,
                )
            except ConfigurationError as error:
                raise Poison(error.message, mend=error.mend, reason=error.reason) from error
            self.picker, self.packed = picker, None
        if (picker.budget, picker.horizon) != (app.label_budget, app.horizon):
            picker.grant(app.label_budget, app.horizon)
            self.packed = None
        return picker

    def _questions(self, app: AppDefined, decision: Decision) -> list[Payload]:
        asked = zip(decision.query, decision.probabilities, decision.gains.tolist(), strict=True)
        return [self._question(app, str(row), belief, gain) for row, belief, gain in asked]

    def _value_anew(self, picker: ModelPicker, app: AppDefined) -> list[Payload]:
        """Ask open questions again that tell otherwise now that there are more answers, or other models."""
        known = [picker.labels_answered, list(self.models)]
        if known == self.valued:
            return []
        self.valued, self.packed = known, None
        rows, beliefs, gains = picker.valued()
        self.promised = {str(row): self.promised[str(row)] for row in rows}
        return [
            self._question(app, str(row), belief, gain)
            for row, belief, gain in zip(rows, beliefs, gains.tolist(), strict=True)
            if tells_otherwise(self.promised[str(row)], gain)
        ]

    def _question(self, app: AppDefined, row: str, belief: npt.NDArray[np.float64], gain: float) -> Question:
        self.promised[row] = gain
        return Question(
            app=self.app,
            question=str(EventId.derive("question", self.app, row)),
            kind=QuestionKind.LABEL,
            pillar=Pillar.PRODUCTION,
            row_id=row,
            candidates=app.classes,
            information_gain=gain,
            asked_by=ASKER,
            probabilities=belief,
        )

    def _pick(self, picker: ModelPicker) -> list[Payload]:
        best = str(picker.recommended)
        if best == self.picked:
            return []
        drift, self.alarms = picker.alarms > self.alarms, picker.alarms
        self.picked, self.period = best, self.period + 1
        posterior = dict(zip(self.models, picker.posterior.tolist(), strict=True))
        return [ModelPicked(self.app, best, picker.labels_answered, picker.rows_seen, drift, self.period, posterior)]

    def pack(self) -> Packed:
        """Return the storable form; the same object as long as nothing changes."""
        if self.packed is None:
            kept = [name for name in self.__slots__ if name not in ("picker", "packed")]
            document: dict[str, Any] = {name: getattr(self, name) for name in kept}
            arrays: dict[str, npt.NDArray[Any]] = {}
            document["picker"] = _split(self.picker.state(), "", arrays) if self.picker is not None else None
            self.packed = Packed(document, arrays)
        return self.packed

    @classmethod
    def unpack(cls, packed: Packed) -> Desk:
        """Return the desk that :meth:`pack` stored."""
        document = dict(packed.document)
        picker = document.pop("picker")
        desk = cls(**document)
        if picker is not None:
            desk.picker = ModelPicker.from_state(_merge(picker, "", packed.arrays))
        return desk


def _split(tree: Mapping[str, Any], path: str, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Move the arrays of a nested state out of it, under dotted names; a null stays where each was."""
    document: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, np.ndarray):
            arrays[f"{path}{name}"] = value
            document[name] = None
        else:
            document[name] = _split(value, f"{path}{name}.", arrays) if isinstance(value, Mapping) else value
    return document


def _merge(document: Mapping[str, Any], path: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in document.items():
        nested = _merge(value, f"{path}{name}.", arrays) if isinstance(value, Mapping) else value
        tree[name] = arrays.get(f"{path}{name}", nested)
    return tree


def _half_life(setting: float | None) -> float | str | None:
    """Return the picker's half-life: an app that says nothing follows drift by itself."""
    if setting is None:
        return "auto"
    return None if setting == float("inf") else setting
