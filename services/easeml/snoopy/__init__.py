r"""Snoopy: is the target realistic? The best accuracy that any model can reach, estimated before one is trained.

Event in: training rows, answers. Event out: a feasibility report, at most once a second per app.
Formula: the smallest Cover-Hart bound L(e) over many transformations of the rows, e the leave-one-out error of nearest
neighbours (Renggli et al., ICDE 2023). Guarantee: errors are exact after every row, label and edit; the estimate itself
is a best-effort belief, never a bound. Fails by ``InvalidDataError`` (one class, fewer than 10 rows, nothing but equal
rows, a value that is not finite, a target outside (0, 1)).

>>> import numpy as np
>>> from easeml.snoopy import estimate
>>> rng = np.random.default_rng(0)
>>> labels = rng.integers(0, 2, 400)
>>> features = rng.normal(size=(400, 4)) + 2 * labels[:, None]
>>> report = estimate(features, labels, 0.8, rng=rng)
>>> report.signal.name, report.final
('REALISTIC', True)
"""

from easeml.snoopy.features import Encoding
from easeml.snoopy.inputs import Inputs
from easeml.snoopy.report import ArmReport, BayesError, FeasibilityReport
from easeml.snoopy.study import FeasibilityStudy, estimate

__all__ = [
    "ArmReport",
    "BayesError",
    "Encoding",
    "FeasibilityReport",
    "FeasibilityStudy",
    "Inputs",
    "estimate",
]
