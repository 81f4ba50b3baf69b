"""``python -m easeml.supervisor``: what ``easeml up`` runs."""

from __future__ import annotations

import sys

from easeml.errors import ConfigurationError, EaseMLError
from easeml.stream.settings import MISCONFIGURED, Settings
from easeml.supervisor.supervisor import Supervisor


def main() -> None:
    """Run the house of ``EASEML_HOME`` until it is told to stop."""
    try:
        Supervisor(Settings.load(), announce=lambda line: print(line, flush=True)).run()
    except EaseMLError as error:
        print(error, file=sys.stderr)
        sys.exit(MISCONFIGURED if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
