import json

import pytest

from easeml.automl.families import FAMILIES, build, parse_parameters
from easeml.automl.portfolio import announcements
from easeml.errors import ConfigurationError


def test_every_announced_algorithm_can_be_built():
    portfolio = announcements()
    assert 12 <= len(portfolio) <= 16
    assert len({algorithm.algorithm for algorithm in portfolio}) == len(portfolio)
    for algorithm in portfolio:
        assert build(algorithm.family, algorithm.parameters, seed=0) is not None
        assert algorithm.cost_hint > 0


def test_every_family_has_defaults_it_accepts():
    for name, family in FAMILIES.items():
        assert all(parameter.accepts(parameter.default) for parameter in family.parameters.values()), name
        assert build(name, "{}", seed=1) is not None
        assert build(name, "", seed=1) is not None


def test_parameters_reach_the_estimator():
    assert build("logistic", '{"C": 7}', seed=0).C == 7
    assert build("decision_tree", '{"max_depth": 4}', seed=9).random_state == 9
    assert parse_parameters("knn", '{"metric": "cosine"}')["n_neighbors"] == 5


@pytest.mark.parametrize(
    ("family", "parameters", "says"),
    [
        ("perceptron", "{}", "Use one of"),
        ("logistic", "{", "not JSON"),
        ("logistic", "[1]", "not a JSON object"),
        ("logistic", '{"c": 1}', "It has C"),
        ("online_naive_bayes", '{"c": 1}', "It has scale, products"),
        ("logistic", '{"C": -1}', "a number in"),
        ("logistic", '{"C": true}', "a number in"),
        ("logistic", '{"C": NaN}', "a number in"),
        ("logistic", '{"C": "1; import os"}', "a number in"),
        ("knn", '{"n_neighbors": 1.5}', "an integer in"),
        ("knn", '{"metric": "callable"}', "one of euclidean"),
        ("knn", '{"metric": ["euclidean"]}', "one of euclidean"),
        ("decision_tree", '{"max_depth": 0}', "or null"),
        ("extra_trees", json.dumps({"trees": 10**9}), "an integer in"),
        ("logistic", "[" * 100_000, "not JSON"),
    ],
)
def test_wrong_announcements_say_how_to_mend_them(family, parameters, says):
    with pytest.raises(ConfigurationError, match=says):
        build(family, parameters, seed=0)
