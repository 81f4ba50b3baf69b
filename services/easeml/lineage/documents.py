"""Graphs as JSON documents and back: readable, checked when loaded, and never executed by being read.

A document names operators; loading one imports nothing but the operators of installed packages. A relation that a
graph holds from memory lies beside it, in the folder ``<name>.data``, under its hash.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from easeml.errors import EaseMLError, InvalidDataError, NotFoundError
from easeml.lineage import storage
from easeml.lineage.graph import GIVEN, REQUIRED, Graph, Node, Parameter, make_node, reference_in
from easeml.lineage.values import Json, address_of, plain

FORMAT = "easeml.workflow"
VERSION = 1
MOST_BYTES = 64 << 20
_ADDRESS = re.compile(r"[0-9a-f]{64}")
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _ParameterDocument(_Strict):
    default: Any = None
    description: str = ""


class _NodeDocument(_Strict):
    id: _Name
    operator: _Name
    version: Annotated[int, Field(ge=1)]
    parameters: dict[str, Any] = {}
    inputs: list[_Name] = []


class _Document(_Strict):
    format: Literal["easeml.workflow"]
    version: Literal[1]
    parameters: dict[str, _ParameterDocument] = {}
    nodes: Annotated[list[_NodeDocument], Field(min_length=1)]
    outputs: Annotated[dict[_Name, _Name], Field(min_length=1)]


def document_of(graph: Graph) -> dict[str, Json]:
    """Return a graph as JSON value."""
    names: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        short = node.operator.rpartition(".")[2]
        counts[short] += 1
        names[id(node)] = f"{short}-{counts[short]}"
    return {
        "format": FORMAT,
        "version": VERSION,
        "parameters": {
            name: ({} if one.default is REQUIRED else {"default": plain(one.default)})
            | ({"description": one.description} if one.description else {})
            for name, one in graph.parameters.items()
        },
        "nodes": [
            {
                "id": names[id(node)],
                "operator": node.operator,
                "version": node.version,
                "parameters": dict(node.parameters),
                "inputs": [names[id(one)] for one in node.inputs],
            }
            for node in graph.nodes
        ],
        "outputs": {name: names[id(node)] for name, node in graph.outputs.items()},
    }


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph to a file, whole or not at all; relations from memory go to the folder beside it.

    Raises
    ------
    InvalidDataError
        When the file cannot be written.
    """
    target = Path(path)
    text = json.dumps(document_of(graph), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        for node in graph.nodes:
            if node.operator == GIVEN and node.value is not None:
                _write_data(node, _folder_of(target))
        aside = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
        aside.write_text(text, encoding="utf-8")
        aside.replace(target)
    except OSError as error:
        raise InvalidDataError(
            f"{target} cannot be written: {error.strerror}.", mend="Choose another place."
        ) from error


def _folder_of(path: Path) -> Path:
    return path.with_suffix(".data")


def _write_data(node: Node, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffix = storage.suffix_of(node.value)
    target = folder / f"{node.parameters['address']}{suffix}"
    aside = folder / f"{uuid.uuid4().hex}.part{suffix}"
    storage.write(node.value, aside)
    aside.replace(target)


def load(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a file.

    Raises
    ------
    NotFoundError
        When the file, an operator or its version is not known; names the node.
    InvalidDataError
        When the document is not whole: names the node and the field, or the nodes of a cycle.
    """
    source = Path(path)
    try:
        if source.stat().st_size > MOST_BYTES:
            raise InvalidDataError(f"{source} is larger than {MOST_BYTES:,} bytes.", mend="Is it a workflow?")
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no workflow {str(source)!r}.", mend="Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{source} cannot be read: {error}.", mend="Give a UTF-8 JSON file.") from error
    try:
        return parse(text, _folder_of(source))
    except EaseMLError as error:
        raise type(error)(f"{source}: {error.message}", mend=error.mend, reason=error.reason) from error


def parse(text: str, data: Path | None = None) -> Graph:
    """Return the graph of a document's text.

    Parameters
    ----------
    text : str
        JSON.
    data : Path, optional
        Folder of the relations that it holds.

    Raises
    ------
    NotFoundError, InvalidDataError
        As ``load``.
    """
    try:
        raw = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError as error:
        raise InvalidDataError("The JSON is nested too deep.", mend="Flatten the parameters.") from error
    except json.JSONDecodeError as error:
        raise InvalidDataError(
            f"No JSON: {error.msg} in line {error.lineno}, column {error.colno}.", mend="Mend the document there."
        ) from error
    return _graph(_checked(raw), data)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise InvalidDataError(f"The key {twice!r} occurs twice in one object.", mend="Keep one of them.")
    return made


def _no_constant(name: str) -> None:
    raise InvalidDataError(f"{name} is not JSON.", mend="Use null for what is not known.")


def _checked(raw: Any) -> _Document:
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise InvalidDataError(f"The document has no format {FORMAT!r}.", mend="Save a graph with save().")
    if raw.get("version") != VERSION:
        raise InvalidDataError(
            f"Version {raw.get('version')!r} of the format is not known here; this Ease.ML reads {VERSION}.",
            mend="Use the Ease.ML that wrote it, or save the graph again.",
            reason="unknown_version",
        )
    try:
        return _Document.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidDataError(
            f"{_where(raw, first['loc'])}: {first['msg'][:1].lower()}{first['msg'][1:]}.",
            mend="See a document that save() wrote.",
            reason="bad_document",
        ) from error


def _where(raw: Mapping[str, Any], loc: tuple[int | str, ...]) -> str:
    """Return the place of a fault in words: the node by its id, where it has one."""
    if len(loc) > 1 and loc[0] == "nodes" and isinstance(loc[1], int):
        node = raw["nodes"][loc[1]]
        name = node.get("id") if isinstance(node, dict) else None
        called = f"node {name!r}" if isinstance(name, str) else f"node number {loc[1] + 1}"
        return ", ".join([called, *(f"{part}" for part in loc[2:])])
    return ", ".join(map(str, loc)) or "the document"


def _graph(document: _Document, data: Path | None) -> Graph:
    nodes: dict[str, _NodeDocument] = {}
    for one in document.nodes:
        if one.id in nodes:
            raise InvalidDataError(f"Two nodes are called {one.id!r}.", mend="Give each its own id.")
        nodes[one.id] = one
    for one in document.nodes:
        for name in one.inputs:
            if name not in nodes:
                raise InvalidDataError(
                    f"Node {one.id!r} takes {name!r}, which is not there.", mend=f"Nodes are {_some(nodes)}."
                )
    for output, name in document.outputs.items():
        if name not in nodes:
            raise InvalidDataError(
                f"Output {output!r} is node {name!r}, which is not there.", mend=f"Nodes are {_some(nodes)}."
            )
    parameters = {
        name: Parameter(name, one.default if "default" in one.model_fields_set else REQUIRED, one.description)
        for name, one in document.parameters.items()
    }
    made: dict[str, Node] = {}
    for name in _ordered(nodes):
        made[name] = _node(nodes[name], made, parameters, data)
    graph = Graph({output: made[name] for output, name in document.outputs.items()}, made.values())
    unused = [name for name in parameters if name not in graph.parameters]
    if unused:
        raise InvalidDataError(
            f"The parameter {unused[0]!r} is declared, and no node uses it.",
            mend=f'Use {{"$parameter": "{unused[0]}"}} as value of a node\'s parameter, or remove it.',
        )
    return graph


def _some(names: Mapping[str, Any]) -> str:
    shown = list(names)[:20]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def _ordered(nodes: Mapping[str, _NodeDocument]) -> list[str]:
    """Return the ids, each after its inputs."""
    done: dict[str, None] = {}
    for start in nodes:
        path: dict[str, int] = {start: 0}
        while path and start not in done:
            name, place = next(reversed(path.items()))
            inputs = nodes[name].inputs
            if place == len(inputs):
                done[name] = None
                del path[name]
                continue
            path[name] += 1
            following = inputs[place]
            if following in path:
                circle = [*list(path)[list(path).index(following) :], following]
                raise InvalidDataError(
                    f"The nodes {' <- '.join(circle)} take each other's results in a circle.",
                    mend="Remove one of these inputs.",
                    reason="cycle",
                )
            if following not in done:
                path[following] = 0
    return list(done)


def _node(one: _NodeDocument, made: Mapping[str, Node], parameters: Mapping[str, Parameter], data: Path | None) -> Node:
    values: dict[str, Any] = {}
    for key, value in one.parameters.items():
        name = reference_in(value)
        if name is not None and name not in parameters:
            have = ", ".join(parameters) or "none"
            raise InvalidDataError(
                f"Node {one.id!r}, parameter {key!r}: the workflow has no parameter {name!r}.", mend=f"It has: {have}."
            )
        values[key] = value if name is None else parameters[name]
    try:
        node = make_node(one.operator, [made[name] for name in one.inputs], values, version=one.version)
        if node.operator != one.operator:
            raise NotFoundError(f"No operator {one.operator!r}.", mend=f"Did you mean {node.operator!r}?")
    except EaseMLError as error:
        raise type(error)(f"Node {one.id!r}: {error.message}", mend=error.mend, reason=error.reason) from error
    return _with_data(node, one.id, data) if node.operator == GIVEN else node


def _with_data(node: Node, name: str, data: Path | None) -> Node:
    """Return a node with the relation that it holds, where its file is there."""
    address = str(node.parameters["address"])
    if not _ADDRESS.fullmatch(address):
        raise InvalidDataError(f"Node {name!r}: {address!r} is no hash of a relation.", mend="Save the graph again.")
    found = [] if data is None else sorted(data.glob(f"{address}.*"))
    if not found:
        return node
    try:
        value = storage.read(found[0])
    except (OSError, ValueError, EaseMLError) as error:
        raise InvalidDataError(
            f"Node {name!r}: {found[0]} is damaged: {error}", mend="Save the graph again."
        ) from error
    if address_of(value) != address:
        raise InvalidDataError(
            f"Node {name!r}: {found[0]} holds other data than the graph was made with.", mend="Save the graph again."
        )
    return Node(node.operator, node.version, node.parameters, value=value)
