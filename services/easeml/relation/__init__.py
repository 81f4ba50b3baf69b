"""The probabilistic relation: typed columns, sparse uncertain cells, batches on the stream and views over them.

A dataset is a set of rows whose cells and labels are random variables over candidates with priors; one unknown true
world exists, and an unlabelled label is uniform over the label domain (Ease.ML, CIDR 2021, section 3.1).

>>> import pandas as pd
>>> from easeml.relation import Relation
>>> frame = pd.DataFrame({"age": [31.0, None], "churned": ["no", None]})
>>> relation = Relation.from_frame(frame, label="churned", classes=("no", "yes"), row_ids=("r1", "r2"))
>>> relation.entropy().total
1.0
>>> relation.collapse("r2", "churned", "yes").entropy().total
0.0
"""

from easeml.relation.alternatives import Alternatives
from easeml.relation.block import Block
from easeml.relation.candidates import Candidates
from easeml.relation.digests import row_digests
from easeml.relation.frames import features
from easeml.relation.proposals import batch_of, validate_candidates
from easeml.relation.relation import Relation
from easeml.relation.validation import check_pillar, validate_batch
from easeml.relation.view import RelationView
from easeml.relation.worlds import Entropy

__all__ = [
    "Alternatives",
    "Block",
    "Candidates",
    "Entropy",
    "Relation",
    "RelationView",
    "batch_of",
    "check_pillar",
    "features",
    "row_digests",
    "validate_batch",
    "validate_candidates",
]
