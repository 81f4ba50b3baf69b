"""``python -m easeml.cpclean``: questions about uncertain training rows as a process."""

from __future__ import annotations

from easeml.cpclean.service import CPCleanService
from easeml.stream.main import run


def main() -> None:
    """Run the service until it is told to stop."""
    run(CPCleanService())


if __name__ == "__main__":
    main()
