"""New arms for a tenant: what its trials taught decides where to look."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from easeml.automl.proposals import Told, propose, told_by
from easeml.automl.spaces import Between, Space
from easeml.errors import ConfigurationError
from easeml.stream.payloads import ModelPublished
from easeml.stream.topics import MODELS, TRIALS

from .conftest import LOGISTIC, Town

SPACE = Space(
    name="svm",
    family="svm",
    parameters={"C": Between(low=0.01, high=1000.0, log=True), "scale": ["standard", "clip"], "gamma": 1.0},
    arms=4,
    cost_hint=0.2,
)


def quality(parameters):
    """Return an accuracy that is best at C = 100 with clipped columns."""
    values = json.loads(parameters)
    return 0.9 - 0.05 * abs(math.log10(values["C"]) - 2) - 0.1 * (values["scale"] == "standard")


def search(rounds, seed_told=()):
    told = list(seed_told)
    for _ in range(rounds):
        told += [Told(arm.parameters, quality(arm.parameters)) for arm in propose(SPACE, told)]
    return told


def test_arms_lie_in_the_space_and_are_new():
    told = search(6)
    assert len({parameters for parameters, _ in told}) == 24
    for parameters, _ in told:
        values = json.loads(parameters)
        assert 0.01 <= values["C"] <= 1000
        assert (values["scale"] in {"standard", "clip"}, values["gamma"]) == (True, 1.0)
    arms = propose(SPACE, told)
    assert {(arm.family, arm.cost_hint) for arm in arms} == {("svm", 0.2)}
    assert all(arm.algorithm.startswith("svm-") and len(arm.algorithm) == 10 for arm in arms)


def test_the_search_goes_where_it_was_good():
    told = search(8)
    late = [json.loads(parameters) for parameters, _ in told[-12:]]
    assert sum(values["scale"] == "clip" for values in late) >= 9
    distances = [abs(math.log10(values["C"]) - 2) for values in late]
    assert np.median(distances) < 1.0, "drawn at random it would be 1.6"
    assert max(score for _, score in told) > 0.88


def test_the_same_trials_give_the_same_arms():
    told = search(3)
    assert propose(SPACE, told) == propose(SPACE, told)


def test_failures_and_what_lies_outside_do_no_harm():
    odd = [
        Told('{"C": 1.0, "scale": "clip", "gamma": 1.0}', None),
        Told('{"C": 1e9, "scale": "clip", "gamma": 1.0}', 0.99),
        Told('{"C": "high", "scale": ["clip"], "gamma": 1.0}', 0.99),
        Told('{"trees": 5}', 0.99),
        Told("{", None),
        Told("[1]", None),
        Told("", 0.7),
    ]
    assert len(search(4, odd)) == len(odd) + 16


def test_a_space_that_was_tried_has_no_more_arms():
    small = Space(name="s", family="lda", parameters={"scale": ["standard", "rank"]}, arms=5)
    arms = propose(small, [])
    assert sorted(arm.parameters for arm in arms) == ['{"scale": "rank"}', '{"scale": "standard"}']
    assert propose(small, [Told(arm.parameters, 0.5) for arm in arms]) == []


def test_integers_stay_integers():
    depth = Space(name="t", family="decision_tree", parameters={"max_depth": Between(low=1, high=20)}, arms=6)
    assert all(isinstance(json.loads(arm.parameters)["max_depth"], int) for arm in propose(depth, []))


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match="Optuna is not installed") as told:
        propose(SPACE, [])
    assert "easeml-streaming[optuna]" in told.value.mend


def test_what_is_proposed_is_tried_and_teaches_the_next_study(tmp_path):
    town = Town(tmp_path, (LOGISTIC,))
    town.data()
    town.cluster.run()
    lately = []
    for count in (4, 8):
        arms = propose(SPACE, told_by(town.cluster.events(TRIALS), "churn", "svm"))
        assert not {arm.algorithm for arm in arms} & {arm.algorithm for arm in lately}
        lately += arms
        town.announce(*arms)
        town.cluster.tick()
        told = told_by(town.cluster.events(TRIALS), "churn", "svm")
        assert len(told) == count
        assert {one.parameters for one in told} == {arm.parameters for arm in lately}
        assert all(0.5 < one.quality <= 1 for one in told)
    published = {
        event.data.algorithm for event in town.cluster.events(MODELS) if isinstance(event.data, ModelPublished)
    }
    assert published == {"logistic", *(arm.algorithm for arm in lately)}
    assert told_by(town.cluster.events(TRIALS), "churn", "logistic")[0].parameters == "{}"
    assert told_by(town.cluster.events(TRIALS), "other", "svm") == []
