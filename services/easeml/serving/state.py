"""What serving knows about one app."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from easeml.serving.live import Model
from easeml.stream.payloads import AppDefined, Column, ColumnKind, ModelPicked
from easeml.stream.service import Packed


@dataclass(slots=True)
class ServingState:
    """Live models of one app, in the order they came, its pick, and its definition as last seen.

    Parameters
    ----------
    models : dict of str to Model
        By identity.
    pick : dict, optional
        The newest ModelPicked, as JSON values.
    columns, classes : tuple
        Of the app; the predict server has no other way to know them after a restart.
    """

    models: dict[str, Model] = field(default_factory=dict)
    pick: dict[str, Any] | None = None
    columns: tuple[Column, ...] = ()
    classes: tuple[str, ...] = ()

    def see(self, app: AppDefined) -> None:
        """Remember the app's definition."""
        self.columns, self.classes = app.columns, app.classes


def picked(pick: ModelPicked) -> dict[str, Any]:
    """Return a pick as JSON values."""
    return {
        "model": pick.model,
        "period": pick.period,
        "drift": pick.drift,
        "labels_used": pick.labels_used,
        "rows_seen": pick.rows_seen,
        "posterior": dict(pick.posterior),
    }


def pack(state: ServingState) -> Packed:
    """Return the storable form."""
    document = {
        "models": [asdict(model) for model in state.models.values()],
        "pick": state.pick,
        "columns": [asdict(column) for column in state.columns],
        "classes": list(state.classes),
    }
    return Packed(document, {})


def unpack(packed: Packed) -> ServingState:
    """Return the state that ``pack`` stored."""
    document = packed.document
    models = [
        Model(**model | {"columns": tuple(model["columns"]), "classes": tuple(model["classes"])})
        for model in document["models"]
    ]
    columns = tuple(
        Column(column["name"], ColumnKind(column["kind"]), tuple(column["categories"]), tuple(column["shape"]))
        for column in document["columns"]
    )
    return ServingState({m.model: m for m in models}, document["pick"], columns, tuple(document["classes"]))
