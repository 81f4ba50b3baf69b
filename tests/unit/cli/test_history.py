"""Events in the order in which people saw them happen, and who waits for a test set."""

from __future__ import annotations

from typing import Any

import pytest

from easeml.cli.history import TOLD, ordered, present
from easeml.cli.waiting import waiting
from easeml.ids import EventId
from easeml.stream.events import Event
from easeml.stream.payloads import (
    AppDefined,
    AppDeleted,
    DataVersion,
    ModelPublished,
    ModelRetired,
    Payload,
    Pillar,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    Verdict,
)
from easeml.stream.topics import CATALOGUE

DEFINED = AppDefined("churn", "churned", ("no", "yes"), (), condition="n > 0.8 +/- 0.05")
NEEDED = TestSetNeeded("churn", 2, 2128, "Test set 1 is used up (steps_exhausted); publish fresh labelled test rows.")


def event(data: Payload, recorded: float, time: float = 0.0) -> Event[Any]:
    topic = next(t.name for t in CATALOGUE if isinstance(data, t.payloads))
    return Event(EventId.random(), "test", time, "churn", "churn", data, topic, 0, 0, recorded=recorded)


def events(*data: Payload) -> list[Event[Any]]:
    return [event(one, float(place)) for place, one in enumerate(data)]


def model(name: str) -> ModelPublished:
    return ModelPublished("churn", name, "logistic", "", "", 0, "external", (), (), "v", "external")


def version(pillar: Pillar) -> DataVersion:
    return DataVersion("churn", pillar, "v", 1, "", "", ())


def test_rows_and_predictions_are_not_followed_one_by_one():
    assert "easeml.picks.v1" in TOLD
    assert not [name for name in TOLD if name.startswith(("easeml.data.", "easeml.predictions", "easeml.ticks"))]
    assert not [t.name for t in CATALOGUE if t.restricted and t.name in TOLD]


def test_order_is_that_of_the_record_not_of_the_cause():
    later, sooner = event(NEEDED, recorded=9.0, time=1.0), event(DEFINED, recorded=3.0, time=5.0)
    assert ordered([later, sooner]) == [sooner, later]


def test_a_former_life_is_not_mixed_in():
    old = events(DEFINED, model("old"), AppDeleted("churn"))
    new = [event(DEFINED, 10.0), event(model("new"), 11.0)]
    assert [e.data for e in present([*new, *old])] == [DEFINED, model("new")]
    assert len(present(old)) == 3


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ([version(Pillar.TEST), model("a"), TestSetOpened("churn", 1, 9, 9, 8)], None),
        ([version(Pillar.TEST), model("a"), Verdict("churn", "a", True, True)], None),
        ([version(Pillar.TRAIN), model("a")], "1 model waits for a test set of "),
        (
            [version(Pillar.TEST), model("a"), model("b"), model("c"), model("d"), Verdict("churn", "a", True, True),
             ModelRetired("churn", "d", "late"), TestSetExhausted("churn", 1, "steps_exhausted"), NEEDED],
            "2 models wait for a new test set of 2,128 rows; publish it: easeml publish churn FILE --pillar test",
        ),
        ([version(Pillar.TEST), model("a"), NEEDED, version(Pillar.TEST)], None),
        ([version(Pillar.TEST), model("a"), TestSetNeeded("churn", 1, 0, "No test set can be opened")],
         "1 model waits: No test set can be opened"),
        ([model("a"), AppDeleted("churn")], None),
    ],
)  # fmt: skip
def test_models_wait_for_a_test_set(history, text):
    found = waiting(events(DEFINED, *history))
    if text is None:
        assert found == []
    else:
        assert [one.app for one in found] == ["churn"]
        assert str(found[0]).startswith(text)
