"""Libraries that only an export needs."""

from __future__ import annotations

import importlib
from typing import Any

from easeml.errors import ConfigurationError


def extra(module: str, name: str, title: str) -> Any:
    """Return a module that comes with an extra of this distribution.

    Parameters
    ----------
    module : str
        What to import.
    name : str
        The extra.
    title : str
        How people call the library.

    Raises
    ------
    ConfigurationError
        When it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{title} is not installed: {error}.",
            mend=f"pip install 'easeml-streaming[{name}]', or export to skops.",
        ) from error
