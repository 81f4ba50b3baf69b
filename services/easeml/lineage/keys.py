"""Keys of results: what a result depends on, as one SHA-256."""

from __future__ import annotations

from collections.abc import Sequence

from easeml.errors import InvalidDataError
from easeml.lineage.files import fingerprint, paths_in, state_of
from easeml.lineage.graph import Node
from easeml.lineage.values import digest

FORMAT = 1
"""Raised when the make-up of keys changes."""


class Keys:
    """Makes the keys of one evaluation; each file is read once for it."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, tuple[int, int] | None]] = {}

    def files(self, node: Node) -> dict[str, str]:
        """Return the content of the files that a node reads, by path.

        Raises
        ------
        NotFoundError, InvalidDataError
            When one is missing or unreadable.
        """
        paths = [path for name in node.kind.reads for path in paths_in(node.parameters[name])]
        for path in paths:
            if path not in self._files:
                state = state_of(path)
                self._files[path] = fingerprint(path), state
        return {path: self._files[path][0] for path in paths}

    def check_unchanged(self, node: Node) -> None:
        """Refuse a result that was read while its file changed.

        Raises
        ------
        InvalidDataError
            Names the file.
        """
        for path in self.files(node):
            if state_of(path) != self._files[path][1]:
                raise InvalidDataError(f"{path} changed while it was read.", mend="Run again when it is written.")

    def key(self, nodes: Sequence[Node], addresses: Sequence[str]) -> str | None:
        """Return the key of a chain of nodes on inputs; None where the result must not be kept."""
        parts = []
        for node in nodes:
            source = node.kind.session_source
            if source is None:
                return None
            files = list(self.files(node).values())
            parts.append([node.operator, node.version, dict(node.parameters), files, source])
        return digest("key", FORMAT, parts, list(addresses))
