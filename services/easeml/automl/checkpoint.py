"""What a trial has done so far, in files that outlive its process.

A trainer that is killed begins its trial again after its restart; what was judged before is read back, and the CPU
seconds spent then count towards the trial's limit and cost. Another machine begins from the start; the result is the
same.
"""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from easeml.automl.ensemble import Floats

_KEPT = 32
"""Trials whose files are kept: some end on other machines, and nobody would remove them."""
_SPENT = "spent"


class Checkpoint:
    """The files of one trial; a ``Memory`` of its race.

    Whatever cannot be written or read is as if it had not been kept: it costs time and changes no result.

    Parameters
    ----------
    folder : Path
        Of all trials.
    trial : str
        Name of the trial.
    """

    def __init__(self, folder: Path, trial: str) -> None:
        self._all = folder
        self._own = folder / hashlib.sha256(trial.encode()).hexdigest()
        self.spent = self._spent_before()

    def get(self, key: str) -> Floats | None:
        """Return what was kept; None: nothing that can be read."""
        try:
            return np.asarray(np.load(self._own / key, allow_pickle=False), np.float64)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, key: str, found: Floats) -> None:
        """Keep something, and the CPU seconds of this process so far."""
        content = io.BytesIO()
        np.save(content, found)
        with suppress(OSError):
            self._make_room()
            self._write(key, content.getvalue())
            self._write(_SPENT, str(self.spent + time.process_time()).encode())

    def remove(self) -> None:
        """Forget the trial: it has ended."""
        shutil.rmtree(self._own, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._own / f"{name}.part"
        temporary.write_bytes(content)
        temporary.replace(self._own / name)  # whole or not at all

    def _make_room(self) -> None:
        if self._own.exists():
            return
        self._own.mkdir(parents=True)
        oldest = sorted(self._all.iterdir(), key=lambda path: (path.stat().st_mtime, path.name))[:-_KEPT]
        for folder in oldest:
            shutil.rmtree(folder, ignore_errors=True)

    def _spent_before(self) -> float:
        try:
            spent = float((self._own / _SPENT).read_text())
        except (OSError, ValueError):
            return 0.0
        return spent if 0 <= spent < math.inf else 0.0
