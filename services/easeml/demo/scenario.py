"""The data of the demo: outdoor image segments with gaps, and a camera whose sensor becomes noisy at noon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from river.datasets import ImageSegments

TRAIN, VALIDATION, TEST, POOL, MORNING = 500, 200, 600, 110, 400
GAPS = 80
"""Training rows that lost each of the columns ``LOST``."""
LOST = ("region-centroid-row", "hue-mean", "value-mean", "exred-mean")
SENSOR_NOISE = 1.0
"""Standard deviation of the noise, as a share of each feature's own."""

LABEL = "surface"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rows of every pillar.

    Parameters
    ----------
    train, validation, test : DataFrame
        Feature columns and the label column; training rows have gaps.
    cells : dict of (int, str) to float
        What was in the gaps, by row and column: known to the oracle.
    pool : DataFrame
        Feature columns of rows that nobody has labelled.
    pool_truth : object[POOL]
        Their labels: known to the oracle.
    production : DataFrame
        Feature columns, in the order of arrival; the first ``MORNING`` rows are as in training, the sensor is noisy
        from there on.
    truth : object[len(production)]
        Held-back labels of the production rows: known to the oracle and to the final score.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    cells: dict[tuple[int, str], float]
    pool: pd.DataFrame
    pool_truth: NDArray[np.object_]
    production: pd.DataFrame
    truth: NDArray[np.object_]


def load(*, permute_labels: bool = False, seed: int = 0) -> Scenario:
    """Return the scenario; with ``permute_labels`` the labels say nothing about the rows."""
    rng = np.random.default_rng(seed)
    features, labels = zip(*ImageSegments(), strict=True)  # type: ignore[no-untyped-call]
    frame = pd.DataFrame(list(features)).astype(np.float64)
    frame[LABEL] = pd.Series(labels, dtype=object)
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    if permute_labels:
        frame[LABEL] = rng.permutation(frame[LABEL].to_numpy())
    cuts = np.cumsum([TRAIN, VALIDATION, TEST, POOL])
    train, validation, test, pool, production = (
        frame.iloc[a:b].reset_index(drop=True) for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)
    )
    truth, pool_truth = (part.pop(LABEL).to_numpy() for part in (production, pool))
    spread = train.drop(columns=LABEL).std().to_numpy()
    noon = production.iloc[MORNING:]
    production.iloc[MORNING:] = noon + rng.normal(0.0, SENSOR_NOISE, noon.shape) * spread
    cells = {}
    for column in LOST:
        for row in rng.choice(TRAIN, GAPS, replace=False).tolist():
            cells[row, column] = float(train[column].to_numpy()[row])
            train.loc[row, column] = np.nan
    return Scenario(train, validation, test, cells, pool, pool_truth, production, truth)
