"""``python -m easeml.dashboard``: the dashboard's process."""

from __future__ import annotations

from easeml.dashboard.process import run
from easeml.stream.settings import Settings


def main() -> None:
    """Run the dashboard until it is told to stop."""
    run(Settings.load())


if __name__ == "__main__":
    main()
