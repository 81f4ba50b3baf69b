"""Advisor: what to do next, with what it should gain, what it costs, and why.

Event in: reports, answers, verdicts, predictions. Event out: Advice, and ModelPublished with origin ``adapted``.
Every expected gain is measured: the app's own kind of model is trained on rows changed as the step would change them
(``diagnose``), and steps are ranked by gain per minute after a few stated rules (``advise``).
Guarantee: slices, drifted columns and uncovered rows are false discoveries at a controlled rate; gains are 90 %
intervals that hold as well as their experiments resemble the step, no proof. Fails by ``InvalidDataError``.
"""

from easeml.advisor.adaptation import Adapted, adapt, find_shift
from easeml.advisor.diagnosis import diagnose
from easeml.advisor.estimate import Estimate
from easeml.advisor.evidence import Cleaning, Evidence, Feasibility, Verdicts
from easeml.advisor.learning import Learner, Sample
from easeml.advisor.ranking import advise
from easeml.advisor.slices import Slice, find_slices
from easeml.advisor.steps import Costs, Step

__all__ = [
    "Adapted",
    "Cleaning",
    "Costs",
    "Estimate",
    "Evidence",
    "Feasibility",
    "Learner",
    "Sample",
    "Slice",
    "Step",
    "Verdicts",
    "adapt",
    "advise",
    "diagnose",
    "find_shift",
    "find_slices",
]
