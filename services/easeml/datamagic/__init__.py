r"""DataMagic: any file becomes a probabilistic relation.

Event in: Upload, CandidateBatch, RelationBatch of every pillar, Answer, DataVersion.
Event out: RelationBatch per pillar, TestLabels, DataVersion, OperatorRun.
The same functions serve notebooks: reading, cleaning (schema, errors, repair candidates) and supervision (labelling
functions, label models, wrong labels, augmentation). Sources: Ratner et al., VLDB 2018; Dawid and Skene, 1979;
Northcutt et al., JAIR 2021; Karlas et al., PVLDB 2021. Each candidate keeps the tool that says so; rows that do not fit
are left out and told with line and column, files that cannot be read are dead letters.

>>> from easeml.datamagic import read
>>> table = b"age;plan;left\n31;basic;no\nn/a;pro;yes\n27;basic;no\n"
>>> relation = read(table, label="left")
>>> [column.kind.value for column in relation.columns], relation.classes
(['numeric', 'text'], ('no', 'yes'))
>>> import numpy as np
>>> from easeml.datamagic import propose_repairs
>>> propose_repairs(relation, rng=np.random.default_rng(0)).uncertain_cells()["column"].tolist()
['age']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easeml.datamagic.cleaning.detection import detect_errors
    from easeml.datamagic.cleaning.repairs import RepairModel, propose_repairs
    from easeml.datamagic.cleaning.schema import Clash, Schema, infer_schema
    from easeml.datamagic.reading import FORMATS, chunks, read, read_frame, read_sampled, read_table, sniff
    from easeml.datamagic.supervision.augmentation import augment, without_synthetic
    from easeml.datamagic.supervision.dawid_skene import DawidSkene
    from easeml.datamagic.supervision.few_labels import choose_supervision
    from easeml.datamagic.supervision.label_issues import detect_label_issues, find_label_issues, out_of_fold
    from easeml.datamagic.supervision.label_model import LabelModel
    from easeml.datamagic.supervision.label_studio import import_label_studio, merge_label_studio, read_label_studio
    from easeml.datamagic.supervision.labeling import (
        analysis,
        apply_labeling_functions,
        labeling_function,
        votes_to_relation,
    )
    from easeml.datamagic.supervision.votes import Votes

_ROOMS = {
    "cleaning.detection": ("detect_errors",),
    "cleaning.repairs": ("RepairModel", "propose_repairs"),
    "cleaning.schema": ("Clash", "Schema", "infer_schema"),
    "reading": ("FORMATS", "chunks", "read", "read_frame", "read_sampled", "read_table", "sniff"),
    "supervision.augmentation": ("augment", "without_synthetic"),
    "supervision.dawid_skene": ("DawidSkene",),
    "supervision.few_labels": ("choose_supervision",),
    "supervision.label_issues": ("detect_label_issues", "find_label_issues", "out_of_fold"),
    "supervision.label_model": ("LabelModel",),
    "supervision.label_studio": ("import_label_studio", "merge_label_studio", "read_label_studio"),
    "supervision.labeling": ("analysis", "apply_labeling_functions", "labeling_function", "votes_to_relation"),
    "supervision.votes": ("Votes",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "FORMATS",
    "Clash",
    "DawidSkene",
    "LabelModel",
    "RepairModel",
    "Schema",
    "Votes",
    "analysis",
    "apply_labeling_functions",
    "augment",
    "choose_supervision",
    "chunks",
    "detect_errors",
    "detect_label_issues",
    "find_label_issues",
    "import_label_studio",
    "infer_schema",
    "labeling_function",
    "merge_label_studio",
    "out_of_fold",
    "propose_repairs",
    "read",
    "read_frame",
    "read_label_studio",
    "read_sampled",
    "read_table",
    "sniff",
    "votes_to_relation",
    "without_synthetic",
]


def __getattr__(name: str) -> Any:
    # On demand: the command line reads files without waiting for what trains models.
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
