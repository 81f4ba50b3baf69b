"""The lineage graph: immutable steps that know their inputs, and the outputs that are wanted of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from easeml.errors import ConflictError, EaseMLError, InvalidDataError, NotFoundError
from easeml.lineage.operators import Operator, lookup
from easeml.lineage.values import Json, Value, address_of, digest, plain

REFERENCE = "$parameter"
"""Key of a reference to a workflow's parameter, in place of a value."""
GIVEN = "lineage.given"
"""Operator of steps that hold a relation from memory."""
RESULT = "result"
"""Name of the output of a graph that has one."""


class _Required:
    """Stands for the default that a parameter does not have."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the whole workflow, set when it is run; stands where an operator wants a value.

    Parameters
    ----------
    name : str
        Name for ``--set name=value``.
    default : JSON, optional
        Value when nobody sets it; without it, somebody must.
    description : str
        For people.
    """

    name: str
    default: Json = REQUIRED
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InvalidDataError(f"A parameter cannot be called {self.name!r}.", mend="Use a name such as seed.")

    @property
    def reference(self) -> dict[str, str]:
        """What stands for it in a step."""
        return {REFERENCE: self.name}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node:
    """One step: an operator, its parameters and the steps whose results it takes.

    Parameters
    ----------
    operator : str
        Full name.
    version : int
        Version of the operator.
    parameters : mapping of str to JSON
        As ``Operator.check`` returns them; a reference to a workflow parameter is ``{"$parameter": name}``.
    inputs : tuple of Node
        Steps it depends on, in the order of the arguments.
    declared : tuple of Parameter
        Workflow parameters that this step refers to.
    value : Relation, optional
        What a ``lineage.given`` step holds.
    digest : str
        Structural hash: SHA-256 over operator, version, parameters and the digests of the inputs.
    """

    operator: str
    version: int
    parameters: Mapping[str, Json]
    inputs: tuple[Node, ...] = ()
    declared: tuple[Parameter, ...] = ()
    value: Value = None
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        inputs = [node.digest for node in self.inputs]
        object.__setattr__(self, "digest", digest(self.operator, self.version, dict(self.parameters), inputs))

    def __repr__(self) -> str:
        return f"<{self.operator} v{self.version} {self.digest[:8]}>"

    @property
    def kind(self) -> Operator:
        """The operator."""
        return lookup(self.operator, self.version)


def reference_in(value: Json) -> str | None:
    """Return the name of the workflow parameter that a value refers to."""
    return value[REFERENCE] if isinstance(value, dict) and set(value) == {REFERENCE} else None


def make_node(name: str, inputs: Sequence[Node], parameters: Mapping[str, Any], *, version: int | None = None) -> Node:
    """Return a checked step; parameters may be ``Parameter`` objects.

    Raises
    ------
    NotFoundError
        When the operator or its version is not known.
    InvalidDataError
        When inputs or parameters do not fit; names the operator and the parameter.
    """
    kind = lookup(name, version)
    kind.check_inputs(len(inputs))
    declared = {key: value for key, value in parameters.items() if isinstance(value, Parameter)}
    fixed = {key: value for key, value in parameters.items() if key not in declared}
    for key, value in fixed.items():
        if isinstance(value, Mapping) and REFERENCE in value:
            raise InvalidDataError(
                f"{kind.name}: parameter {key!r} has the reserved key {REFERENCE!r}.", mend="Use another key."
            )
    defaults = {key: p.default for key, p in declared.items() if p.default is not REQUIRED}
    kind.check(fixed | defaults, later=declared.keys() - defaults.keys())
    checked = kind.check(fixed, later=declared) | {key: p.reference for key, p in declared.items()}
    in_order = {key: checked[key] for key in kind.adapters}
    return Node(kind.name, kind.version, in_order, tuple(inputs), tuple(declared.values()))


def given(relation: Value, address: str | None = None) -> Node:
    """Return the step that holds a relation from memory."""
    return Node(GIVEN, 1, {"address": address or address_of(relation)}, value=relation)


def ordered(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Return outputs and everything they need, each step after its inputs; steps made twice stay twice."""
    done: dict[int, Node] = {}
    for output in outputs:
        stack: list[tuple[Node, Iterator[Node]]] = [(output, iter(output.inputs))]
        while stack:
            node, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                done[id(node)] = node
                stack.pop()
            elif id(following) not in done:
                stack.append((following, iter(following.inputs)))
    return tuple(done.values())


class Graph:
    """Steps with named outputs.

    Parameters
    ----------
    outputs : mapping of str to Node
        What the graph is for.
    extra : iterable of Node
        Steps that no output needs; they are kept and never run.

    Raises
    ------
    ConflictError
        When two workflow parameters of one name differ.
    """

    __slots__ = ("nodes", "outputs", "parameters")

    def __init__(self, outputs: Mapping[str, Node], extra: Iterable[Node] = ()) -> None:
        if not outputs:
            raise InvalidDataError("A graph without an output.", mend="Name at least one step that is wanted.")
        self.outputs = MappingProxyType(dict(outputs))
        self.nodes = ordered([*self.outputs.values(), *extra])
        parameters: dict[str, Parameter] = {}
        for node in self.nodes:
            for parameter in node.declared:
                present = parameters.setdefault(parameter.name, parameter)
                if present != parameter:
                    raise ConflictError(
                        f"The workflow parameter {parameter.name!r} is declared twice, differently: "
                        f"{present.default!r} and {parameter.default!r} at {node.operator}.",
                        mend="Use one Parameter object for both.",
                    )
        self.parameters = MappingProxyType(dict(sorted(parameters.items())))

    @property
    def digest(self) -> str:
        """Structural hash over outputs and declared parameters; the same after save and load."""
        declared = {
            name: {} if p.default is REQUIRED else {"default": plain(p.default)} for name, p in self.parameters.items()
        }
        return digest({name: node.digest for name, node in self.outputs.items()}, declared)

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} steps, outputs {', '.join(self.outputs)})"

    def want(self, names: Sequence[str]) -> Graph:
        """Return the graph with only some outputs wanted; the other steps stay, unused.

        Raises
        ------
        NotFoundError
            When an output is not known.
        """
        unknown = [name for name in names if name not in self.outputs]
        if unknown:
            raise NotFoundError(f"No output {unknown[0]!r}.", mend=f"Outputs are {', '.join(self.outputs)}.")
        return Graph({name: self.outputs[name] for name in names}, self.nodes)

    def bound(self, values: Mapping[str, Any] | None = None) -> Graph:
        """Return the graph with workflow parameters replaced by values or their defaults.

        Raises
        ------
        InvalidDataError
            When a parameter is unknown, not set, or does not fit a step; names parameter and step.
        """
        values = values or {}
        unknown = [name for name in values if name not in self.parameters]
        if unknown:
            have = ", ".join(self.parameters) or "none"
            raise InvalidDataError(
                f"The workflow has no parameter {unknown[0]!r}.", mend=f"It has: {have}.", reason="unknown_parameter"
            )
        chosen = {name: values.get(name, parameter.default) for name, parameter in self.parameters.items()}
        unset = [name for name, value in chosen.items() if value is REQUIRED]
        if unset:
            raise InvalidDataError(
                f"The workflow parameter {unset[0]!r} is not set.",
                mend=f"Give it a value: --set {unset[0]}=VALUE (in Python among the parameters of eval).",
                reason="missing_parameter",
            )
        made: dict[int, Node] = {}
        for node in self.nodes:
            inputs = tuple(made[id(one)] for one in node.inputs)
            if not node.declared and all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
                made[id(node)] = node
            elif not node.declared:
                made[id(node)] = Node(node.operator, node.version, node.parameters, inputs, value=node.value)
            else:
                made[id(node)] = _with_values(node, inputs, chosen)
        return Graph({name: made[id(node)] for name, node in self.outputs.items()}, made.values())


def _with_values(node: Node, inputs: tuple[Node, ...], chosen: Mapping[str, Any]) -> Node:
    names = {key: reference_in(value) for key, value in node.parameters.items()}
    values = {key: node.parameters[key] if name is None else chosen[name] for key, name in names.items()}
    try:
        return Node(node.operator, node.version, node.kind.check(values), inputs, value=node.value)
    except EaseMLError as error:
        used = ", ".join(f"{name}={chosen[name]!r}" for name in names.values() if name is not None)
        raise InvalidDataError(
            f"{error.message} The workflow was run with {used}.", mend=error.mend, reason=error.reason
        ) from error
