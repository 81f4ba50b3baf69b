"""What operators did to data, in the terms of OpenLineage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class RunState(StrEnum):
    """State of an operator's run (OpenLineage ``eventType``)."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class LineageDataset:
    """Data that a run read or wrote."""

    name: str  #: name within the namespace, e.g. churn/train/v1
    content_hash: str  #: sha256 of the content; empty: not known
    rows: int  #: number of rows; -1: not known


@dataclass(frozen=True, slots=True)
class OperatorRun:
    """An operator began, ended or failed (an OpenLineage RunEvent)."""

    app: str  #: name of the app
    run: str  #: identity of the run, a UUID
    job: str  #: operator, e.g. datamagic.propose_repairs
    state: RunState  #: what happened
    producer: str  #: software and version
    inputs: tuple[LineageDataset, ...] = ()  #: what it read
    outputs: tuple[LineageDataset, ...] = ()  #: what it wrote
    parameters: dict[str, str] = field(default_factory=dict)  #: its parameters, as JSON
    message: str = ""  #: why it failed
