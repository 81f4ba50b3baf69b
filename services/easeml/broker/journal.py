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
        self._fd = -1
        self._size = 0
        self._lines = 0
        self._most_lines = _SLACK
        self._changes = 0
        self._synced = 0
        if path is not None:
            self._load(path)

    def _load(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        *lines, torn = path.read_bytes().split(b"\n")
        self._size = sum(map(len, lines)) + len(lines)
        if torn:
            _LOG.warning("%s: dropped a torn line of %d bytes", path, len(torn))
            os.ftruncate(self._fd, self._size)
        is_damaged = False
        for line in lines:
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                _LOG.warning("%s: dropped a damaged line of %d bytes", path, len(line))
                is_damaged = True
                continue
            self._keep(key, value)
        self._lines = len(lines)
        self._most_lines = 2 * len(self._values) + _SLACK
        if is_damaged or self._lines > self._most_lines:
            self._try_rewrite(path)

    def _keep(self, key: str, value: Any) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def _try_rewrite(self, path: Path) -> None:
        try:
            self._rewrite(path)
        except OSError:
            # The lines stay as they are, which costs room but nothing else; it is tried again some lines later.
            _LOG.exception("%s cannot be rewritten", path)
            self._most_lines = self._lines + _SLACK

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(fresh, flags, 0o644)
        try:
            data = b"".join(_line(*item) for item in self._values.items())
            _write(fd, data)
            os.fsync(fd)
            fresh.replace(path)
        except OSError:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        os.close(self._fd)
        self._fd, self._size, self._lines = fd, len(data), len(self._values)
        self._most_lines = 2 * self._lines + _SLACK
        self._synced = self._changes

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``."""
        return self._values.get(key, default)

    def put(self, *items: tuple[str, Any]) -> None:
        """Store values; None removes a key. All lines go out in one write.

        Raises
        ------
        OSError
            If the disk is full or fails; map and file are as before.
        """
        if self._path is not None:
            data = b"".join(_line(key, value) for key, value in items)
            try:
                _write(self._fd, data)
            except OSError:
                os.ftruncate(self._fd, self._size)
                raise
            self._size += len(data)
            self._lines += len(items)
            self._changes += 1
        for key, value in items:
            self._keep(key, value)
        if self._path is not None and self._lines > max(self._most_lines, 2 * len(self._values) + _SLACK):
            self._try_rewrite(self._path)

    def with_prefix(self, prefix: str) -> list[tuple[str, Any]]:
        """Return the items whose key begins with ``prefix``, the prefix taken off."""
        return [(key[len(prefix) :], value) for key, value in self._values.items() if key.startswith(prefix)]

    def sync(self) -> None:
        """Make the map survive a power cut; a thread may do so while the map changes."""
        changes = self._changes
        if self._fd < 0 or self._synced >= changes:
            return
        try:
            os.fsync(self._fd)
        except OSError:
            if self._synced >= changes:  # rewritten meanwhile, which synced it and closed the old file
                return
            raise
        self._synced = max(self._synced, changes)

    def close(self) -> None:
        """Sync and close the file."""
        if self._fd >= 0:
            try:
                self.sync()
            except OSError:
                _LOG.exception("%s cannot be synced", self._path)
            os.close(self._fd)
            self._fd = -1


def _line(key: str, value: Any) -> bytes:
    return json.dumps([key, value], separators=(",", ":")).encode() + b"\n"


def _write(fd: int, data: bytes) -> None:
    if os.write(fd, data) != len(data):
        raise OSError("Short write to the journal: the disk is full.")
