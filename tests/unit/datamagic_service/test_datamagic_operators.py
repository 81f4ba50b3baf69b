"""DataMagic's functions as steps of a workflow: staged and eager agree."""

import numpy as np
import pytest
from datamagic_town import csv, frame

from easeml.datamagic import operators as own
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.reading import read
from easeml.errors import InvalidDataError
from easeml.lineage import hold, lookup, ops
from easeml.lineage.suggestions import suggestions

NAMES = ("read", "infer_schema", "detect_errors", "propose_repairs", "label_model", "find_label_issues", "augment")
VERSIONS = {"detect_errors": 3, "propose_repairs": 3}


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "shop.csv"
    target.write_bytes(csv(frame(120, missing=0.2)))
    return str(target)


@pytest.fixture
def relation(path):
    return read(path, label="bought")


@pytest.mark.parametrize("name", NAMES)
def test_every_function_is_registered(name):
    assert lookup(f"datamagic.{name}").version == VERSIONS.get(name, 1)
    assert lookup(f"datamagic.{name}").function is getattr(own, name)


def test_staged_and_eager_agree(path, relation):
    staged = ops.datamagic.read(path=path, label="bought").apply("datamagic.propose_repairs", max_candidates=4, seed=3)
    done = staged.eval(cache=False)
    eager = propose_repairs(relation, max_candidates=4, rng=np.random.default_rng(3))
    assert done.content_hash() == eager.content_hash()
    assert len(done.block.candidates)


def test_tables_are_json(relation):
    handle = hold(relation)
    columns = handle.apply("datamagic.infer_schema").eval(cache=False)
    kinds = {row["column"]: row["kind"] for row in columns}
    assert (kinds["x"], kinds["colour"]) == ("numeric", "categorical")
    assert isinstance(handle.apply("datamagic.find_label_issues").eval(cache=False), list)
    assert {"row_id", "column", "kind", "score"} <= set(handle.apply("datamagic.detect_errors").eval(cache=False)[0])


def test_votes_become_probabilities(relation):
    free = relation.without_labels()
    votes = [[int(label), int(label), -1] for label in relation.labels]
    voted = own.label_model(free, votes)
    assert (voted.most_probable_world().labels == relation.labels).mean() > 0.95
    with pytest.raises(InvalidDataError, match="rows of votes"):
        own.label_model(free, votes[:-1])


def test_suggestions_name_our_operators(relation):
    names = {one.operator for one in suggestions(relation)}
    assert {"datamagic.propose_repairs", "datamagic.detect_errors"} <= names
    assert "datamagic.label_model" in {one.operator for one in suggestions(relation.without_labels())}
