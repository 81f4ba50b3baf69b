"""Loaded models: at most so many at a time, each checked against what was announced about it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from easeml.artifacts import ArtifactStore, Classifier, load
from easeml.errors import ArtifactError, InvalidDataError, UnavailableError


@dataclass(slots=True)
class Model:
    """What was announced about a live model, and how it fared.

    Parameters
    ----------
    model : str
        Identity.
    uri, sha256, size : str, str, int
        Its file.
    columns, classes : tuple of str
        Input columns and output classes, in order.
    failures : int
        Batches it failed in a row.
    """

    model: str
    uri: str
    sha256: str
    size: int
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions of one model.

    Parameters
    ----------
    labels : int32[n]
        Most probable class, as code of the app's classes.
    probabilities : float32[n, k]
        Over the app's classes.
    """

    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]


@dataclass(slots=True)
class Scores:
    """Predictions of several models for the same rows.

    Parameters
    ----------
    good : dict of str to Scored
        By model.
    failed : dict of str to str
        Why a model gave none.
    """

    good: dict[str, Scored] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class LiveModels:
    """Models of all apps, loaded when first needed, the least recently used ones dropped.

    Parameters
    ----------
    store : ArtifactStore
        Where the files are.
    capacity : int
        Bytes of files whose models are held in memory at most; in memory a model takes up to ten times its file.
    """

    def __init__(self, store: ArtifactStore, capacity: int = 128 * 2**20) -> None:
        self._store = store
        self._capacity = capacity
        self._loaded: OrderedDict[tuple[str, str, int], tuple[Classifier, int]] = OrderedDict()
        self.held = 0
        """Bytes of the files whose models are in memory."""

    @cached_property
    def _threads(self) -> Any:
        # Made at the first prediction: it knows the thread pools of the libraries loaded by then.
        return ThreadpoolController()

    def load(self, model: Model) -> Classifier:
        """Return the classifier of ``model``.

        Raises
        ------
        ArtifactError
            When the file is missing, changed, too large, not trusted, or has another signature than announced.
        UnavailableError
            When the store cannot be read.
        """
        key = _key(model)
        held = self._loaded.get(key)
        if held is None:
            data = self._store.get(model.uri, model.sha256)
            if len(data) != model.size:
                raise ArtifactError(
                    f"The file of model {model.model!r} has {len(data)} bytes, announced were {model.size}.",
                    mend="Announce the size of the file.",
                )
            held = (load(data), len(data))
        classifier, size = held
        if (classifier.columns, classifier.classes) != (model.columns, model.classes):
            raise ArtifactError(
                f"The file of model {model.model!r} takes {classifier.columns} and gives {classifier.classes}; "
                f"announced were {model.columns} and {model.classes}.",
                mend="Announce the columns and classes of the file.",
            )
        if key not in self._loaded:
            self._keep(key, classifier, size)
        self._loaded.move_to_end(key)
        return classifier

    def _keep(self, key: tuple[str, str, int], classifier: Classifier, size: int) -> None:
        self._loaded[key] = (classifier, size)
        self.held += size
        while self.held > self._capacity and len(self._loaded) > 1:
            _, (_, dropped) = self._loaded.popitem(last=False)
            self.held -= dropped

    def drop(self, model: Model) -> None:
        """Free the memory of a model that is asked no more; another of the same file loads it again."""
        _, size = self._loaded.pop(_key(model), (None, 0))
        self.held -= size

    def score(self, models: Iterable[Model], frame: pd.DataFrame, classes: tuple[str, ...]) -> Scores:
        """Predict ``frame`` with every model; what one model does wrong is no other's concern.

        Parameters
        ----------
        models : iterable of Model
            Models to ask.
        frame : DataFrame, n rows
            Features.
        classes : tuple of str
            The app's classes; codes and columns of the result follow their order.

        Raises
        ------
        UnavailableError
            When the store cannot be read: no fault of a model.
        """
        scores = Scores()
        encoded: dict[str, NDArray[np.float64]] = {}
        with self._threads.limit(limits=1):  # a batch is too small for threads to pay
            for model in models:
                try:
                    probabilities = self.load(model).predict_proba(frame, encoded)
                    scores.good[model.model] = _in_order(probabilities, model.classes, classes)
                except UnavailableError:
                    raise
                except Exception as error:
                    # A model may raise anything; it is reported with its reason and counted against the model.
                    scores.failed[model.model] = f"{type(error).__name__}: {str(error)[:500]}"
        return scores


def _key(model: Model) -> tuple[str, str, int]:
    # Everything that is checked is part of it: what is refused must not depend on what is loaded by chance.
    return model.uri, model.sha256, model.size


def _in_order(probabilities: NDArray[np.float64], own: tuple[str, ...], classes: tuple[str, ...]) -> Scored:
    if own != classes:
        place: Mapping[str, int] = {name: code for code, name in enumerate(classes)}
        unknown = [name for name in own if name not in place]
        if unknown:
            raise InvalidDataError(f"The app has no class {unknown[0]!r}.", mend="Train the model again.")
        whole = np.zeros((len(probabilities), len(classes)))
        whole[:, [place[name] for name in own]] = probabilities
        probabilities = whole
    return Scored(np.asarray(probabilities.argmax(axis=1), np.int32), np.ascontiguousarray(probabilities, np.float32))
