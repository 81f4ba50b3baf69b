"""``python -m easeml.snoopy``: feasibility studies as a process."""

from __future__ import annotations

from easeml.snoopy.service import SnoopyService
from easeml.stream.main import run


def main() -> None:
    """Run the service until it is told to stop."""
    run(SnoopyService())


if __name__ == "__main__":
    main()
