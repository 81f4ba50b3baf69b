"""What is run of a graph: only what is wanted, equal steps once, row-wise neighbours together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from easeml.lineage.graph import GIVEN, Graph, Node, ordered


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Nodes that run one after the other as one; what passes between them is neither hashed nor stored.

    Parameters
    ----------
    nodes : tuple of Node
        At least one; each but the first takes the result of the one before it.
    """

    nodes: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Nodes whose results it takes."""
        return self.nodes[0].inputs

    @property
    def node(self) -> Node:
        """The node whose result it makes."""
        return self.nodes[-1]

    @property
    def name(self) -> str:
        """Its operators."""
        return " + ".join(node.operator for node in self.nodes)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Steps in an order in which they can run.

    Parameters
    ----------
    steps : tuple of Step
        Each after those it needs.
    outputs : mapping of str to Node
        Whose results are wanted; each is the node of a step.
    dropped : tuple of Node
        Nodes that no wanted output needs.
    reused : int
        Nodes that are equal to another one and do not run again.
    fused : int
        Results that are never materialised, because the next step takes them at once.
    """

    steps: tuple[Step, ...]
    outputs: Mapping[str, Node]
    dropped: tuple[Node, ...] = ()
    reused: int = 0
    fused: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the plan does with the graph, for people."""
        notes = []
        if self.dropped:
            what = ", ".join(node.operator for node in self.dropped)
            notes.append(f"dropped {_count(len(self.dropped), 'step')} that no wanted output needs: {what}")
        if self.reused:
            notes.append(f"reused {_count(self.reused, 'step')} that occur{'s' * (self.reused == 1)} more than once")
        chains = [step.name for step in self.steps if len(step.nodes) > 1]
        if chains:
            notes.append(f"fused row-wise steps, {_count(self.fused, 'result')} not materialised: {'; '.join(chains)}")
        return tuple(notes)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def plan_of(graph: Graph, *, optimise: bool = True) -> Plan:
    """Return how the wanted outputs of a graph are made.

    Parameters
    ----------
    graph : Graph
        Graph without open workflow parameters (``Graph.bound``).
    optimise : bool
        False: every node of the graph runs, as it stands.
    """
    if not optimise:
        return Plan(tuple(Step((node,)) for node in graph.nodes), graph.outputs)
    needed = ordered(graph.outputs.values())
    kept = {id(node) for node in needed}
    unique: dict[str, Node] = {}
    for node in needed:
        if node.digest not in unique:
            inputs = tuple(unique[one.digest] for one in node.inputs)
            same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
            unique[node.digest] = (
                node if same else Node(node.operator, node.version, node.parameters, inputs, node.declared, node.value)
            )
    outputs = {name: unique[node.digest] for name, node in graph.outputs.items()}
    # An unwanted node that equals a wanted one is not dropped: it is done all the same.
    dropped = [node for node in graph.nodes if id(node) not in kept and node.digest not in unique]
    steps = _fused(tuple(unique.values()), {id(node) for node in outputs.values()})
    reused = len(graph.nodes) - len(dropped) - len(unique)
    fused = len(unique) - len(steps)
    return Plan(steps, MappingProxyType(outputs), tuple(dropped), reused, fused)


def _fused(nodes: tuple[Node, ...], wanted: set[int]) -> tuple[Step, ...]:
    """Return chains of row-wise nodes as one step; a result that somebody else needs ends a chain."""
    users = Counter(id(one) for node in nodes for one in node.inputs)
    chains: dict[int, list[Node]] = {}
    for node in nodes:
        before = node.inputs[0] if len(node.inputs) == 1 else None
        chain = chains.get(id(before)) if before is not None else None
        alone = users[id(before)] == 1 and id(before) not in wanted
        if chain is not None and alone and _joins(node) and _joins(chain[-1]):
            del chains[id(before)]
            chains[id(node)] = [*chain, node]
        else:
            chains[id(node)] = [node]
    # A chain runs where its last node stood: by then every input of its first one is there.
    return tuple(Step(tuple(chains[id(node)])) for node in nodes if id(node) in chains)


def _joins(node: Node) -> bool:
    return node.operator != GIVEN and node.kind.rowwise
