"""The secret seed of a house: drawn once, kept in its home, so that nobody outside can foresee a random choice."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

VARIABLE = "EASEML_EPOCH_SEED"


def provide(home: Path) -> None:
    """Put the seed of ``home`` into this process's environment, unless one is set; draw it at the first start.

    A restart finds the same seed: test sets keep their label order, and questions their ids.
    """
    if os.environ.get(VARIABLE) or os.environ.get(f"{VARIABLE}_FILE"):
        return
    path = home / "epoch_seed"
    if not path.exists():
        temporary = home / f".epoch_seed.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        temporary.replace(path)
    os.environ[VARIABLE] = path.read_text()
