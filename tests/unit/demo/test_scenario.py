"""The demo's data are what it says they are."""

from __future__ import annotations

import numpy as np

from easeml.demo import scenario


def test_pillars_are_apart_and_noon_is_noisy():
    data = scenario.load()
    assert (len(data.train), len(data.validation), len(data.test)) == (500, 200, 600)
    assert len(data.production) == len(data.truth) == 2310 - 1300 - len(data.pool)
    assert scenario.LABEL not in data.production
    assert scenario.LABEL not in data.pool
    spread = data.train.drop(columns=scenario.LABEL).std()
    morning, noon = data.production[: scenario.MORNING], data.production[scenario.MORNING :]
    quiet = spread > 0
    assert (noon.std()[quiet] > 1.15 * morning.std()[quiet]).mean() > 0.8


def test_lost_cells_are_remembered():
    data = scenario.load()
    assert data.train.isna().sum().sum() == len(data.cells) == scenario.GAPS * len(scenario.LOST)
    assert all(np.isnan(data.train.at[row, column]) for row, column in data.cells)
    assert not np.isnan(list(data.cells.values())).any()


def test_permuted_labels_keep_the_classes_and_lose_the_link():
    plain, permuted = scenario.load(), scenario.load(permute_labels=True)
    assert sorted(plain.train[scenario.LABEL].unique()) == sorted(permuted.train[scenario.LABEL].unique())
    assert np.mean(plain.train[scenario.LABEL].to_numpy() == permuted.train[scenario.LABEL].to_numpy()) < 0.3
