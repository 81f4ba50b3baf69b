"""The data of the demo: outdoor image segments, and a camera whose sensor becomes noisy at noon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from river.datasets import ImageSegments

TRAIN, VALIDATION, TEST, MORNING = 500, 200, 600, 400
SENSOR_NOISE = 1.0
"""Standard deviation of the noise, as a share of each feature's own."""

LABEL = "surface"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rows of every pillar.

    Parameters
    ----------
    train, validation, test : DataFrame
        Feature columns and the label column.
    production : DataFrame
        Feature columns, in the order of arrival; the first ``MORNING`` rows are as in training, the sensor is noisy
        from there on.
    truth : object[len(production)]
        Held-back labels of the production rows: known to the oracle and to the final score.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
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
    cuts = np.cumsum([TRAIN, VALIDATION, TEST])
    train, validation, test, production = (
        frame.iloc[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)
    )
    truth = production[LABEL].to_numpy()
    production = production.drop(columns=LABEL).reset_index(drop=True)
    spread = train.drop(columns=LABEL).std().to_numpy()
    noon = production.iloc[MORNING:]
    production.iloc[MORNING:] = noon + rng.normal(0.0, SENSOR_NOISE, noon.shape) * spread
    return Scenario(train, validation, test, production, truth)
