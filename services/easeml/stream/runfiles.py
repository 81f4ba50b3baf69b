"""``<home>/run/<process>.json``: where each process of a house is, and whether it is ready."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def run_folder(home: Path) -> Path:
    """Return the folder of the run files."""
    return home / "run"


def write_run_file(home: Path, name: str, **content: Any) -> None:
    """Write this process's run file atomically: its pid, and what it says of itself."""
    folder = run_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}"
    temporary.write_text(json.dumps({"pid": os.getpid(), **content}))
    temporary.replace(folder / f"{name}.json")


def read_run_file(home: Path, name: str) -> dict[str, Any] | None:
    """Return the content of a run file, or None when it is not there."""
    try:
        content: dict[str, Any] = json.loads((run_folder(home) / f"{name}.json").read_text())
    except FileNotFoundError:
        return None
    return content
