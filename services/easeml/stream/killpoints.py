"""Named points where a service kills itself, for tests of crashes.

``EASEML_KILL_POINT=<service>:<point>:<n>``, or several such separated by commas, lets the service end with SIGKILL at
that point of its n-th batch, once per home folder: a marker file keeps it from doing so again after its restart. It
waits for a batch during which more input is there (lag > 0), and prints one JSON line to standard error first. Not a
setting: nobody sets it in production.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from easeml.errors import ConfigurationError

VARIABLE = "EASEML_KILL_POINT"
POINTS = ("after_outputs", "after_state", "before_commit")


class KillPoint:
    """Kills this process at one point, or does nothing.

    Parameters
    ----------
    service : str
        Name of the service.
    home : Path
        Folder of the marker file.
    specification : str
        Value of ``EASEML_KILL_POINT``; empty for none.

    Raises
    ------
    ConfigurationError
        When the specification is malformed.
    """

    def __init__(self, service: str, home: Path, specification: str) -> None:
        self._service = service
        self._point = ""
        self._batch = 0
        self._batches = 0
        self._marker = home
        for each in filter(None, specification.split(",")):
            name, _, rest = each.partition(":")
            point, _, number = rest.partition(":")
            if point not in POINTS or not number.isdigit():
                raise ConfigurationError(
                    f"{VARIABLE}={each!r} is malformed.", mend=f"Write <service>:<{'|'.join(POINTS)}>:<n>."
                )
            marker = home / "run" / f"killed-{each.replace(':', '-')}"
            if name == service and not marker.exists():
                self._point, self._batch, self._marker = point, int(number), marker

    def count(self) -> None:
        """Count a batch."""
        self._batches += 1

    def reach(self, point: str, in_flight: Mapping[str, int], lag: Callable[[], int]) -> None:
        """Die here when this is the point."""
        if point != self._point or self._batches < self._batch:
            return
        behind = lag()
        if behind <= 0:
            return
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        self._marker.touch()
        ledger = {
            "killed": self._service,
            "point": point,
            "batch": self._batches,
            "in_flight": dict(in_flight),
            "lag": behind,
        }
        print(json.dumps(ledger), file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
