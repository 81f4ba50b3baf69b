"""Small planted worlds from real rows, cheap enough for every run."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from easeml.advisor import Learner, Sample
from easeml.stream.payloads import Column, ColumnKind


def digits(seed, *sizes, level=0.0):
    """Return a learner and samples of so many digits, the columns being those that vary, noisy as ``level`` says."""
    rng = np.random.default_rng(seed)
    features, labels = load_digits(return_X_y=True, as_frame=True)
    features = features.loc[:, features.std() > 2.5].astype(float)
    features = features + level * features.std().to_numpy() * rng.normal(size=features.shape)
    parts = np.split(rng.permutation(len(labels))[: sum(sizes)], np.cumsum(sizes)[:-1])
    learner = Learner(
        LogisticRegression(C=0.1, max_iter=100),
        tuple(Column(name, ColumnKind.NUMERIC) for name in features.columns),
        tuple(map(str, range(10))),
    )
    samples = [Sample(features.iloc[rows].reset_index(drop=True), labels.to_numpy(np.int64)[rows]) for rows in parts]
    return learner, *samples


def flipped(sample, rate, classes, rng):
    """Return the sample with so many labels flipped to any other class."""
    rows = np.flatnonzero(rng.random(len(sample)) < rate)
    return sample.relabelled(rows, (sample.labels[rows] + rng.integers(1, classes, len(rows))) % classes)
