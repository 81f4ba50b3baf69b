"""What all tests share: where the reference data is, and the time each folder took."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

# Workers of a parallel run are told the width of a terminal that nobody reads here; verbs would wrap their lines at it.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).parents[1]
_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of the reference data; a test that needs it is skipped only where the folder is not there."""
    folder = Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set EASEML_REFERENCE_DATA")
    return folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    parts = Path(report.nodeid.split("::")[0]).parts
    _seconds[parts[1] if len(parts) > 2 else "tests"] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seconds per folder")
    for folder, seconds in sorted(_seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{seconds:8.1f}  {folder}")
