"""The default portfolio: the algorithms that every app tries, cheap and good ones first.

The order is the order of the first runs of a tenant without history: the first model must come within seconds, the
first good one soon after, and the rest must err differently from each other, so that ModelPicker has a choice.
"""

from __future__ import annotations

import json
from typing import Any

from easeml.stream.payloads import AlgorithmAnnounced

_PORTFOLIO: tuple[tuple[str, str, dict[str, Any], float], ...] = (
    ("logistic", "logistic", {"C": 1.0}, 0.02),
    ("extra-trees", "extra_trees", {"trees": 60}, 0.05),
    ("lda", "lda", {}, 0.01),
    ("knn-5", "knn", {"n_neighbors": 5}, 0.01),
    ("boosting", "boosting", {"max_iter": 40, "learning_rate": 0.15}, 0.25),
    ("random-forest", "random_forest", {"trees": 60}, 0.07),
    ("linear-svm", "linear_svm", {"C": 1.0}, 0.02),
    ("mlp-64", "mlp", {"hidden": 64}, 0.2),
    ("decision-tree", "decision_tree", {"min_samples_leaf": 2}, 0.01),
    ("naive-bayes", "naive_bayes", {}, 0.01),
    ("knn-1-cosine", "knn", {"n_neighbors": 1, "metric": "cosine"}, 0.01),
    ("logistic-c30", "logistic", {"C": 30.0}, 0.05),
    ("hoeffding-tree", "hoeffding_tree", {}, 0.1),
    ("online-logistic", "online_logistic", {}, 0.1),
    ("adaptive-forest", "adaptive_forest", {"trees": 10}, 0.4),
)


def announcements() -> list[AlgorithmAnnounced]:
    """Return the default portfolio, in the order of its first runs.

    Examples
    --------
    >>> announcements()[0].algorithm
    'logistic'
    """
    return [
        AlgorithmAnnounced(algorithm=name, family=family, parameters=json.dumps(parameters), cost_hint=cost)
        for name, family, parameters, cost in _PORTFOLIO
    ]
