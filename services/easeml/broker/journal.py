"""A small durable map: topics, committed offsets and group metadata live here.

Every change is one line of JSON appended to a file; the file is rewritten when most of its lines are
outdated. A torn last line, which a killed machine may leave, is dropped on start.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)
_SLACK = 10_000


class Journal:
    """Map of text keys to JSON values that survives the process.

    Parameters
    ----------
    path : Path or None
        The file; None keeps the map in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._values: dict[str, Any] = {}
        self._lines = 0
        self._fd = -1
        self._is_dirty = False
        if path is not None:
            self._load(path)
            self._rewrite(path)

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        for line in path.read_bytes().split(b"\n"):
            if not line:
                continue
            try:
                key, value = json.loads(line)
            except ValueError:
                _LOG.warning("%s: dropped a torn line of %d bytes", path, len(line))
                continue
            self._keep(key, value)

    def _keep(self, key: str, value: Any) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_suffix(".tmp")
        with fresh.open("wb") as file:
            for item in self._values.items():
                file.write(_line(*item))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``."""
        return self._values.get(key, default)

    def put(self, *items: tuple[str, Any]) -> None:
        """Store values; None removes a key. All lines go out in one write."""
        for key, value in items:
            self._keep(key, value)
        if self._path is None:
            return
        os.write(self._fd, b"".join(_line(key, value) for key, value in items))
        self._is_dirty = True
        self._lines += len(items)
        if self._lines > 2 * len(self._values) + _SLACK:
            self._rewrite(self._path)

    def with_prefix(self, prefix: str) -> list[tuple[str, Any]]:
        """Return the items whose key begins with ``prefix``, the prefix taken off."""
        return [(key[len(prefix) :], value) for key, value in self._values.items() if key.startswith(prefix)]

    def sync(self) -> None:
        """Make the map survive a power cut."""
        if self._fd >= 0 and self._is_dirty:
            self._is_dirty = False
            os.fsync(self._fd)

    def close(self) -> None:
        """Sync and close the file."""
        if self._fd >= 0:
            self.sync()
            os.close(self._fd)
            self._fd = -1


def _line(key: str, value: Any) -> bytes:
    return json.dumps([key, value], separators=(",", ":")).encode() + b"\n"
