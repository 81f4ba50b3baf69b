"""Steps between the encoder's matrix and a model, each fitted to the training rows.

The encoder imputes, scales, encodes categories, weighs words and flattens images; what stands here is the choice that
each pipeline makes on top: scaling (clipped outliers, ranks), products of columns, selection of columns by the F test,
and projection on principal components: of words the concepts of latent semantic analysis, of pixels eigenimages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.feature_selection import f_classif
from sklearn.utils.extmath import randomized_svd

from easeml.artifacts.steps import Clipped, Codes, Floats, Products, Projection, Ranks, Selection, Step

_CLIP = 3.0
_QUANTILES = 500
_FEW = 10
"""Columns with so many values or fewer say categories: their distances stay."""
_MOST_PRODUCTS = 300


def fit_steps(settings: Mapping[str, Any], matrix: Floats, codes: Codes, seed: int) -> tuple[list[Step], Floats]:
    """Return the steps that some settings ask for, and what becomes of the training rows.

    Parameters
    ----------
    settings : mapping
        ``scale``: "standard", "clip" or "rank"; ``products``: "none" or "pairs"; ``select``: share of the columns to
        keep, in (0, 1]; ``reduce``: principal components to keep, 0: all columns as they are; ``whiten``: "no" or
        "yes", the components to equal spread.
    matrix : float64[n, d]
        Training rows.
    codes : int64[n]
        Their classes.
    seed : int
        Seed of the randomised decomposition of wide matrices.
    """
    steps: list[Step] = []
    fits = (_scaling, _products, _selection, _projection)
    for fit in fits:
        step = fit(settings, matrix, codes, seed)
        if step is not None:
            steps.append(step)
            matrix = step.apply(matrix)
    return steps, matrix


def _scaling(settings: Mapping[str, Any], matrix: Floats, _codes: Codes, _seed: int) -> Step | None:
    if settings["scale"] == "clip":
        return Clipped(_CLIP)
    if settings["scale"] == "rank":
        many = [column for column, values in enumerate(matrix.T) if len(np.unique(values)) > _FEW]
        share = np.linspace(0, 1, min(len(matrix), _QUANTILES))
        columns = np.array(many, np.int64)
        return Ranks(columns, np.quantile(matrix[:, columns], share, axis=0))
    return None


def _products(settings: Mapping[str, Any], matrix: Floats, codes: Codes, _seed: int) -> Step | None:
    if settings["products"] == "none":
        return None
    # Pairs of the columns that say most: all pairs of a wide matrix would be quadratic.
    most = int((2 * _MOST_PRODUCTS) ** 0.5)
    chosen = np.sort(np.argsort(-_relevance(matrix, codes), kind="stable")[:most])
    left, right = np.triu_indices(len(chosen))
    return Products(chosen[left].astype(np.int64), chosen[right].astype(np.int64))


def _selection(settings: Mapping[str, Any], matrix: Floats, codes: Codes, _seed: int) -> Step | None:
    keep = max(1, round(settings["select"] * matrix.shape[1]))
    if keep == matrix.shape[1]:
        return None
    best = np.argsort(-_relevance(matrix, codes), kind="stable")[:keep]
    return Selection(np.sort(best).astype(np.int64))


def _relevance(matrix: Floats, codes: Codes) -> Floats:
    """Return the F statistic of each column, constants 0."""
    varied = np.flatnonzero(matrix.max(axis=0) > matrix.min(axis=0))
    found = np.zeros(matrix.shape[1])
    if len(varied):
        # A column that is constant within each class parts them perfectly: its statistic is infinite.
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic, _ = f_classif(matrix[:, varied], codes)
        found[varied] = np.nan_to_num(statistic, nan=0.0, posinf=np.finfo(np.float64).max)
    return found


def _projection(settings: Mapping[str, Any], matrix: Floats, _codes: Codes, seed: int) -> Step | None:
    wanted = min(settings["reduce"], *matrix.shape)
    if not wanted:
        return None
    centre = matrix.mean(axis=0)
    _, values, axes = randomized_svd(matrix - centre, wanted, random_state=seed)
    kept = values > 1e-9 * max(float(values[0]), 1e-300)
    spread = values[kept] / np.sqrt(len(matrix)) if settings["whiten"] == "yes" else np.ones(int(kept.sum()))
    return Projection(centre, np.ascontiguousarray(axes[kept].T) / spread)
