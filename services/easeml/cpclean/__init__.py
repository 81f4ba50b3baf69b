"""Certain predictions: which answers about uncertain rows are worth a person's time (CPClean).

A nearest-neighbour vote over uncertain training rows predicts each validation row in every possible world. Where all
worlds agree, cleaning changes nothing; where they do not, the row whose true value is expected to lower the entropy of
the predictions most is asked about next. Once all predictions are certain, they are those of the clean training set.
Source: Karlas, Li, Wu, Grabocka, Chu & Zhang, "Nearest Neighbor Classifiers over Incomplete Information: From Certain
Answers to Certain Predictions", PVLDB 14(3), 2021.
"""

from easeml.cpclean.candidates import CandidateRows
from easeml.cpclean.encoding import EncodedPoints, EncodedRows, Encoding
from easeml.cpclean.potential import Potential
from easeml.cpclean.predictions import CertainPredictions, Outcome, certain_predictions

__all__ = [
    "CandidateRows",
    "CertainPredictions",
    "EncodedPoints",
    "EncodedRows",
    "Encoding",
    "Outcome",
    "Potential",
    "certain_predictions",
]
