"""Folds share no row, are stratified, and keep equal rows together."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from easeml.datamagic.supervision.folds import same_rows, stratified_folds


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 9)), min_size=4, max_size=60),
    st.integers(2, 4),
    st.integers(0, 9),
)
def test_folds_cut_the_rows_and_no_group(rows, folds, seed):
    labels, groups = np.array(rows).T
    masks = stratified_folds(labels, folds, np.random.default_rng(seed), groups)
    assert (np.sum(masks, axis=0) == 1).all()
    for group in np.unique(groups):
        assert sum((mask & (groups == group)).any() for mask in masks) == 1


def test_each_fold_has_its_share_of_each_label():
    labels = np.repeat([0, 1], [90, 30])
    for mask in stratified_folds(labels, 3, np.random.default_rng(0), np.arange(120)):
        assert np.bincount(labels[mask]).tolist() == [30, 10]


def test_equal_rows_are_found_in_arrays_and_sparse_matrices():
    table = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [np.nan, 0.0], [np.nan, 0.0]])
    assert same_rows(table).tolist() == [0, 1, 0, 2, 2]
    assert same_rows(sparse.csr_matrix(table)).tolist() == [0, 1, 0, 2, 2]
