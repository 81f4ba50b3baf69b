"""A house of one's own: the embedded broker and all services, for as long as a notebook needs them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import pandas as pd

from easeml.cli.doors import doors
from easeml.client import Client
from easeml.notebook.app import App
from easeml.progress import bar
from easeml.supervisor import wait_ready

_PATIENCE = 120.0
_STOP_SECONDS = 60.0


class House(AbstractContextManager["House"]):
    """The broker and the services, running until ``stop`` or the end of the ``with`` block.

    Parameters
    ----------
    home : path, optional
        Their folder; by default a temporary one that goes with the house.

    Raises
    ------
    UnavailableError
        When they do not start; names the log.
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="easeml-") if home is None else None
        self.home = Path(self._scratch.name if self._scratch is not None else home or ".").resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        own = {"EASEML_HOME": str(self.home), "EASEML_LABELS_PORT": "0", "EASEML_SERVING_PORT": "0"}
        clean = {name: value for name, value in os.environ.items() if name != "EASEML_BOOTSTRAP_SERVERS"}
        with (self.home / "supervisor.log").open("w") as log, bar("starting broker and services"):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "easeml.supervisor"], env=clean | own, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                self._stack = wait_ready(self.home, _PATIENCE, while_alive=self._process.pid)
            except BaseException:
                self.stop()
                raise
        self.client = Client(home=self.home)

    @classmethod
    def start(cls, home: str | Path | None = None) -> Self:
        """Return a house that runs; arguments as for the class."""
        return cls(home)

    @property
    def dashboard(self) -> str:
        """Address of the dashboard."""
        ports = (self._stack.service("dashboard") or {}).get("ports", {})
        return doors(self.client.settings, ports)["dashboard"]

    def create(self, name: str, *, label: str, frame: pd.DataFrame | None = None, **options: Any) -> App:
        """Create an app; arguments and errors as for ``Client.create_app``."""
        self.client.create_app(name, label=label, frame=frame, **options)
        return App(name, self.client)

    def app(self, name: str) -> App:
        """Return an app that exists.

        Raises
        ------
        NotFoundError
            When it does not.
        """
        return App(name, self.client)

    def stop(self) -> None:
        """Stop the services and the broker; a temporary folder is removed."""
        self._process.terminate()
        self._process.wait(_STOP_SECONDS)
        if self._scratch is not None:
            self._scratch.cleanup()

    def __exit__(self, *_raised: object) -> None:
        self.stop()
