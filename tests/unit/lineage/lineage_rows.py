"""Rows that the tests of this folder stage."""

from __future__ import annotations

import pandas as pd

from easeml.relation import Relation


def relation_of(rows: int = 6, label: str | None = "churned") -> Relation:
    frame = pd.DataFrame(
        {
            "age": [20.0 + place if place % 3 else None for place in range(rows)],
            "plan": ["pro" if place % 2 else "basic" for place in range(rows)],
            "churned": [("no", "yes", None)[place % 3] for place in range(rows)],
        }
    )
    if label is None:
        frame = frame.drop(columns="churned")
    return Relation.from_frame(frame, label=label, row_ids=[f"r{place}" for place in range(rows)])
