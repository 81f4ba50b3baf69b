"""What the supervisor's own programs share: settings from the environment, and exit codes that tell what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable

from easeml.errors import ConfigurationError, EaseMLError
from easeml.stream.settings import MISCONFIGURED, Settings


def run(work: Callable[[Settings], None]) -> None:
    """Call ``work`` with the settings of the environment; say what was wrong and exit.

    Raises
    ------
    SystemExit
        With ``MISCONFIGURED`` when a person must mend a setting, with 1 when starting again may help.
    """
    try:
        work(Settings.load())
    except EaseMLError as error:
        print(error, file=sys.stderr)
        sys.exit(MISCONFIGURED if isinstance(error, ConfigurationError) else 1)
