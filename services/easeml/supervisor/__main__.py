"""``python -m easeml.supervisor``: what ``easeml up`` runs."""

from __future__ import annotations

from easeml.supervisor import process
from easeml.supervisor.supervisor import Supervisor


def main() -> None:
    """Run the house of ``EASEML_HOME`` until it is told to stop."""
    process.run(lambda settings: Supervisor(settings, announce=lambda line: print(line, flush=True)).run())


if __name__ == "__main__":
    main()
