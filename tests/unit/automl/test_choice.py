"""Which model to take: the most accurate, unless chance may have made it so and another was judged by more rows."""

import itertools

import pytest

from easeml.automl.choice import preferred
from easeml.stream.payloads import ModelPublished


def model(name, **metrics):
    return ModelPublished("churn", name, name, "", "", 0, "", ("x",), ("no", "yes"), "v1", "automl", metrics)


def single(name, accuracy, log_loss=0.5, rows=100.0):
    return model(name, accuracy=accuracy, log_loss=log_loss, validation_rows=rows, judged_rows=rows)


def committee(accuracy, log_loss=0.5, rows=100.0):
    return model("committee", accuracy=accuracy, log_loss=log_loss, validation_rows=rows, judged_rows=rows + 400)


@pytest.mark.parametrize(
    ("models", "wanted"),
    [
        ([single("a", 0.8), single("b", 0.9), single("c", 0.85)], "b"),
        ([single("a", 0.9), single("b", 0.9, log_loss=0.1)], "b"),
        ([single("sure", 1.0, log_loss=0.0), committee(1.0, log_loss=0.3)], "committee"),
        ([single("lucky", 0.90), committee(0.81)], "committee"),  # the standard error of the difference is .05
        ([single("better", 0.90), committee(0.79)], "better"),
        ([single("better", 0.90, rows=1e4), committee(0.88, rows=1e4)], "better"),  # .004
        ([committee(0.9), single("a", 0.8)], "committee"),
        ([model("ours", accuracy=0.7), model("external")], "ours"),
        ([model("a", accuracy=0.7), model("b", accuracy=0.8)], "b"),
        ([model("odd", accuracy=float("nan")), model("odder", accuracy=7.0), single("a", 0.5)], "a"),
    ],
)
def test_the_model_that_promises_most(models, wanted):
    for order in itertools.permutations(models):
        found = preferred(order)
        assert found is not None
        assert found.model == wanted


def test_models_that_tell_nothing_promise_nothing():
    assert preferred([]) is None
    assert preferred([model("external"), model("odd", accuracy=float("nan"))]) is None
