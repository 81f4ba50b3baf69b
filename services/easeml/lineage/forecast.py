"""What an evaluation would do: which steps are cached, and about how long the others take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easeml.errors import EaseMLError
from easeml.lineage.cache import Cache, Record
from easeml.lineage.evaluation import CacheLike, cache_of, timing_name
from easeml.lineage.graph import GIVEN, Graph
from easeml.lineage.keys import Keys
from easeml.lineage.plan import Plan, Step, plan_of
from easeml.lineage.values import cells_of, rows_of


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What would become of a step.

    Parameters
    ----------
    step : Step
        The step.
    cached : bool
        Whether its result is known.
    seconds : float, optional
        About how long it would run; None: nobody knows.
    rows : int
        Rows of its result, -1: not known or no relation.
    problem : str
        Why it cannot run as things are; empty: nothing is known against it.
    """

    step: Step
    cached: bool
    seconds: float | None
    rows: int
    problem: str = ""


def forecast(
    graph: Graph, *, parameters: Mapping[str, Any] | None = None, cache: CacheLike = True
) -> tuple[Plan, list[Forecast]]:
    """Return the plan of a graph and what would become of each step; nothing runs.

    Workflow parameters that nobody has set stay open; steps that use them count as not cached.
    """
    try:
        plan = plan_of(graph.bound(parameters))
    except EaseMLError:
        if parameters:
            raise
        plan = plan_of(graph)
    store = cache_of(cache)
    keys = Keys()
    known: dict[int, Record] = {}
    cells: dict[int, int | None] = {}
    told = []
    for step in plan.steps:
        record, problem = _record(step, known, keys, store)
        taken = [cells[id(node)] for node in step.inputs]
        size = None if None in taken or not taken else sum(size or 0 for size in taken)
        if record is not None:
            known[id(step.node)] = record
        cells[id(step.node)] = size if record is None else record.cells
        seconds = 0.0 if record is not None else _seconds(step, size, store)
        told.append(Forecast(step, record is not None, seconds, -1 if record is None else record.rows, problem))
    return plan, told


def _record(step: Step, known: Mapping[int, Record], keys: Keys, cache: Cache | None) -> tuple[Record | None, str]:
    node = step.node
    if node.operator == GIVEN and node.value is not None:
        return Record(str(node.parameters["address"]), "", rows_of(node.value), cells_of(node.value), 0.0), ""
    if cache is None or any(one.declared for one in step.nodes) or not all(id(one) in known for one in step.inputs):
        return None, ""
    try:
        key = keys.key(step.nodes, [known[id(one)].address for one in step.inputs])
    except EaseMLError as error:
        return None, error.message
    return (None if key is None else cache.find(key)), ""


def _seconds(step: Step, cells: int | None, cache: Cache | None) -> float | None:
    past = None if cache is None else cache.timing(timing_name(step))
    if past is not None:
        seconds, then = past
        return seconds if cells is None or not then else seconds * cells / then
    costs = [node.kind.cost for node in step.nodes]
    if cells is None or None in costs:
        return None
    return sum(cost or 0.0 for cost in costs) * cells / 1e6
