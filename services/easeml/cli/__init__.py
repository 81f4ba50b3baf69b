"""The command line: ``easeml``."""

from easeml.cli.root import main

__all__ = ["main"]
