"""``easeml publish`` proposes candidates for missing cells, from training rows alone, and keeps those of a relation."""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd
import pytest

from easeml import repairing
from easeml.client import Client
from easeml.relation import Relation
from easeml.stream.payloads import CandidateBatch
from easeml.stream.topics import CANDIDATES


@pytest.fixture
def name(easeml):
    name = f"app-{uuid.uuid4().hex[:8]}"
    easeml("apps", "create", name, "--label", "kind", "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
    return name


def rows(count=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count).round(6)
    y = np.where(rng.random(count) < 0.1, np.nan, 2 * x)
    return pd.DataFrame({"x": x, "y": y, "kind": np.where(x > 0, "right", "left")})


def test_missing_cells_get_candidates_once(easeml, client, name, tmp_path):
    file = tmp_path / "t.csv"
    rows().to_csv(file, index=False)
    done = easeml("publish", name, file, as_json=True)
    train, validation = client.relation(name, "train"), client.relation(name, "validation")
    assert done["candidates"] == {"train": missing(train), "validation": missing(validation)}
    for relation in (train, validation):
        assert relation.sources == (repairing.SOURCE,)
        guess = relation.expected_world().frame()
        assert (guess["y"] - 2 * guess["x"]).abs().max() < 1.5
        assert relation.block.candidates.probability.max() <= 1
    again = easeml("publish", name, file, as_json=True)
    assert (again["new"], again["candidates"]) == (False, {})
    assert client.relation(name, "train").content_hash() == train.content_hash()


def test_none_are_proposed_where_none_are_wanted_or_missing(easeml, client, name, tmp_path, monkeypatch):
    holed, whole = tmp_path / "holed.csv", tmp_path / "whole.csv"
    rows().to_csv(holed, index=False)
    rows(seed=1).dropna().to_csv(whole, index=False)
    assert easeml("publish", name, holed, "--repairs", "0", as_json=True)["candidates"] == {}
    monkeypatch.setattr(Client, "relation", None)  # no second read
    assert easeml("publish", name, whole, as_json=True)["candidates"] == {}
    events = client.events(name, CANDIDATES.name, follow=False)
    assert not [event for event in events if isinstance(event.data, CandidateBatch)]


def test_a_relation_keeps_its_candidates(easeml, client, name, tmp_path):
    frame = rows(40)
    frame.loc[3, "y"] = np.nan
    relation = Relation.from_frame(frame, label="kind", row_ids=tuple(f"r{place}" for place in range(40)))
    told = pd.DataFrame({"row_id": ["r3"] * 2, "column": ["y"] * 2, "value": [1.0, 2.0], "probability": [0.25, 0.75]})
    relation.merge_candidates(told, source="mine@1").to_parquet(tmp_path / "r.parquet")
    done = easeml("publish", name, tmp_path / "r.parquet", "--pillar", "train", as_json=True)
    read = client.relation(name, "train")
    cell = read.candidates()
    mine = cell[(cell["row_id"] == "r3") & (cell["column"] == "y")]
    assert (mine["value"].tolist(), mine["probability"].tolist()) == ([1.0, 2.0], [0.25, 0.75])
    assert done["candidates"] == {"train": missing(read)}


def missing(relation):
    return int(relation.frame()[["x", "y"]].isna().to_numpy().sum())
