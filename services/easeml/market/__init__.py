r"""Market: which examples to acquire, and which of those owned do harm.

Event in: rows, labels, answers. Event out: LABEL questions on pool rows, answered ones as training rows, and values.
Formula: s_i = s_{i+1} + (m_i - m_{i+1}) / max(K, i), the Shapley value for a K-nearest-neighbour classifier (Jia et
al., PVLDB 2019); a forest predicts it for rows without labels. Guarantee: values are exact and add up to the utility;
questions never cost more than the budget. Fails by ``InvalidDataError`` (rows, labels), ``ConfigurationError``
(settings), ``NotFoundError`` and ``ConflictError`` (answers).
"""

from easeml.market.acquisition import Acquisition, Batch
from easeml.market.candidates import candidate_values
from easeml.market.comparison import (
    leave_one_out,
    permutation_shapley,
    permutations_needed,
    soft_label_shapley,
    threshold_shapley,
)
from easeml.market.curve import learning_curve
from easeml.market.debugging import Suspects, label_values, suspects
from easeml.market.information import information_gain
from easeml.market.shapley import knn_shapley
from easeml.market.streaming import KnnShapley

__all__ = [
    "Acquisition",
    "Batch",
    "KnnShapley",
    "Suspects",
    "candidate_values",
    "information_gain",
    "knn_shapley",
    "label_values",
    "learning_curve",
    "leave_one_out",
    "permutation_shapley",
    "permutations_needed",
    "soft_label_shapley",
    "suspects",
    "threshold_shapley",
]
