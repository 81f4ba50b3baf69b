"""Algorithms from outside: search spaces, and families of installed packages."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from easeml.automl import contributions
from easeml.automl.contributions import Contribution, contributed
from easeml.automl.families import FAMILIES, build, parse_parameters
from easeml.automl.parameters import Family, Parameter
from easeml.automl.spaces import Between, Space
from easeml.errors import ConfigurationError
from easeml.stream.payloads import ModelPublished, TrialFinished, TrialOutcome
from easeml.stream.topics import MODELS, TRIALS

from .conftest import LOGISTIC, Town


def firm(seed, strength):
    return LogisticRegression(C=1 / strength, random_state=seed)


def ridge(seed):
    return RidgeClassifier(random_state=seed)


ACME = Contribution(
    families={
        "acme_firm": Family(firm, {"strength": Parameter(1.0, 0.1, 10.0)}),
        "acme_ridge": Family(ridge, {}),
        "logistic": Family(ridge, {}),
    },
    spaces=(Space(name="firm", family="acme_firm", arms=2, parameters={"strength": Between(low=0.5, high=2.0)}),),
)


def broken():
    raise RuntimeError("no licence")


@pytest.fixture
def installed(monkeypatch):
    """Three packages: a good one, one that cannot be loaded, and one that brings something else."""
    entries = [
        SimpleNamespace(name="acme", value="acme:it", load=lambda: ACME),
        SimpleNamespace(name="worn", value="worn:it", load=broken),
        SimpleNamespace(name="odd", value="odd:it", load=lambda: "algorithms"),
        SimpleNamespace(name="later", value="later:it", load=lambda: Contribution({"acme_ridge": Family(firm, {})})),
    ]
    monkeypatch.setattr(contributions, "entry_points", lambda group: entries if group == "easeml.algorithms" else [])
    contributed.cache_clear()
    yield
    contributed.cache_clear()


def test_installed_packages_bring_families(installed):
    assert build("acme_firm", '{"strength": 4}', seed=3).C == 0.25
    assert parse_parameters("acme_firm", "{}")["scale"] == "standard"
    assert contributed().families["acme_ridge"].make is ridge, "the first by name is heard"
    assert isinstance(build("logistic", "{}", seed=0), LogisticRegression), "ours stay ours"
    assert contributed().problems == {
        "odd": "odd:it is a str, not a Contribution",
        "worn": "RuntimeError: no licence",
    }


def test_an_unknown_family_names_the_packages_that_are_left_out(installed):
    with pytest.raises(ConfigurationError, match="know no pipeline family 'worn_trees'") as told:
        parse_parameters("worn_trees", "{}")
    assert "acme_firm" in told.value.mend
    assert "'worn' is left out: RuntimeError: no licence" in told.value.mend


def test_without_packages_there_is_nothing(monkeypatch):
    monkeypatch.setattr(contributions, "entry_points", lambda group: [])
    contributed.cache_clear()
    assert contributed() == contributions.Contributed({}, {}, {})
    contributed.cache_clear()


def test_what_a_package_announces_is_trained_by_apps_that_are_done(installed, tmp_path):
    town = Town(tmp_path, (LOGISTIC,))
    town.data()
    town.cluster.run()
    (space,) = contributed().spaces["acme"]
    town.announce(*space.algorithms(), LOGISTIC.__class__("ridge", "acme_ridge", "{}", 0.1))
    town.cluster.tick()
    published = [event.data for event in town.cluster.events(MODELS) if isinstance(event.data, ModelPublished)]
    assert sorted(model.algorithm for model in published) == ["firm-1", "firm-2", "logistic"]
    failed = [
        event.data
        for event in town.cluster.events(TRIALS)
        if isinstance(event.data, TrialFinished) and event.data.outcome is TrialOutcome.FAILED
    ]
    assert [end.algorithm for end in failed] == ["ridge"]
    assert "types that are not trusted: sklearn.linear_model._ridge.RidgeClassifier" in failed[0].error


SPACE = {
    "name": "wide",
    "family": "boosting",
    "parameters": {
        "max_iter": {"low": 30, "high": 300, "log": True},
        "learning_rate": {"low": 0.05, "high": 0.4},
        "scale": ["standard", "rank"],
        "min_samples_leaf": 5,
    },
    "arms": 8,
    "cost_hint": 0.5,
}


def test_a_space_becomes_different_arms_within_its_bounds():
    arms = Space.read(json.dumps(SPACE)).algorithms()
    assert [arm.algorithm for arm in arms] == [f"wide-{n}" for n in range(1, 9)]
    settings = [parse_parameters(arm.family, arm.parameters) for arm in arms]
    assert len({json.dumps(setting, sort_keys=True) for setting in settings}) == 8
    assert all(isinstance(one["max_iter"], int) and 30 <= one["max_iter"] <= 300 for one in settings)
    assert sum(one["max_iter"] < math.sqrt(30 * 300) for one in settings) == 4, "even on the logarithm"
    assert sum(one["scale"] == "rank" for one in settings) in {3, 4, 5}
    assert {one["min_samples_leaf"] for one in settings} == {5}
    assert {arm.cost_hint for arm in arms} == {0.5}
    assert Space.read(json.dumps(SPACE)).algorithms() == arms


def test_what_is_fixed_is_one_arm_and_few_choices_are_few():
    assert [arm.algorithm for arm in Space(name="plain", family="lda", arms=5).algorithms()] == ["plain"]
    scales = Space(name="s", family="lda", arms=9, parameters={"scale": ["standard", "rank"]}).algorithms()
    assert sorted(json.loads(arm.parameters)["scale"] for arm in scales) == ["rank", "standard"]


def test_every_integer_has_its_turn():
    depths = Between(low=1, high=4)
    assert [depths.at(share) for share in (0.0, 0.24, 0.26, 0.5, 0.76, 0.999999)] == [1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"max_iter": {"low": 3, "high": 3}}}, "low must be below high"),
        ({"parameters": {"max_iter": {"low": 0, "high": 3, "log": True}}}, "above 0 for log"),
        ({"parameters": {"max_iter": {"low": 1, "high": 1e300}}}, "less than or equal"),
        ({"parameters": {"scale": []}}, "at least 1 item"),
        ({"arms": 0}, "arms"),
        ({"arms": 10**6}, "arms"),
        ({"cost_hint": -1}, "cost_hint"),
        ({"name": ""}, "name"),
        ({"family": None}, "family"),
        ({"budget": 3}, "budget"),
    ],
)
def test_a_wrong_space_says_what_is_wrong(change, says):
    with pytest.raises(ConfigurationError, match=says):
        Space.read(json.dumps(SPACE | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ConfigurationError, match="search space cannot be read"):
        Space.read(text)


def test_no_family_of_ours_is_brought_twice():
    assert not {*FAMILIES} & {*contributed().families}
