"""Rules that need nothing but the relation: what is missing, unlabelled, doubtful, contradictory or not yet split."""

from __future__ import annotations

import numpy as np

from easeml.lineage.suggestions import Suggestion, View, rule
from easeml.relation import row_digests

REPAIR, LABEL_ISSUES, AUGMENT = "datamagic.propose_repairs", "datamagic.find_label_issues", "datamagic.augment"
IMBALANCED = 3.0
"""The largest class has so many times the rows of the smallest before augmentation is proposed."""
FEW_LABELS = 20
"""Labels per class below which labelling is proposed first."""
_SURE, _LIKELY, _MAYBE = 1.0, 0.6, 0.3


@rule
def missing_cells(view: View) -> Suggestion | None:
    """Cells are missing and nobody says what they could be: propose candidates."""
    missing = view.missing
    if not missing.any():
        return None
    rows = np.asarray(missing.any(axis=1), bool)
    per_column = missing.sum(axis=0)
    worst = int(per_column.argmax())
    name = view.relation.columns[worst].name
    count, share = int(missing.sum()), float(rows.mean())
    return Suggestion(
        REPAIR,
        {},
        f"{count:,} cells in {int(rows.sum()):,} of {len(rows):,} rows are missing and have no candidates, most of "
        f"them in {name!r} ({int(per_column[worst]):,}). Candidates keep every possibility until an answer decides.",
        {"missing_cells": count, "rows": int(rows.sum()), "share": share, "worst_column": int(per_column[worst])},
        _SURE * share,
    )


@rule
def few_labels(view: View) -> Suggestion | None:
    """Few labels are certain: label the next row."""
    relation = view.relation
    unknown = np.flatnonzero(~view.known)
    if relation.label is None or not len(unknown) or not len(relation.classes):
        return None
    wanted = FEW_LABELS * len(relation.classes)
    known = int(view.known.sum())
    if known >= wanted:
        return None
    bits = relation.entropy().rows
    row = int(unknown[np.argmax(bits[unknown])])
    share = len(unknown) / len(relation)
    return Suggestion(
        "relation.collapse",
        {"row_id": relation.row_ids[row], "column": relation.label},
        f"Only {known:,} of {len(relation):,} rows have a certain label; {wanted:,} ({FEW_LABELS} per class) are a "
        f"modest start. Label next where the doubt is largest: row {relation.row_ids[row]!r} ({bits[row]:.2f} bits).",
        {"labelled": known, "unlabelled": len(unknown), "wanted": wanted, "bits": float(bits[row])},
        _SURE * share * (1 - known / wanted),
        ("value",),
    )


@rule
def uncertain_cells(view: View) -> Suggestion | None:
    """Cells have candidates: clean the one that is most in doubt."""
    relation = view.relation
    table = relation.entropy().cells
    table = table[table["column"].isin([column.name for column in relation.columns]) & (table["bits"] > 0)]
    if not len(table):
        return None
    rows = table["row_id"].nunique()
    share = rows / len(relation)
    top = table.iloc[int(table["bits"].to_numpy().argmax())]
    bits = float(table["bits"].sum())
    return Suggestion(
        "relation.collapse",
        {"row_id": str(top["row_id"]), "column": str(top["column"])},
        f"{len(table):,} cells in {rows:,} of {len(relation):,} rows are uncertain, {bits:,.1f} bits in all. An answer "
        f"is worth most at row {top['row_id']!r}, column {top['column']!r} ({float(top['bits']):.2f} bits).",
        {"uncertain_cells": len(table), "rows": rows, "bits": bits, "top_bits": float(top["bits"])},
        _LIKELY * share,
        ("value",),
    )


@rule
def imbalance(view: View) -> Suggestion | None:
    """One class is rare: add synthetic rows."""
    counts = view.class_counts
    if len(counts) < 2 or AUGMENT in view.done or counts.min() < 5 or counts.max() < IMBALANCED * counts.min():
        return None
    names = view.relation.classes
    rare, usual = int(counts.argmin()), int(counts.argmax())
    ratio = counts[usual] / counts[rare]
    return Suggestion(
        AUGMENT,
        {},
        f"Class {names[rare]!r} has {int(counts[rare]):,} certain labels, class {names[usual]!r} "
        f"{int(counts[usual]):,} ({ratio:.1f} times as many). Synthetic rows of the rare class can balance "
        "training; they are tagged and can be taken away again.",
        {"rare": int(counts[rare]), "usual": int(counts[usual]), "ratio": float(ratio)},
        _MAYBE * float(1 - len(counts) * counts[rare] / counts.sum()),
    )


@rule
def contradictions(view: View) -> Suggestion | None:
    """Rows with equal features have different labels: look for wrong labels."""
    if LABEL_ISSUES in view.done or view.known.sum() < 2:
        return None
    digests, labels = row_digests(view.relation.block)[view.known], view.relation.labels[view.known]
    _, group = np.unique(digests, return_inverse=True)
    pairs = np.unique(np.stack([group, labels]), axis=1)[0]
    clashing = int((np.bincount(pairs)[group] > 1).sum())
    if not clashing:
        return None
    return Suggestion(
        LABEL_ISSUES,
        {},
        f"{clashing:,} of {len(labels):,} labelled rows have the same features as another row, but another label. At "
        "least one label of each such group is wrong, or a feature that tells them apart is missing.",
        {"contradictory_rows": clashing, "labelled": len(labels)},
        _LIKELY * clashing / len(view.relation),
    )


@rule
def not_split(view: View) -> Suggestion | None:
    """No split led here: put a test set aside before anything is learned from it."""
    known, classes = int(view.known.sum()), int((view.class_counts > 0).sum())
    if {"relation.split", "relation.pillar"} & view.done or classes < 2 or known < 10 * classes:
        return None
    return Suggestion(
        "relation.split",
        {},
        f"The {known:,} labelled rows are not split. Put test and validation rows aside before anything is fitted to "
        "them; equal rows stay on one side.",
        {"labelled": known, "classes": classes},
        _LIKELY * known / len(view.relation),
    )
