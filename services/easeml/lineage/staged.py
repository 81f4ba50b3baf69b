"""The fluent handle: calling an operator adds a step to the graph and returns the new end; nothing runs before eval().

>>> from easeml.lineage import ops
>>> numbers = ops.constant(value=[3, 1, 2])
>>> numbers
Staged(lineage.constant(value=[3,1,2]))
>>> numbers.eval(cache=False)
[3, 1, 2]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from easeml.errors import NotFoundError
from easeml.lineage.documents import save
from easeml.lineage.drawing import draw, draw_svg, explain
from easeml.lineage.evaluation import CacheLike, Evaluation, described, evaluate
from easeml.lineage.events import Sink
from easeml.lineage.graph import RESULT, Graph, Node, given, make_node
from easeml.lineage.operators import names, resolve
from easeml.lineage.suggestions import Suggestion, suggestions
from easeml.lineage.values import Value, plain
from easeml.progress import Progress
from easeml.relation import Relation
from easeml.relation.splitting import DEFAULT_SHARES
from easeml.stream.payloads import Pillar


class Staged:
    """The result of a step that has not run yet.

    Operators are methods, by full or short name: ``data.take(first=10)``, ``data.relation.take(first=10)`` and
    ``data.apply("relation.take", first=10)`` are the same.

    Parameters
    ----------
    node : Node
        The step.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def graph(self) -> Graph:
        """The step with everything it needs, as a graph with one output."""
        return Graph({RESULT: self.node})

    def apply(self, operator: str, /, *others: Any, **parameters: Any) -> Staged:
        """Return the handle of a step that takes this one's result.

        Parameters
        ----------
        operator : str
            Full or short name.
        others : Staged, Relation or JSON value
            Further inputs.
        parameters
            Parameters of the operator; a ``Parameter`` leaves one open until the workflow is run.

        Raises
        ------
        NotFoundError
            When the operator is not known.
        InvalidDataError
            When a parameter is unknown, missing or does not fit; names it.
        """
        return stage(operator, self, *others, **parameters)

    def __getattr__(self, name: str) -> Namespace:
        return Namespace(name, self)._checked()

    def __dir__(self) -> Iterable[str]:
        return [*object.__dir__(self), *_short_names("")]

    def eval(
        self,
        *,
        cache: CacheLike = True,
        progress: Progress | None = None,
        parameters: Mapping[str, Any] | None = None,
        sink: Sink | None = None,
        app: str = "",
    ) -> Value:
        """Return the result: run what the cache does not hold (see ``easeml.lineage.evaluate``)."""
        return self.evaluate(cache=cache, progress=progress, parameters=parameters, sink=sink, app=app).results[RESULT]

    def evaluate(self, **options: Any) -> Evaluation:
        """Return the result with a report of each step; options are those of ``easeml.lineage.evaluate``."""
        return evaluate(self.graph, **options)

    def pillars(
        self, *, shares: Mapping[str, float] | None = None, group_column: str | None = None, seed: int = 0
    ) -> dict[str, Staged]:
        """Return one handle per pillar of a split; the rows without a label are the pool."""
        chosen = {str(Pillar(name)): share for name, share in (shares or DEFAULT_SHARES).items()}
        assignment = self.apply("relation.split", shares=chosen, group_column=group_column, seed=seed)
        wanted = [*chosen, *([Pillar.POOL.value] if Pillar.POOL.value not in chosen else [])]
        return {name: self.apply("relation.pillar", assignment, pillar=name) for name in wanted}

    def explain(self, *, parameters: Mapping[str, Any] | None = None, cache: CacheLike = True) -> str:
        """Return what eval() would do: each step, whether it is cached, and about what it costs."""
        return explain(self.graph, parameters=parameters, cache=cache)

    def draw(self) -> str:
        """Return a drawing of the graph for terminals."""
        return draw(self.graph)

    def draw_svg(self) -> str:
        """Return a drawing of the graph as SVG."""
        return draw_svg(self.graph)

    def _repr_html_(self) -> str:
        return self.draw_svg()

    def suggest(self, **options: Any) -> list[Suggestion]:
        """Return ranked next steps with reasons; evaluates the step with the options of ``eval``."""
        return suggest(self, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph as JSON, for ``load`` and ``easeml run``."""
        save(self.graph, path)

    def __repr__(self) -> str:
        inputs = "".join(f"{node.operator} > " for node in self.node.inputs)
        return f"Staged({inputs}{described(self.node, 60)})"


class Namespace:
    """Operators by attribute: ``ops.read(path=...)`` or ``ops.datamagic.read(path=...)``.

    Parameters
    ----------
    path : str
        What has been named so far.
    first : Staged, optional
        Handle whose result is the first input.
    """

    __slots__ = ("_first", "_path")

    def __init__(self, path: str = "", first: Staged | None = None) -> None:
        self._path = path
        self._first = first

    def __getattr__(self, name: str) -> Namespace:
        return Namespace(f"{self._path}.{name}".lstrip("."), self._first)._checked()

    def _checked(self) -> Namespace:
        """Return itself when an operator or a package is called so; attributes that do not exist must raise."""
        if self._path.startswith("_") or "._" in self._path:
            raise AttributeError(self._path)
        if not self._is_package():
            try:
                resolve(self._path)
            except NotFoundError as error:
                # The search has just looked for packages that were installed since.
                if not self._is_package():
                    raise AttributeError(str(error)) from error
        return self

    def _is_package(self) -> bool:
        return any(name.startswith(f"{self._path}.") for name in names())

    def __call__(self, *inputs: Any, **parameters: Any) -> Staged:
        """Return the handle of a new step."""
        first = () if self._first is None else (self._first,)
        return stage(self._path, *first, *inputs, **parameters)

    def __dir__(self) -> Iterable[str]:
        return _short_names(self._path)

    def __repr__(self) -> str:
        return f"ops.{self._path}" if self._path else f"ops with {', '.join(names())}"


def _short_names(path: str) -> list[str]:
    inside = f"{path}." if path else ""
    full = [name for name in names() if name.startswith(inside)]
    return sorted({name.removeprefix(inside).split(".")[0] for name in full} | {name.split(".")[-1] for name in full})


ops = Namespace()
"""Every operator, by attribute."""


def stage(operator: str, /, *inputs: Any, **parameters: Any) -> Staged:
    """Return the handle of a new step.

    Parameters
    ----------
    operator : str
        Full or short name.
    inputs : Staged, Relation or JSON value
        What it takes.
    parameters
        Parameters of the operator.

    Raises
    ------
    NotFoundError, InvalidDataError
        As ``Staged.apply``.
    """
    return Staged(make_node(operator, [_node(value) for value in inputs], parameters))


def hold(value: Relation | Any) -> Staged:
    """Return the handle of a relation or JSON value from memory."""
    return Staged(_node(value))


def _node(value: Any) -> Node:
    if isinstance(value, Staged):
        return value.node
    if isinstance(value, Relation):
        return given(value)
    return make_node("lineage.constant", (), {"value": plain(value)})


def suggest(handle: Staged, **options: Any) -> list[Suggestion]:
    """Return ranked next steps with reasons, after evaluating a handle with the options of ``Staged.eval``.

    Raises
    ------
    InvalidDataError
        When its result is no relation.
    """
    return suggestions(handle.eval(**options), handle.node)


def handles_of(graph: Graph) -> dict[str, Staged]:
    """Return the handle of each output of a graph, to go on from there."""
    return {name: Staged(node) for name, node in graph.outputs.items()}


def graph_of(outputs: Mapping[str, Staged] | Staged) -> Graph:
    """Return the graph of one handle, or of several with their names."""
    if isinstance(outputs, Staged):
        return outputs.graph
    return Graph({name: handle.node for name, handle in outputs.items()})
