"""Results on disk, found by what made them and named by their content; they survive a restart.

``records/<key>.json`` says what a key's result was; ``objects/<sha256 of the file>.<ending>`` hold the values, so equal
results share a file and a damaged file no longer fits its name. Files appear whole or not at all. When the folder
grows beyond its limit, what was used longest ago goes first; a record may outlive its object and still spare the steps
before it. Several processes may share a folder. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import time
from typing import Any

from easeml.errors import EaseMLError, InvalidDataError
from easeml.lineage import storage
from easeml.lineage.values import Value, canonical

FORMAT = 1
DEFAULT_LIMIT = 4 << 30
_OBJECT = re.compile(r"[0-9a-f]{64}\.[a-z]+")
_LOOK_AGAIN = 500
"""Results stored after which the folder is measured anew, for other processes write to it too."""
_ABANDONED = 3600.0
"""Seconds after which a half-written file belongs to a process that died."""


class _Absent:
    """Stands for a value that is not in the cache; None is a value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class Record:
    """What a step's result was.

    Parameters
    ----------
    address : str
        What keys of later steps are made of.
    content_hash : str
        Hash that people compare.
    rows : int
        Rows of a relation, -1 of anything else.
    cells : int
        Cells of a relation, 1 of anything else.
    seconds : float
        Time that it took.
    file : str
        Name of the object; empty: the value was not kept.
    """

    address: str
    content_hash: str
    rows: int
    cells: int
    seconds: float
    file: str = ""


class Cache:
    """A folder of results.

    Parameters
    ----------
    folder : path
        Made when something is stored, for its owner alone.
    limit : int
        Bytes that it may hold.
    """

    def __init__(self, folder: str | os.PathLike[str], *, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = Path(folder)
        self.limit = limit
        self._held: int | None = None
        self._stored = 0
        if limit <= 0:
            raise InvalidDataError(f"A cache of {limit} bytes holds nothing.", mend="Give a positive limit.")

    @classmethod
    def home(cls) -> Cache:
        """Return the cache of the house: ``$EASEML_HOME/cache``, by default ``.easeml/cache``."""
        return cls(Path(os.environ.get("EASEML_HOME") or ".easeml") / "cache")

    def find(self, key: str) -> Record | None:
        """Return what the result of a key was; None when it was never made or its record is damaged."""
        path = self._record(key)
        try:
            told = json.loads(path.read_text(encoding="ascii"))
            record = Record(**told["record"])
            if told["format"] != FORMAT or told["check"] != _check(key, record):
                return None
            os.utime(path)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return record

    def holds(self, record: Record) -> bool:
        """Whether the value of a record seems to be there; ``load`` finds out."""
        return bool(record.file) and (self.folder / "objects" / record.file).is_file()

    def load(self, record: Record) -> Value:
        """Return the value of a record; ABSENT when it was evicted or damaged (what is damaged is deleted)."""
        if not _OBJECT.fullmatch(record.file):
            return ABSENT
        path = self.folder / "objects" / record.file
        try:
            if _sha256(path) != path.stem:
                path.unlink()
                return ABSENT
            value = storage.read(path)
            os.utime(path)
        except (OSError, ValueError, EaseMLError):
            return ABSENT
        return value

    def store(self, key: str, value: Value, record: Record) -> Record:
        """Keep a result and return its record; a value that alone exceeds the limit is not kept."""
        kept = replace(record, file=self._keep(value))
        told = {"format": FORMAT, "record": asdict(kept), "check": _check(key, kept)}
        path = self._record(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self._aside(path.parent)
        aside.write_text(canonical(told), encoding="ascii")
        aside.replace(path)
        self._make_room(path.stat().st_size + self._bytes(kept))
        return kept

    def forget(self, key: str) -> None:
        """Remove the record of a key."""
        self._record(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every result."""
        for path, _, _ in list(self._files()):
            path.unlink(missing_ok=True)

    def size(self) -> int:
        """Return the bytes that the files hold."""
        return sum(size for _, size, _ in self._files())

    def timing(self, name: str) -> tuple[float, int] | None:
        """Return the seconds and input cells of an operator's latest run here; None when it never ran."""
        try:
            seconds, cells = json.loads((self.folder / "timings" / f"{name}.json").read_text(encoding="ascii"))
            return float(seconds), int(cells)
        except (OSError, ValueError, TypeError):
            return None

    def note_timing(self, name: str, seconds: float, cells: int) -> None:
        """Remember how long an operator took."""
        folder = self.folder / "timings"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self._aside(folder)
        aside.write_text(canonical([seconds, cells]), encoding="ascii")
        aside.replace(folder / f"{name}.json")

    def _record(self, key: str) -> Path:
        return self.folder / "records" / key[:2] / f"{key}.json"

    @staticmethod
    def _aside(folder: Path) -> Path:
        return folder / f"{uuid.uuid4().hex}.part"

    def _keep(self, value: Value) -> str:
        folder = self.folder / "objects"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        suffix = storage.suffix_of(value)
        aside = self._aside(folder).with_suffix(f".part{suffix}")
        try:
            storage.write(value, aside)
            if aside.stat().st_size > self.limit:
                return ""
            name = f"{_sha256(aside)}{suffix}"
            aside.replace(folder / name)
        finally:
            aside.unlink(missing_ok=True)
        return name

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Yield every file with its size and the time of its last use."""
        for path in self.folder.rglob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process evicted it meanwhile
                continue
            if path.is_file():
                yield path, status.st_size, status.st_mtime

    def _bytes(self, record: Record) -> int:
        try:
            return (self.folder / "objects" / record.file).stat().st_size if record.file else 0
        except FileNotFoundError:  # another process evicted it meanwhile
            return 0

    def _make_room(self, added: int) -> None:
        """Evict when it is time; measuring the folder costs a look at every file, so it is not done each time."""
        self._stored += 1
        if self._held is not None:
            self._held += added
        if self._held is None or self._held > self.limit or self._stored % _LOOK_AGAIN == 0:
            self._held = self._evict()

    def _evict(self) -> int:
        """Remove what was used longest ago until the limit holds, and return what is left."""
        files = sorted(self._files(), key=lambda file: file[2])
        total = sum(size for _, size, _ in files)
        for path, size, used in files:
            half_written = ".part" in path.name
            if half_written and time() - used > _ABANDONED:
                path.unlink(missing_ok=True)
            elif total > self.limit and not half_written:
                path.unlink(missing_ok=True)
                total -= size
        return total


def _check(key: str, record: Record) -> str:
    return hashlib.sha256(canonical([key, asdict(record)]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
