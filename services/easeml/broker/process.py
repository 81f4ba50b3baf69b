"""A broker as a child process on a free port, for tests and for the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from easeml.errors import UnavailableError
from easeml.ports import free_port

_HOST = "127.0.0.1"
_POLL = 0.01


class BrokerProcess:
    """Run ``python -m easeml.broker`` and wait until it is ready; it also ends when this process dies.

    Parameters
    ----------
    data_dir : Path, optional
        Folder of the data; a temporary one, removed at the end, unless given.
    port : int
        Port to bind; 0 takes a free one, which later restarts keep.
    advertised_port : int
        Port that clients are told to connect to, that of a relay for example; 0: the one that is bound.
    memory : bool
        Keep everything in memory; a restart then begins empty.
    arguments : sequence of str
        Further command-line arguments of the broker.
    timeout : float
        Seconds to wait for the broker to become ready, and to stop.

    Examples
    --------
    ::

        with BrokerProcess() as broker:
            Producer({"bootstrap.servers": broker.bootstrap_servers})
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        *,
        advertised_port: int = 0,
        memory: bool = False,
        arguments: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="easeml-broker-")
        self.data_dir = data_dir if data_dir is not None else Path(self._scratch.name) / "data"
        self._port = port
        self._advertised_port = advertised_port
        self._memory = memory
        self._arguments = list(arguments)
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap_servers = ""

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None, "The broker has not been started."
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """File that holds the broker's log lines."""
        return Path(self._scratch.name) / "broker.log"

    def start(self) -> None:
        """Start the process and wait until clients can connect.

        Raises
        ------
        UnavailableError
            If it ends or does not become ready in time; the message carries its last log lines.
        """
        ready = Path(self._scratch.name) / "ready"
        ready.unlink(missing_ok=True)
        if self._advertised_port and not self._port:
            self._port = free_port(_HOST)  # the ready file names the advertised one
        place = ["--memory"] if self._memory else ["--data-dir", str(self.data_dir)]
        command = [sys.executable, "-m", "easeml.broker", "--port", str(self._port), "--ready-file", str(ready)]
        command.append("--stop-on-eof")
        if self._advertised_port:
            command += ["--advertised-port", str(self._advertised_port)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module with our own arguments
                [*command, *place, *self._arguments], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        deadline = time.monotonic() + self._timeout
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self.log_path.read_text(errors="replace")[-2000:]
                raise UnavailableError(f"The broker did not become ready: {tail}", mend="See its log.")
            time.sleep(_POLL)
        self.bootstrap_servers = f"{_HOST}:{self._port}" if self._advertised_port else ready.read_text()
        self._port = int(self.bootstrap_servers.rpartition(":")[2])

    def terminate(self) -> None:
        """Stop the broker in good order (SIGTERM) and wait for its end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker (SIGKILL) and wait for its end."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
        try:
            self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or ``kill``) the broker and start it again on the same port with the same data."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # an interruption, too, would leave the process to itself
            self.kill()
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM)
        self._scratch.cleanup()
