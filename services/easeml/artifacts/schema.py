"""The schema of a model file, judged node by node before anything is built of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from easeml.artifacts.archive import bounded
from easeml.artifacts.arrays import need
from easeml.artifacts.trusted import TRUSTED
from easeml.errors import ArtifactError

_PROTOCOLS = frozenset({2})
_MEND = "Publish a model that easeml.artifacts.dump wrote; pickle and joblib files are never read."


def check_schema(document: dict[str, Any], sizes: dict[str, int], max_expanded: int) -> None:
    """Check that every node is a trusted pair of loader and type, and that no tree reads beyond its arguments.

    Parameters
    ----------
    document : dict
        The schema.
    sizes : dict of str to int
        Bytes of each entry, unpacked.
    max_expanded : int
        Bytes that all arrays may have, together.

    Raises
    ------
    ArtifactError
        When one is not; names what was found. When the arrays are larger. When a part has a number: skops puts the
        first part of that number where another one is written, and what is judged would not be what is built.
    """
    if document.get("protocol") not in _PROTOCOLS:
        raise ArtifactError(
            f"The model file has the skops protocol {document.get('protocol')!r}, read are {sorted(_PROTOCOLS)}.",
            mend=_MEND,
        )
    strange: set[str] = set()
    trees: list[dict[str, Any]] = []
    expanded, numbered = 0, False
    for node in _objects(document):
        numbered |= "__id__" in node
        # A key that merely looks like a node is judged as one: too strict is the safe side.
        if "__loader__" not in node and "__class__" not in node:
            continue
        loader, name = str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in TRUSTED.get(loader, ()):
            strange.add(f"{name} ({loader})")
        elif loader == "TreeNode":
            trees.append(node)
        elif loader == "NdArrayNode":
            expanded += sizes.get(str(node.get("file")), 0)  # each node gets a copy of its own
    if strange:
        found = ", ".join(sorted(strange)[:10])
        raise ArtifactError(f"The model file holds types that are not trusted: {found}.", mend=_MEND)
    need(not numbered, "names parts by number, to be put in elsewhere")
    bounded(expanded, max_expanded)
    need(all(map(_is_plain_tree, trees)), "holds a tree that is not built of one output and arrays")


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    stack = [document]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def _is_plain_tree(node: dict[str, Any]) -> bool:
    """Return whether a tree may be built.

    ``Tree(features, classes, outputs)`` reads as many numbers of its array ``classes`` as ``outputs`` says, and then
    copies nodes and values, all in native code.
    """
    try:
        arguments, state = node["__reduce__"]["args"], node["content"]
        _, classes, outputs = arguments["content"]
        return (
            (arguments["__loader__"], state["__loader__"]) == ("TupleNode", "DictNode")
            and (outputs["__loader__"], outputs["content"]) == ("JsonNode", "1")
            and all(map(_is_array, (classes, state["content"]["nodes"], state["content"]["values"])))
        )
    except (KeyError, TypeError, ValueError):
        return False


def _is_array(node: dict[str, Any]) -> bool:
    return (node["__loader__"], node["__class__"], node["type"]) == ("NdArrayNode", "ndarray", "numpy")
