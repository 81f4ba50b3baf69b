"""What the supervisor says about a child that died, and when it gives up."""

from __future__ import annotations

import signal

import pytest

from easeml.errors import ConfigurationError
from easeml.stream.settings import MISCONFIGURED, Settings
from easeml.supervisor import Supervisor
from easeml.supervisor.supervisor import Child


@pytest.fixture
def died(tmp_path):
    """Return a function that tells a supervisor of a death and returns what it announces."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "logs" / "ci.log").write_text("2026-01-01T00:00:00Z [error    ] port is taken [easeml] service=ci\n")

    def tell(status: int, **life: object) -> str:
        lines: list[str] = []
        supervisor = Supervisor(Settings(home=tmp_path), announce=lines.append)
        supervisor._schedule_restart(Child("ci", lambda: None, **life), status)
        return lines[0]

    return tell


def test_a_failure_is_told_with_its_last_words(died, tmp_path):
    assert died(1 << 8) == f"ci          died (exit 1), restart 1 (log {tmp_path}/logs/ci.log): port is taken"


def test_what_came_before_is_not_repeated(died):
    assert died(1 << 8, log_begins=10_000) == "ci          died (exit 1), restart 1"
    assert died(0) == "ci          died (exit 0), restart 1"
    assert died(signal.SIGKILL) == "ci          died (signal 9), restart 1"


def test_a_wrong_setting_ends_a_house_that_never_ran(died):
    with pytest.raises(ConfigurationError, match="ci cannot start: port is taken"):
        died(MISCONFIGURED << 8)
    assert "restart 1" in died(MISCONFIGURED << 8, was_ready=True)
