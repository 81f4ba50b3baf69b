"""What is told of a step's run: START, then COMPLETE or FAIL."""

from __future__ import annotations

import importlib.metadata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from easeml.lineage.plan import Step
from easeml.lineage.values import canonical
from easeml.stream.payloads import LineageDataset, OperatorRun, RunState

Sink = Callable[[OperatorRun], None]
"""Takes lineage events."""


def new_run() -> str:
    """Return the identity of a run."""
    return str(uuid.uuid4())


def producer() -> str:
    """Return software and version."""
    try:
        return f"easeml/{importlib.metadata.version('easeml-streaming')}"
    except importlib.metadata.PackageNotFoundError:  # used from a source tree
        return "easeml"


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells a sink about runs.

    Parameters
    ----------
    sink : callable
        Takes the events.
    app : str
        App they are about.
    new_run : callable
        Makes the identity of each run.
    """

    sink: Sink
    app: str = ""
    new_run: Callable[[], str] = new_run

    def dataset(self, operator: str, address: str, content_hash: str, rows: int) -> LineageDataset:
        """Return a step's result as dataset."""
        return LineageDataset(f"{self.app or 'easeml'}/{operator}/{address[:16]}", content_hash, rows)

    def begin(self, step: Step, inputs: Sequence[LineageDataset], files: Mapping[str, str]) -> Run:
        """Tell that a step starts and return what tells its end."""
        single = len(step.nodes) == 1
        parameters = {
            (name if single else f"{place}.{name}"): canonical(value)
            for place, node in enumerate(step.nodes)
            for name, value in node.parameters.items()
        }
        read = (*inputs, *(LineageDataset(path, sha256, -1) for path, sha256 in files.items()))
        start = OperatorRun(
            self.app, self.new_run(), step.name, RunState.START, producer(), read, parameters=parameters
        )
        self.sink(start)
        return Run(self, start)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has started."""

    teller: Teller
    start: OperatorRun

    def complete(self, output: LineageDataset) -> None:
        """Tell what it wrote."""
        self._tell(RunState.COMPLETE, (output,), "")

    def fail(self, message: str) -> None:
        """Tell why it failed."""
        self._tell(RunState.FAIL, (), message)

    def _tell(self, state: RunState, outputs: tuple[LineageDataset, ...], message: str) -> None:
        one = self.start
        self.teller.sink(
            OperatorRun(one.app, one.run, one.job, state, one.producer, one.inputs, outputs, one.parameters, message)
        )
