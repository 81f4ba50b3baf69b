"""Where a running house is: the run files in its home folder."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easeml.errors import UnavailableError
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings

STACK = "stack"
"""Name of the supervisor's own run file."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running house.

    Parameters
    ----------
    home : Path
        Its folder.
    bootstrap_servers : str
        Its Kafka cluster.
    pid : int
        The supervisor.
    services : tuple of str
        Services it runs.
    partitions, max_message_bytes : int
        Its settings of these names, which clients must share.
    """

    home: Path
    bootstrap_servers: str
    pid: int
    services: tuple[str, ...]
    partitions: int
    max_message_bytes: int

    def service(self, name: str) -> dict[str, Any] | None:
        """Return what a service wrote about itself (pid, ports, ready), or None before it did."""
        return read_run_file(self.home, name)


def alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, under another user
        return True
    return True


def discover(home: Path) -> Stack | None:
    """Return the house that runs in ``home``, or None."""
    content = read_run_file(home, STACK)
    if content is None or not alive(content["pid"]):
        return None
    return Stack(
        home,
        content["bootstrap_servers"],
        content["pid"],
        tuple(content["services"]),
        content["partitions"],
        content["max_message_bytes"],
    )


def connected(settings: Settings) -> Settings:
    """Return settings with the cluster filled in: the configured one, else that of the house running in ``home``.

    The house also decides on partitions and message sizes: a client that differs would miss the partition of its app.

    Raises
    ------
    UnavailableError
        When neither is there.
    """
    if settings.bootstrap_servers:
        return settings
    stack = discover(settings.home)
    if stack is None:
        raise UnavailableError(
            f"No Ease.ML runs in {settings.home}.",
            mend="Start it with 'easeml up', or name a Kafka cluster with --bootstrap or EASEML_BOOTSTRAP_SERVERS.",
        )
    return settings.model_copy(
        update={name: getattr(stack, name) for name in ("bootstrap_servers", "partitions", "max_message_bytes")}
    )


def wait_ready(home: Path, timeout: float = 60.0, *, while_alive: int | None = None) -> Stack:
    """Wait until every service of the house is ready, as long as process ``while_alive`` lives.

    Raises
    ------
    UnavailableError
        When it is not in time or the process died; names the services that are missing.
    """
    deadline = time.monotonic() + timeout
    missing: list[str] = ["supervisor"]
    while time.monotonic() < deadline:
        stack = discover(home)
        if stack is not None:
            missing = [name for name in stack.services if not (stack.service(name) or {}).get("ready")]
            if not missing:
                return stack
        if while_alive is not None and not alive(while_alive):
            break
        time.sleep(0.05)
    raise UnavailableError(
        f"Not ready: {', '.join(missing)}.", mend=f"Read supervisor.log and the logs folder in {home}."
    )
