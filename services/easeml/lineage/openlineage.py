"""Operator runs as OpenLineage run events and back, so that any lineage catalogue understands them.

Source: OpenLineage specification 2-0-2 (RunEvent) and its facets of version 1: jobRunParameters, errorMessage,
version, inputStatistics, outputStatistics.

>>> from datetime import UTC, datetime
>>> run = OperatorRun("churn", "7d8ea9ce-4d42-4b3e-a5b3-93d3b2d84a0c", "relation.take", RunState.START, "easeml/0.1.0")
>>> event = run_event(run, time=datetime(2026, 1, 2, tzinfo=UTC))
>>> event["eventType"], event["eventTime"], event["job"]["namespace"], event["job"]["name"]
('START', '2026-01-02T00:00:00Z', 'easeml/churn', 'relation.take')
>>> operator_run(event) == run
True
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from easeml.errors import InvalidDataError
from easeml.lineage.values import canonical
from easeml.stream.payloads import LineageDataset, OperatorRun, RunState

NAMESPACE = "easeml"
SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets/1-0-0/{0}.json#/$defs/{0}"
_URN = "urn:easeml:"
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_STATES = {state.value: state for state in RunState} | {"ABORT": RunState.FAIL}


def run_event(run: OperatorRun, *, time: datetime, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return a run as OpenLineage RunEvent.

    Parameters
    ----------
    run : OperatorRun
        What happened.
    time : datetime
        When, with a time zone.
    namespace : str
        Of jobs and data; the app is appended.

    Raises
    ------
    InvalidDataError
        When the run is no UUID or the time has no zone.
    """
    if time.tzinfo is None:
        raise InvalidDataError("The time of an event has no time zone.", mend="Give one, e.g. UTC.")
    _uuid(run.run)
    producer = run.producer if _URI.fullmatch(run.producer) else f"{_URN}{quote(run.producer, safe='/')}"
    own = f"{namespace}/{run.app}" if run.app else namespace
    facets: dict[str, Any] = {}
    if run.parameters:
        parameters = [{"key": key, "value": _json(value)} for key, value in run.parameters.items()]
        facets["jobRunParameters"] = _facet("JobRunParametersFacet", producer, parameters=parameters)
    if run.message:
        facets["errorMessage"] = _facet(
            "ErrorMessageRunFacet", producer, message=run.message, programmingLanguage="python"
        )
    return {
        "eventType": run.state.value,
        "eventTime": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "run": {"runId": run.run, "facets": facets},
        "job": {"namespace": own, "name": run.job, "facets": {}},
        "inputs": [_dataset(one, own, producer, "input") for one in run.inputs],
        "outputs": [_dataset(one, own, producer, "output") for one in run.outputs],
        "producer": producer,
        "schemaURL": SCHEMA_URL,
    }


def _facet(name: str, producer: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": producer, "_schemaURL": _FACETS.format(name), **fields}


def _dataset(one: LineageDataset, namespace: str, producer: str, side: str) -> dict[str, Any]:
    facets, statistics = {}, {}
    if one.content_hash:
        facets["version"] = _facet("DatasetVersionDatasetFacet", producer, datasetVersion=one.content_hash)
    if one.rows >= 0:
        kind = f"{side.capitalize()}Statistics{side.capitalize()}DatasetFacet"
        statistics[f"{side}Statistics"] = _facet(kind, producer, rowCount=one.rows)
    return {"namespace": namespace, "name": one.name, "facets": facets, f"{side}Facets": statistics}


def operator_run(event: Mapping[str, Any]) -> OperatorRun:
    """Return an OpenLineage RunEvent, ours or another tool's, as operator run; unknown facets are left out.

    Raises
    ------
    InvalidDataError
        When a required field is missing or has the wrong type, or the event only tells that a run goes on.
    """
    state = _text(event, "eventType")
    if state not in _STATES:
        raise InvalidDataError(
            f"eventType {state!r} neither starts nor ends a run.", mend=f"Send {', '.join(_STATES)}."
        )
    run, job = _object(event, "run"), _object(event, "job")
    facets = run.get("facets") or {}
    parameters = (facets.get("jobRunParameters") or {}).get("parameters") or []
    namespace, producer = _text(job, "namespace", "job."), _text(event, "producer")
    message = str((facets.get("errorMessage") or {}).get("message", ""))
    own = namespace.startswith(f"{NAMESPACE}/")
    return OperatorRun(
        app=namespace.removeprefix(f"{NAMESPACE}/") if own else "",
        run=_uuid(_text(run, "runId", "run.")),
        job=_text(job, "name", "job."),
        state=_STATES[state],
        producer=unquote(producer.removeprefix(_URN)) if producer.startswith(_URN) else producer,
        inputs=tuple(_read(one, "input") for one in event.get("inputs") or []),
        outputs=tuple(_read(one, "output") for one in event.get("outputs") or []),
        parameters={str(one["key"]): _raw(one.get("value")) for one in parameters if "key" in one},
        message=message or ("aborted" if state == "ABORT" else ""),
    )


def _read(one: Any, side: str) -> LineageDataset:
    if not isinstance(one, Mapping):
        raise InvalidDataError(f"An {side} is no object.", mend="Send namespace and name of each dataset.")
    version = ((one.get("facets") or {}).get("version") or {}).get("datasetVersion", "")
    rows = ((one.get(f"{side}Facets") or {}).get(f"{side}Statistics") or {}).get("rowCount", -1)
    return LineageDataset(_text(one, "name", f"{side}."), str(version), rows if isinstance(rows, int) else -1)


def _text(where: Mapping[str, Any], name: str, path: str = "") -> str:
    value = where.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidDataError(f"The event has no text {path}{name}.", mend="Send an OpenLineage RunEvent.")
    return value


def _object(where: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = where.get(name)
    if not isinstance(value, Mapping):
        raise InvalidDataError(f"The event has no object {name}.", mend="Send an OpenLineage RunEvent.")
    return value


def _uuid(text: str) -> str:
    try:
        uuid.UUID(text)
    except ValueError as error:
        raise InvalidDataError(f"The run id {text!r} is no UUID.", mend="Give each run a UUID.") from error
    return text


def _json(text: str) -> Any:
    """Return a parameter's JSON; what is none stays the text it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _raw(value: Any) -> str:
    return canonical(value)
