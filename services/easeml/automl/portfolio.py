"""The portfolio: a finite set of pipelines, cheap and strong ones first.

The order is the order in which a search tries them: the first model must come within a second, the first good one
soon after, and the rest must err differently from each other, so that ModelPicker and a vote have a choice. Cost
hints are CPU seconds of one fit on about 1,000 rows of 20 numbers.
"""

from __future__ import annotations

import json
from typing import Any

from easeml.stream.payloads import AlgorithmAnnounced

_CAUTIOUS: dict[str, Any] = {"learning_rate": 0.1, "min_samples_leaf": 20}
"""With few leaves: many small steps, where larger trees learn a few noisy labels by heart."""

_ROWS: tuple[tuple[str, str, dict[str, Any], float], ...] = (
    ("lda", "lda", {}, 0.01),
    ("logistic", "logistic", {"C": 1.0}, 0.02),
    ("svm", "svm", {"C": 3.0, "scale": "clip"}, 0.04),
    ("extra-trees", "extra_trees", {"trees": 60}, 0.05),
    ("boosting-small", "boosting", {"max_iter": 30, "learning_rate": 0.1, "max_leaf_nodes": 7}, 0.12),
    ("svm-components", "svm", {"C": 10.0, "reduce": 32, "scale": "clip"}, 0.04),
    ("extra-trees-leaf-3", "extra_trees", {"trees": 100, "min_leaf": 3}, 0.1),
    ("boosting", "boosting", {"max_iter": 40, "learning_rate": 0.15}, 0.25),
    ("boosting-shallow", "boosting", {"max_iter": 100, "max_leaf_nodes": 4} | _CAUTIOUS, 0.15),
    ("boosting-leaf-20", "boosting", {"max_iter": 60, "max_leaf_nodes": 7} | _CAUTIOUS, 0.15),
    ("svm-c10", "svm", {"C": 10.0, "scale": "clip"}, 0.04),
    ("knn-5", "knn", {"n_neighbors": 5}, 0.01),
    ("qda", "qda", {}, 0.01),
    ("random-forest", "random_forest", {"trees": 60}, 0.07),
    ("logistic-pairs", "logistic", {"C": 0.1, "products": "pairs"}, 0.06),
    ("mlp-64", "mlp", {"hidden": 64}, 0.2),
    ("svm-rank", "svm", {"C": 3.0, "scale": "rank"}, 0.05),
    ("extra-trees-half", "extra_trees", {"trees": 100, "columns": "half"}, 0.1),
    ("linear-svm", "linear_svm", {"C": 1.0}, 0.02),
    ("knn-30", "knn", {"n_neighbors": 30, "weights": "uniform"}, 0.01),
    ("lda-pairs", "lda", {"products": "pairs"}, 0.05),
    ("svm-narrow", "svm", {"C": 1.0, "gamma": 3.0, "scale": "clip"}, 0.05),
    ("logistic-c0.1", "logistic", {"C": 0.1}, 0.02),
    ("random-forest-leaf-5", "random_forest", {"trees": 100, "min_leaf": 5}, 0.1),
    ("svm-wide", "svm", {"C": 100.0, "gamma": 0.3, "scale": "clip"}, 0.04),
    ("boosting-100", "boosting", {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31}, 0.5),
    ("svm-soft", "svm", {"C": 0.5, "scale": "clip"}, 0.04),
    ("naive-bayes-rank", "naive_bayes", {"scale": "rank"}, 0.01),
    ("knn-15-rank", "knn", {"n_neighbors": 15, "scale": "rank"}, 0.02),
    ("naive-bayes", "naive_bayes", {}, 0.01),
    ("mlp-128-clip", "mlp", {"hidden": 128, "alpha": 0.01, "scale": "clip"}, 0.3),
    ("logistic-rank", "logistic", {"scale": "rank"}, 0.03),
    ("lda-rank", "lda", {"scale": "rank"}, 0.01),
    ("qda-rank", "qda", {"scale": "rank"}, 0.01),
    ("qda-components", "qda", {"reduce": 16, "shrinkage": 0.05}, 0.01),
    ("logistic-half", "logistic", {"select": 0.5}, 0.02),
    ("svm-half", "svm", {"C": 3.0, "scale": "clip", "select": 0.5}, 0.03),
    ("knn-3-half", "knn", {"n_neighbors": 3, "select": 0.5}, 0.01),
    ("random-forest-half", "random_forest", {"trees": 100, "columns": "half"}, 0.15),
    ("random-forest-200", "random_forest", {"trees": 200}, 0.25),
    ("boosting-slow", "boosting", {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15}, 0.8),
    ("boosting-leafy", "boosting", {"max_iter": 100, "learning_rate": 0.1, "min_samples_leaf": 3}, 0.5),
    ("mlp-32", "mlp", {"hidden": 32, "alpha": 0.1}, 0.15),
    ("mlp-256", "mlp", {"hidden": 256, "scale": "clip"}, 0.6),
    ("mlp-components", "mlp", {"hidden": 64, "reduce": 32, "whiten": "yes"}, 0.2),
    ("knn-1", "knn", {"n_neighbors": 1}, 0.01),
    ("knn-3-clip", "knn", {"n_neighbors": 3, "scale": "clip"}, 0.01),
    ("knn-9-manhattan", "knn", {"n_neighbors": 9, "metric": "manhattan"}, 0.02),
    ("knn-5-components", "knn", {"n_neighbors": 5, "reduce": 16, "whiten": "yes"}, 0.01),
    ("knn-9-concepts", "knn", {"n_neighbors": 9, "metric": "cosine", "reduce": 64}, 0.02),
    ("linear-svm-c0.1", "linear_svm", {"C": 0.1}, 0.02),
    ("linear-svm-pairs", "linear_svm", {"C": 0.1, "products": "pairs"}, 0.08),
    ("logistic-pairs-c1", "logistic", {"C": 1.0, "products": "pairs"}, 0.1),
    ("svm-c30-rank", "svm", {"C": 30.0, "scale": "rank"}, 0.05),
    ("svm-whitened", "svm", {"C": 3.0, "reduce": 32, "whiten": "yes"}, 0.04),
    ("decision-tree-leaf-20", "decision_tree", {"min_samples_leaf": 20}, 0.01),
    ("logistic-components", "logistic", {"reduce": 64}, 0.03),
    ("decision-tree", "decision_tree", {"min_samples_leaf": 2}, 0.01),
    ("extra-trees-200", "extra_trees", {"trees": 200}, 0.2),
    ("knn-1-cosine", "knn", {"n_neighbors": 1, "metric": "cosine"}, 0.01),
    ("logistic-c30", "logistic", {"C": 30.0}, 0.05),
    ("hoeffding-tree", "hoeffding_tree", {}, 0.1),
    ("online-logistic", "online_logistic", {}, 0.1),
    ("adaptive-forest", "adaptive_forest", {"trees": 10}, 0.4),
    ("online-naive-bayes", "online_naive_bayes", {}, 0.1),
    ("hoeffding-tree-slow", "hoeffding_tree", {"grace_period": 200}, 0.1),
    ("online-logistic-slow", "online_logistic", {"learning_rate": 0.02, "passes": 4}, 0.2),
)

ARMS: tuple[AlgorithmAnnounced, ...] = tuple(
    AlgorithmAnnounced(algorithm=name, family=family, parameters=json.dumps(parameters), cost_hint=cost)
    for name, family, parameters, cost in _ROWS
)
"""Every arm."""

_ANNOUNCED = (
    "logistic", "extra-trees", "lda", "knn-5", "boosting", "random-forest", "linear-svm", "mlp-64", "decision-tree",
    "naive-bayes", "svm", "hoeffding-tree", "online-logistic", "adaptive-forest",
)  # fmt: skip
_COMMITTEE = AlgorithmAnnounced(algorithm="committee", family="committee", parameters="{}", cost_hint=5.0)


def announcements() -> list[AlgorithmAnnounced]:
    """Return the algorithms that a new house announces, in the order of their first runs.

    They are few, for each of an app's models costs it a step of its test set; any of ``ARMS`` can be announced too.
    The last is the vote of the best arms, the most accurate and the most expensive.

    Examples
    --------
    >>> announcements()[0].algorithm
    'logistic'
    """
    by_name = {arm.algorithm: arm for arm in ARMS}
    return [*(by_name[name] for name in _ANNOUNCED), _COMMITTEE]
