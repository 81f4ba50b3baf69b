r"""CI: whether a new model may replace the old one, with a guarantee that survives reuse of the test set.

Event in: predictions of a candidate and of the baseline on the test pillar. Event out: one bit per step.
Formula: a conjunction of clauses over n, o and d (:func:`parse`), tested by an e-process and, at a cap, exactly,
on paired examples along one fixed random order; the error is shared over all histories (Renggli et al., SysML 2019).
Guarantee: with probability >= reliability no decision over all H steps is wrong (``fp-free``: no wrong pass).
Fails by ``ConditionError`` (column and mend), ``BudgetExhaustedError`` (the test set is used up).
"""

from easeml.ci.evaluation import ClauseVerdict, Evaluation, Verdict
from easeml.ci.language import Clause, Condition, parse
from easeml.ci.ledger import TestSetLedger
from easeml.ci.logic import Interval, Truth
from easeml.ci.meter import Meter, meter_size
from easeml.ci.planning import Plan, plan

__all__ = [
    "Clause",
    "ClauseVerdict",
    "Condition",
    "Evaluation",
    "Interval",
    "Meter",
    "Plan",
    "TestSetLedger",
    "Truth",
    "Verdict",
    "meter_size",
    "parse",
    "plan",
]
