"""Running a graph: in order, from the cache where the same was done before, telling progress and lineage.

The key of a step's result is the SHA-256 over operator, version, parameters, the addresses of its inputs and the
content of the files it reads. A step whose key has a record does not run, and its value is not even loaded unless a
step that must run, or the caller, needs it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from types import MappingProxyType
from typing import Any

from easeml.errors import EaseMLError
from easeml.lineage.cache import ABSENT, Cache, Record
from easeml.lineage.events import Run, Sink, Teller, new_run
from easeml.lineage.graph import GIVEN, Graph, Node, reference_in
from easeml.lineage.keys import Keys
from easeml.lineage.plan import Plan, Step, plan_of
from easeml.lineage.values import Value, address_of, canonical, cells_of, content_hash, rows_of, settled
from easeml.progress import Progress, bar

CacheLike = Cache | str | os.PathLike[str] | bool


class Status(StrEnum):
    """How a step got its result."""

    RUN = "run"
    CACHED = "cached"
    GIVEN = "given"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What became of a step.

    Parameters
    ----------
    name : str
        Its operators.
    digest : str
        Structural hash of its node.
    status : Status
        Whether it ran.
    seconds : float
        Time that it took; of a cached one, when it ran.
    rows : int
        Rows of its result, -1 of anything but a relation.
    content_hash : str
        Content hash of its result.
    """

    name: str
    digest: str
    status: Status
    seconds: float
    rows: int
    content_hash: str

    @property
    def text(self) -> str:
        """In a few words, for people."""
        rows = f", {self.rows:,} rows" if self.rows >= 0 else ""
        time = f" in {self.seconds:.2f} s" if self.status is Status.RUN else ""
        return f"{self.name}: {self.status}{time}{rows}"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Evaluation:
    """Results of a graph.

    Parameters
    ----------
    results : mapping of str to value
        Result per output.
    content_hashes : mapping of str to str
        Content hash per output.
    reports : tuple of Report
        What became of each step, in the order of the plan.
    plan : Plan
        What was run.
    """

    results: Mapping[str, Value]
    content_hashes: Mapping[str, str]
    reports: tuple[Report, ...]
    plan: Plan

    def __repr__(self) -> str:
        steps = Counter(str(report.status) for report in self.reports)
        told = ", ".join(f"{count} {status}" for status, count in sorted(steps.items()))
        results = "; ".join(f"{name}: {value!r:.200}" for name, value in self.results.items())
        return f"<Evaluation: {results}; steps: {told}>"


def cache_of(cache: CacheLike) -> Cache | None:
    """Return the cache that an argument means: True is that of the house, False none, a path that folder."""
    if isinstance(cache, bool):
        return Cache.home() if cache else None
    return cache if isinstance(cache, Cache) else Cache(cache)


def evaluate(
    graph: Graph,
    *,
    parameters: Mapping[str, Any] | None = None,
    cache: CacheLike = True,
    progress: Progress | None = None,
    sink: Sink | None = None,
    app: str = "",
    optimise: bool = True,
    run_ids: Callable[[], str] = new_run,
) -> Evaluation:
    """Return the results of a graph's outputs.

    Parameters
    ----------
    graph : Graph
        What is wanted.
    parameters : mapping, optional
        Values of workflow parameters.
    cache : Cache, path or bool
        Where results are kept; True: ``$EASEML_HOME/cache``; False: nowhere.
    progress : callable, optional
        Told ``(done, total, what)`` in steps; without it a bar is drawn in terminals and notebooks.
    sink : callable, optional
        Takes START, COMPLETE and FAIL of each step that runs.
    app : str
        App that the events are about.
    optimise : bool
        False: every node runs as it stands.
    run_ids : callable
        Makes the identity of each run.

    Raises
    ------
    EaseMLError
        When a step fails: the step's own error, with the step named. What ran before it is cached.
    """
    plan = plan_of(graph.bound(parameters), optimise=optimise)
    store = cache_of(cache)
    teller = Teller(sink or _nobody, app, run_ids)
    with bar("planning") if progress is None else nullcontext(progress) as told:
        # Each start anew replaces at least one record that no longer holds.
        for _ in range(len(plan.steps) + 1):
            try:
                return _Evaluator(plan, store, told, teller).evaluation()
            except _Changed as change:
                changed = change
    raise EaseMLError(
        f"{changed} gives another result each time.",
        mend="Make the operator pure: take randomness from a seed parameter, and read no clock.",
        reason="operator_failed",
    )


def _nobody(run: object) -> None:
    """Take events and tell nobody."""


class _Changed(Exception):  # noqa: N818 - no error: the evaluation starts again
    """A step whose value was evicted gave another one than its record says."""


@dataclass(slots=True, eq=False)
class _Result:
    record: Record
    status: Status
    value: Value = ABSENT


class _Evaluator:
    """One pass over a plan."""

    def __init__(self, plan: Plan, cache: Cache | None, progress: Progress, teller: Teller) -> None:
        self._plan = plan
        self._cache = cache
        self._progress = progress
        self._teller = teller
        self._keys = Keys()
        self._results: dict[int, _Result] = {}
        self._places = {id(step.node): place for place, step in enumerate(plan.steps)}
        self._uses = Counter(id(node) for step in plan.steps for node in step.inputs)
        self._uses.update(id(node) for node in plan.outputs.values())

    def evaluation(self) -> Evaluation:
        """Return the results of the plan."""
        total = len(self._plan.steps)
        reports = []
        for place, step in enumerate(self._plan.steps):
            self._progress(place, total, step.name)
            result = self._result(place)
            self._results[id(step.node)] = result
            self._release(step.inputs)
            told = result.record
            report = Report(step.name, step.node.digest, result.status, told.seconds, told.rows, told.content_hash)
            reports.append(report)
            self._progress(place + 1, total, report.text)
        results = {name: self._value(node) for name, node in self._plan.outputs.items()}
        hashes = {name: self._results[id(node)].record.content_hash for name, node in self._plan.outputs.items()}
        return Evaluation(MappingProxyType(results), MappingProxyType(hashes), tuple(reports), self._plan)

    def _release(self, nodes: Sequence[Node]) -> None:
        """Let go of values that no later step takes."""
        self._uses.subtract(map(id, nodes))
        for node in nodes:
            if not self._uses[id(node)]:
                self._results[id(node)].value = ABSENT

    def _addresses(self, step: Step) -> list[str]:
        return [self._results[id(node)].record.address for node in step.inputs]

    def _key(self, place: int, length: int | None = None) -> str | None:
        step = self._plan.steps[place]
        try:
            return self._keys.key(step.nodes[:length], self._addresses(step))
        except EaseMLError as error:
            raise self._located(error, place, step.node if length is None else step.nodes[length - 1]) from error

    def _result(self, place: int) -> _Result:
        node = self._plan.steps[place].node
        if node.operator == GIVEN:
            value = node.value if node.value is not None else self._lost(place)
            told = Record(node.parameters["address"], content_hash(value), rows_of(value), cells_of(value), 0.0)
            return _Result(told, Status.GIVEN, value)
        key = self._key(place)
        record = self._cache.find(key) if self._cache is not None and key is not None else None
        return self._run(place, key) if record is None else _Result(record, Status.CACHED)

    def _lost(self, place: int) -> Value:
        """Refuse a step whose relation was held by another process."""
        node = self._plan.steps[place].node
        try:
            return node.kind.run((), node.parameters)
        except EaseMLError as error:
            raise self._located(error, place, node) from error

    def _value(self, wanted: Node) -> Value:
        """Return the value of a node that has a result: at hand, loaded, or made again because it was evicted."""
        pending = [wanted]
        while pending:
            node = pending[-1]
            result = self._results[id(node)]
            if result.value is ABSENT and self._cache is not None:
                result.value = self._cache.load(result.record)
            if result.value is not ABSENT:
                pending.pop()
                continue
            place = self._places[id(node)]
            lacking = [one for one in self._plan.steps[place].inputs if not self._at_hand(one)]
            if lacking:
                pending += lacking
                continue
            again = self._run(place, self._key(place))
            if again.record.address != result.record.address:
                raise _Changed(self._plan.steps[place].name)
            self._results[id(node)] = again
            pending.pop()
        return self._results[id(wanted)].value

    def _at_hand(self, node: Node) -> bool:
        result = self._results[id(node)]
        if node.operator == GIVEN:
            result.value = node.value
        elif result.value is ABSENT and self._cache is not None:
            result.value = self._cache.load(result.record)
        return result.value is not ABSENT

    def _run(self, place: int, key: str | None) -> _Result:
        step = self._plan.steps[place]
        first, inputs = self._start(place)
        read = [
            self._teller.dataset(node.operator, told.address, told.content_hash, told.rows)
            for node, told in ((node, self._results[id(node)].record) for node in step.inputs)
        ]
        files = {path: content for node in step.nodes for path, content in self._keys.files(node).items()}
        run = self._teller.begin(step, read, files)
        started = perf_counter()
        cells = sum(map(cells_of, inputs))
        value = self._called(place, first, inputs, run)
        seconds = perf_counter() - started
        content = content_hash(value)
        record = Record(address_of(value, content), content, rows_of(value), cells_of(value), seconds)
        if self._cache is not None and key is not None:
            record = self._cache.store(key, value, record)
        if self._cache is not None and first == 0:
            self._cache.note_timing(timing_name(step), seconds, cells)
        run.complete(self._teller.dataset(step.node.operator, record.address, content, record.rows))
        return _Result(record, Status.RUN, value)

    def _start(self, place: int) -> tuple[int, list[Value]]:
        """Return the first node of a step that must run, and its inputs; a part of a chain may be in the cache."""
        step = self._plan.steps[place]
        for length in range(len(step.nodes) - 1, 0, -1):
            key = self._key(place, length)
            record = self._cache.find(key) if self._cache is not None and key is not None else None
            value = ABSENT if record is None or self._cache is None else self._cache.load(record)
            if value is not ABSENT:
                return length, [value]
        return 0, [self._value(node) for node in step.inputs]

    def _called(self, place: int, first: int, inputs: list[Value], run: Run) -> Value:
        nodes = self._plan.steps[place].nodes
        total = len(self._plan.steps)
        node = nodes[first]

        def told(done: int, of: int, what: str) -> None:
            self._progress(place, total, f"{node.operator}: {what} ({done:,} of {of:,})")

        try:
            for node in nodes[first:]:
                # A JSON input is copied, so that no operator can change what another one takes.
                result = node.kind.run([settled(value) for value in inputs], node.parameters, told)
                inputs = [settled(result)]
                self._keys.check_unchanged(node)
        except EaseMLError as error:
            located = self._located(error, place, node)
            run.fail(str(located))
            raise located from error
        except Exception as error:  # an operator is anybody's code and may fail in any way
            located = self._located(_fault(node, error), place, node)
            run.fail(str(located))
            raise located from error
        except BaseException as error:
            run.fail(f"{type(error).__name__}: stopped")
            raise
        return inputs[0]

    def _located(self, error: EaseMLError, place: int, node: Node) -> EaseMLError:
        where = f"Step {place + 1} of {len(self._plan.steps)}, {described(node)}"
        return type(error)(f"{where}: {error.message}", mend=error.mend, reason=error.reason)


def _fault(node: Node, error: Exception) -> EaseMLError:
    return EaseMLError(
        f"{type(error).__name__}: {error}",
        mend=f"Check the inputs and parameters of this step, which explain() shows; if they are right, the fault is in "
        f"{node.operator} version {node.version}.",
        reason="operator_failed",
    )


def described(node: Node, most: int = 120) -> str:
    """Return a node as a call, its parameters shortened."""
    if node.operator == GIVEN:
        rows = f", {rows_of(node.value):,} rows" if node.value is not None else ""
        return f"{GIVEN}({str(node.parameters['address'])[:12]}{rows})"
    told = arguments(node)
    return f"{node.operator}({told if len(told) <= most else told[: most - 3] + '...'})"


def arguments(node: Node) -> str:
    """Return the parameters of a node as a call has them; what the workflow leaves open is its ``$name``."""
    told = ((name, value, reference_in(value)) for name, value in node.parameters.items())
    return ", ".join(f"{name}={canonical(value) if open_ is None else f'${open_}'}" for name, value, open_ in told)


def timing_name(step: Step) -> str:
    """Return the name under which the time of a step is remembered."""
    return "+".join(f"{node.operator}-{node.version}" for node in step.nodes)[:200]
