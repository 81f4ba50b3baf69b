"""``python -m easeml.automl``: the scheduler as a process."""

from __future__ import annotations

from easeml.automl.service import AutoMLService
from easeml.stream.main import run


def main() -> None:
    """Run the scheduler."""
    run(AutoMLService())


if __name__ == "__main__":
    main()
