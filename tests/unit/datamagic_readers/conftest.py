"""Where the files of other programs are."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def formats() -> Path:
    return Path(__file__).parents[2] / "data" / "formats"
