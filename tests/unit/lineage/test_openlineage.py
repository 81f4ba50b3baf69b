"""Runs as OpenLineage events and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from easeml.errors import InvalidDataError
from easeml.lineage.openlineage import operator_run, run_event
from easeml.stream.payloads import LineageDataset, OperatorRun, RunState

TIME = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=timezone(timedelta(hours=1)))
RUN = OperatorRun(
    "churn",
    "7d8ea9ce-4d42-4b3e-a5b3-93d3b2d84a0c",
    "datamagic.propose_repairs",
    RunState.FAIL,
    "easeml/0.1.0",
    (LineageDataset("churn/datamagic.read/12ab", "a" * 64, 10), LineageDataset("file.csv", "", -1)),
    (LineageDataset("churn/datamagic.propose_repairs/34cd", "b" * 64, 9),),
    {"max_candidates": "8", "columns": '["a","b"]', "path": '"x.csv"'},
    "no luck",
)


def test_the_fields_are_those_of_the_specification():
    event = run_event(RUN, time=TIME)
    assert set(event) == {
        "eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL",
    }  # fmt: skip
    assert event["eventType"] == "FAIL"
    assert event["eventTime"] == "2026-03-04T04:06:07.890000Z"
    assert event["run"]["runId"] == RUN.run
    assert event["job"] == {"namespace": "easeml/churn", "name": "datamagic.propose_repairs", "facets": {}}
    assert event["producer"] == "urn:easeml:easeml/0.1.0"
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def test_facets_carry_what_is_known():
    event = run_event(RUN, time=TIME)
    facets = event["run"]["facets"]
    assert facets["errorMessage"]["message"] == "no luck"
    assert facets["errorMessage"]["programmingLanguage"] == "python"
    assert facets["jobRunParameters"]["parameters"][1] == {"key": "columns", "value": ["a", "b"]}
    known, unknown = event["inputs"]
    assert known["facets"]["version"]["datasetVersion"] == "a" * 64
    assert known["inputFacets"]["inputStatistics"]["rowCount"] == 10
    assert unknown["facets"] == unknown["inputFacets"] == {}
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 9
    for facet in (*facets.values(), known["facets"]["version"], known["inputFacets"]["inputStatistics"]):
        assert facet["_producer"] == event["producer"]
        assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/1-0-0/")


@pytest.mark.parametrize("app", ["churn", ""])
@pytest.mark.parametrize("state", RunState)
def test_a_run_comes_back(app, state):
    run = OperatorRun(app, RUN.run, RUN.job, state, "https://example.org/v1", RUN.inputs, RUN.outputs, RUN.parameters)
    assert operator_run(run_event(run, time=TIME)) == run
    assert operator_run(run_event(RUN, time=TIME)) == RUN


def test_events_of_other_tools_are_read():
    event = {
        "eventType": "ABORT",
        "eventTime": "2020-12-09T23:37:31.081Z",
        "run": {"runId": RUN.run},
        "job": {"namespace": "scheduler", "name": "job.task"},
        "inputs": [{"namespace": "db", "name": "table"}],
        "producer": "https://github.com/OpenLineage/OpenLineage/blob/v1-0-0/client",
    }
    run = operator_run(event)
    assert run.app == ""
    assert run.state is RunState.FAIL
    assert run.message == "aborted"
    assert run.inputs == (LineageDataset("table", "", -1),)
    assert run.producer == event["producer"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eventType": "RUNNING"}, "'RUNNING' neither starts nor ends"),
        ({"eventType": None}, "no text eventType"),
        ({"run": {}}, r"no text run\.runId"),
        ({"run": {"runId": "7"}}, "'7' is no UUID"),
        ({"run": []}, "no object run"),
        ({"job": {"name": "x"}}, r"no text job\.namespace"),
        ({"producer": ""}, "no text producer"),
        ({"inputs": ["table"]}, "input is no object"),
        ({"outputs": [{}]}, r"no text output\.name"),
    ],
)
def test_what_is_no_event_is_refused(change, words):
    with pytest.raises(InvalidDataError, match=words):
        operator_run(run_event(RUN, time=TIME) | change)


def test_a_time_needs_a_zone_and_a_run_a_uuid():
    with pytest.raises(InvalidDataError, match="no time zone"):
        run_event(RUN, time=datetime(2026, 1, 1))
    with pytest.raises(InvalidDataError, match="no UUID"):
        run_event(OperatorRun("a", "1", "j", RunState.START, "p"), time=datetime.now(UTC))
