"""Lineage: staged operators on relations, run lazily, cached by content and told as OpenLineage events.

>>> import pandas as pd
>>> from easeml.lineage import hold
>>> from easeml.relation import Relation
>>> frame = pd.DataFrame({"age": [31.0, None, 40.0], "churned": ["no", "yes", None]})
>>> data = hold(Relation.from_frame(frame, label="churned", row_ids=("r1", "r2", "r3")))
>>> known = data.filter(column="age", comparison="present").labelled()
>>> known
Staged(relation.filter > relation.labelled())
>>> known.eval(cache=False).row_ids
('r1',)
"""

from easeml.lineage import builtin, pillars, rules
from easeml.lineage.cache import Cache
from easeml.lineage.documents import load, save
from easeml.lineage.drawing import draw, draw_svg, explain
from easeml.lineage.evaluation import Evaluation, Report, Status, evaluate
from easeml.lineage.graph import Graph, Node, Parameter
from easeml.lineage.operators import Operator, lookup, operator
from easeml.lineage.plan import Plan, Step, plan_of
from easeml.lineage.staged import Staged, graph_of, handles_of, hold, ops, stage, suggest
from easeml.lineage.suggestions import Suggestion, View, rule, suggestions

del builtin, pillars, rules  # imported to register their operators

__all__ = [
    "Cache",
    "Evaluation",
    "Graph",
    "Node",
    "Operator",
    "Parameter",
    "Plan",
    "Report",
    "Staged",
    "Status",
    "Step",
    "Suggestion",
    "View",
    "draw",
    "draw_svg",
    "evaluate",
    "explain",
    "graph_of",
    "handles_of",
    "hold",
    "load",
    "lookup",
    "operator",
    "ops",
    "plan_of",
    "rule",
    "save",
    "stage",
    "suggest",
    "suggestions",
]
