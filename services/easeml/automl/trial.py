"""One trial, from rows to a stored model file: what a worker process runs."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.artifacts import ArtifactStore, Stored, dump
from easeml.automl.checkpoint import Checkpoint
from easeml.automl.families import parse_parameters
from easeml.automl.limits import CPU_SECONDS, MEMORY
from easeml.automl.race import refusal
from easeml.automl.sandbox import Ended, confined
from easeml.automl.training import train
from easeml.errors import Busy, ConfigurationError, EaseMLError, UnavailableError
from easeml.relation import Relation, features
from easeml.stream.payloads import Column, TrialAssigned
from easeml.stream.service import JOB_SECONDS

_LEAST_SECONDS = 1.0
"""CPU seconds that a trial has left at least: enough to say that it used up the others."""
_SHARE = 0.01
"""Share of a processor below which a trial is given up, whatever it does: its other limits end it long before."""


class Labelled(NamedTuple):
    """Rows and their labels.

    Parameters
    ----------
    frame : DataFrame, n rows
        Features.
    labels : int32[n]
        Codes of the app's classes, -1: unknown.
    """

    frame: pd.DataFrame
    labels: NDArray[np.int32]


def labelled(relation: Relation) -> Labelled:
    """Return rows as a trial sees them: each at its most probable."""
    block = relation.most_probable_world().block
    return Labelled(features(block), block.labels)


def sampled(relation: Relation, worlds: int, seed: int) -> list[Labelled]:
    """Return rows in possible worlds drawn from their priors.

    A model trained on all of them minimises the expected loss over the worlds, where the most probable world would
    have it believe one guess per cell.

    Parameters
    ----------
    relation : Relation
        Rows; an unknown label is drawn from all classes alike.
    worlds : int
        How many, at least 1.
    seed : int
        Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = [relation.sample_world(rng).block for _ in range(worlds)]
    return [Labelled(features(block), block.labels) for block in drawn]


def learnable(trial: TrialAssigned, relation: Relation) -> Labelled:
    """Return the rows that a trial trains on: at their most probable, or in as many worlds as its algorithm asks for.

    Rows whose label nobody knows are drawn in no world.
    """
    try:
        worlds = parse_parameters(trial.family, trial.parameters).get("worlds", 0)
    except ConfigurationError:
        worlds = 0  # running it says what is wrong
    if not worlds:
        return labelled(relation)
    known = relation.most_probable_world().labels >= 0
    drawn = sampled(relation.take(known), worlds, seed_of(trial.trial))
    return Labelled(
        pd.concat([world.frame for world in drawn], ignore_index=True),
        np.concatenate([world.labels for world in drawn]),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """How a trial ended.

    Parameters
    ----------
    cpu_seconds : float
        CPU seconds spent, training and writing.
    stored : Stored or None
        The model file; None when the trial failed.
    metrics : dict of str to float
        Validation metrics.
    error : str or None
        What failed, where, how to mend it.
    """

    cpu_seconds: float
    stored: Stored | None = None
    metrics: dict[str, float] | None = None
    error: str | None = None


def seed_of(trial: str) -> int:
    """Return the seed of a trial: the same trial draws the same numbers on every machine.

    >>> seed_of("t1") == seed_of("t1") != seed_of("t2")
    True
    """
    return int.from_bytes(hashlib.sha256(trial.encode()).digest()[:4])


def cpu_seconds_of(trial: TrialAssigned) -> float:
    """Return the CPU seconds that a trial may take; one that says no positive number has the usual limit."""
    return trial.cpu_seconds if 0 < trial.cpu_seconds < math.inf else CPU_SECONDS


def seconds_of(trial: TrialAssigned) -> float:
    """Return the seconds on the wall that a trial may take with all that belongs to it."""
    return JOB_SECONDS + cpu_seconds_of(trial) / _SHARE


def memory_of(trial: TrialAssigned) -> int:
    """Return the bytes that a trial may take; one that says no positive number has the usual limit."""
    return trial.memory_bytes if trial.memory_bytes > 0 else MEMORY


def run(
    trial: TrialAssigned,
    train_rows: Labelled,
    validation_rows: Labelled,
    columns: tuple[Column, ...],
    classes: tuple[str, ...],
    store: tuple[str, int],
    stop: str | None = None,
    checkpoints: str | None = None,
) -> Result:
    """Train, score and store; any failure of the algorithm is a result, not an exception.

    Parameters
    ----------
    trial : TrialAssigned
        What to train.
    train_rows, validation_rows : Labelled
        Data.
    columns, classes : tuple
        Feature columns and label domain of the app.
    store : tuple of (str, int)
        URI of the artifact store and the bytes a model file may have.
    stop : str, optional
        File that says, once it exists, that nobody wants the result any more.
    checkpoints : str, optional
        Folder for what a trial that is cut off has done by then.

    Raises
    ------
    Busy
        When the artifact store cannot be written: the trial is worth repeating.
    """
    started = time.process_time()
    checkpoint = Checkpoint(Path(checkpoints), trial.trial) if checkpoints else None
    before, limit = checkpoint.spent if checkpoint is not None else 0.0, cpu_seconds_of(trial)
    ended = confined(
        _made,
        (trial, train_rows, validation_rows, columns, classes, checkpoint),
        cpu_seconds=max(limit - before, min(limit, _LEAST_SECONDS)),
        memory=memory_of(trial),
        stop=Path(stop) if stop else None,
    )

    def seconds() -> float:
        return before + ended.cpu_seconds + time.process_time() - started

    result = _result(trial, ended, store, seconds)
    if checkpoint is not None:
        checkpoint.remove()
    return result


def _result(trial: TrialAssigned, ended: Ended, store: tuple[str, int], seconds: Callable[[], float]) -> Result:
    if isinstance(ended.value, _Made):
        try:
            stored = ArtifactStore(*store).put(ended.value.content)
        except UnavailableError as error:
            raise Busy(error.message, mend=error.mend) from error
        except EaseMLError as error:  # larger than the store takes
            return Result(seconds(), error=refusal(trial.algorithm, trial.family, error))
        return Result(seconds(), stored, ended.value.metrics)
    if ended.fault is not None:
        return Result(seconds(), error=refusal(trial.algorithm, trial.family, ended.fault))
    return Result(seconds(), error=ended.value or _superseded(trial))


class _Made(NamedTuple):
    """A model file and the validation metrics of the model."""

    content: bytes
    metrics: dict[str, float]


def _made(
    trial: TrialAssigned,
    train_rows: Labelled,
    validation_rows: Labelled,
    columns: tuple[Column, ...],
    classes: tuple[str, ...],
    checkpoint: Checkpoint | None,
) -> _Made | str:
    """Return what a trial made, or what is wrong with its algorithm."""
    try:
        trained = train(
            *train_rows,
            *validation_rows,
            columns=columns,
            classes=classes,
            family=trial.family,
            parameters=trial.parameters,
            seed=seed_of(trial.trial),
            clock=time.process_time,
            memory=checkpoint,
        )
        content = dump(trained.model)
    except MemoryError:
        raise  # the limit says which it was
    except Exception as error:
        # An algorithm may raise anything on data it was not made for; that is the trial's outcome.
        return refusal(trial.algorithm, trial.family, error)
    metrics = {
        "accuracy": trained.accuracy,
        "log_loss": trained.log_loss,
        "cpu_seconds": trained.cpu_seconds,
        "train_rows": float(trial.train_rows),
        "validation_rows": float(trial.validation_rows),
        "judged_rows": float(trained.judged_rows),
    }
    return _Made(content, metrics)


def refuse(trial: TrialAssigned, lacking: int) -> Result:
    """Return the failure of a trial whose rows did not come."""
    return Result(
        0.0,
        error=f"{trial.algorithm} ({trial.family}): {lacking} of the rows announced by version {trial.data_version!r} "
        "never came or were refused. Look at the dead letters of data.train and data.validation, and publish again.",
    )


def give_up(trial: TrialAssigned) -> Result:
    """Return the end of a trial that was superseded before it began."""
    return Result(0.0, error=_superseded(trial))


def _superseded(trial: TrialAssigned) -> str:
    return f"{trial.algorithm} ({trial.family}): a newer version than {trial.data_version!r} made the trial pointless."
