"""How MLflow loads an exported model: ``mlflow.pyfunc.load_model(folder).predict(frame)``.

One value per column of the app: numbers, booleans (0, 1) and instants (seconds since 1970 UTC) as float, categories and
texts as strings, NaN or None for what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from easeml.artifacts.classifier import Classifier
from easeml.artifacts.export import read


class ExportedModel:
    """What MLflow calls.

    Parameters
    ----------
    model : Classifier
        The model.
    """

    def __init__(self, model: Classifier) -> None:
        self._model = model

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the most probable label of each row, and the probability of each class."""
        del params  # part of MLflow's contract; there is nothing to set
        # Columns that a row leaves out are missing values, as MLflow's signature says.
        found = self._model.predict_proba(frame.reindex(columns=list(self._model.columns)))
        labels = np.array(self._model.classes, object)[found.argmax(axis=1)]
        told = pd.DataFrame(found, index=frame.index, columns=[f"probability_{name}" for name in self._model.classes])
        told.insert(0, "label", labels)
        return told


def _load_pyfunc(path: str) -> ExportedModel:
    return ExportedModel(read(Path(path)))
