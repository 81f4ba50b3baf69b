"""The network between the services and the broker: a relay through which the traffic of a process can be slow.

Everybody connects to the relay, since the broker names its port as its own. Whose connection one is, the kernel tells
(``/proc``), so this works on Linux alone. ``Wire`` runs the relay as a process, which obeys lines of JSON on its
standard input and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from easeml.ports import free_port

HOST = "127.0.0.1"


class Wire:
    """The relay as a child process; a context manager. ``port`` is known from the start."""

    def __init__(self) -> None:
        self.port = free_port(HOST)

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, str(self.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def lead_to(self, port: int) -> None:
        """Relay to this port from now on."""
        self._tell(target=port)

    def slow(self, pids: Iterable[int], seconds: float) -> None:
        """Let each piece of data from and to these processes take so long, in both directions; all others': no time."""
        self._tell(slow=[*pids], seconds=seconds)

    def _tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()


class Relay:
    """What the process does."""

    def __init__(self) -> None:
        self._target = 0
        self._slow: list[int] = []
        self._seconds = 0.0
        self._ports: set[int] = set()
        """Ports that slow processes have at their ends of connections."""

    async def run(self, port: int) -> None:
        """Relay until standard input ends."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        await loop.create_server(lambda: _End(self, None), HOST, port, backlog=512)
        print("ready", flush=True)
        while line := await orders.readline():
            order = json.loads(line)
            self._target = order.get("target", self._target)
            if "slow" in order:
                self._slow, self._seconds = order["slow"], order["seconds"]
                self._ports = _ports_of(self._slow)

    def delay(self, port: int) -> float:
        """Return the seconds that a piece of data of a connection takes."""
        return self._seconds if port in self._ports else 0.0

    async def connect(self, near: _End) -> None:
        """Open the other half of a connection."""
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: _End(self, near), HOST, self._target)
        except OSError:
            near.transport.abort()
            return
        if near.port in _ports_of(self._slow):
            self._ports.add(near.port)
        near.join(far)


class _End(asyncio.Protocol):
    """One of the two connections that a relayed connection consists of."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay, other: _End | None) -> None:
        self._relay = relay
        self._other = other
        self._early: list[bytes] = []
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._other is None:
            self.port = int(transport.get_extra_info("peername")[1])
            self._opening = asyncio.ensure_future(self._relay.connect(self))
        else:
            self.port = self._other.port

    def join(self, other: _End) -> None:
        """Pass on what came before there was another end, and all that comes."""
        self._other = other
        for data in self._early:
            other.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
            return
        delay = self._relay.delay(self.port)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._other.transport.write, data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._other.transport.abort()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.transport.resume_reading()


def _ports_of(pids: Iterable[int]) -> set[int]:
    """Return the local ports of the connections of processes that are there."""
    held = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    held.add(link.readlink().name)
    if not held:
        return set()
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if f"socket:[{fields[9]}]" in held}


if __name__ == "__main__":
    asyncio.run(Relay().run(int(sys.argv[1])))
