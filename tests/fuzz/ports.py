"""What is sent to a port, and what its process must do whatever that is: go on, and answer good requests properly."""

from __future__ import annotations

import asyncio
import base64
import collections
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
from grpc_damage import Call
from telling import Tally

from easeml.labels.client import OPTIONS

HOST = "127.0.0.1"
ROUND = 200
"""Damaged inputs between two good requests."""
AT_ONCE = 24
QUIET = 0.25
"""Seconds without an answer after which the sender says that nothing more comes."""
PATIENCE = 30.0
"""Seconds in which a good request must be answered, and a connection that the sender has ended must be closed."""
HALF_OPEN = 40
"""Connections that are kept open in the middle of a request."""
GROWTH_MIB = 300
"""How much more memory than at the beginning a process may ever hold."""
_BAD_CODES = ("INTERNAL", "UNKNOWN", "DATA_LOSS")


@dataclass
class PortTally(Tally):
    """What became of the damaged inputs of one port; ``slowest`` is that of the good requests."""

    good: int = 0
    rss_mib: list[int] = field(default_factory=list)


@dataclass
class Target:
    """A port.

    Parameters
    ----------
    name : str
        What listens on it.
    port, pid : int
        Where, and in which process.
    log : Path
        What the process writes.
    works : callable
        Sends good requests and raises unless they are answered properly within so many seconds.
    damage : callable
        Returns a kind of damage and what suffered it: bytes of a connection, or a call.
    is_complete : callable
        Whether an answer has come to its end.
    outcome : callable
        What an answer says, in a word.
    """

    name: str
    port: int
    pid: int
    log: Path
    works: Callable[[float], None]
    damage: Callable[[random.Random], tuple[str, bytes | Call]]
    is_complete: Callable[[bytes], bool]
    outcome: Callable[[bytes], str]


class HangError(Exception):
    """The server neither answered nor hung up."""


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection; a server that begins to listen anew has a while for it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def exchange(target: Target, data: bytes, *, slowly: bool) -> bytes:
    """Return what a connection with these bytes brings; empty when the server hangs up without a word.

    Raises
    ------
    HangError
        When it does nothing, though the sender has said that nothing more comes.
    """
    reader, writer = await connected(target.port)
    answer = b""
    try:
        with suppress(ConnectionError):
            for start in range(0, len(data), max(1, len(data) // 8)) if slowly else ():
                writer.write(data[start : start + max(1, len(data) // 8)])
                await asyncio.sleep(0.01)
            if not slowly:
                writer.write(data)
            ended = False
            while not target.is_complete(answer):
                try:
                    piece = await asyncio.wait_for(reader.read(2**20), PATIENCE if ended else QUIET)
                except TimeoutError:
                    if answer:
                        break
                    if ended:
                        raise HangError from None
                    writer.write_eof()
                    ended = True
                    continue
                if not piece:
                    break
                answer += piece
    finally:
        writer.transport.abort()
    return answer


async def call(channel: grpc.aio.Channel, asked: Call) -> str:
    """Return the name of the status of a call; ``OK`` for a stream that goes on."""
    make: Any = channel.unary_stream if asked.streams else channel.unary_unary
    begun = make(asked.method)(asked.message, metadata=asked.metadata, timeout=PATIENCE, wait_for_ready=True)
    try:
        if asked.streams:
            await asyncio.wait_for(begun.read(), PATIENCE)
            if not begun.done():
                begun.cancel()
                return "OK"
        else:
            await begun
        code = await begun.code()
    except grpc.aio.AioRpcError as error:
        code = error.code()
    except TimeoutError:
        raise HangError from None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise HangError
    return str(code.name)


def tracebacks(text: str) -> dict[str, str]:
    """Return the tracebacks of a log, one for each place in the code at which something was raised."""
    found = {}
    for told in text.split("Traceback (most recent call last):")[1:]:
        lines = told.splitlines()
        ends = [n for n, line in enumerate(lines[1:], 1) if line and not line.startswith((" ", "\t"))]
        told = "\n".join(lines[: ends[0] + 1] if ends else lines)
        places = [line for line in lines[: ends[0] if ends else None] if line.lstrip().startswith("File ")]
        found[places[-1] if places else told] = told
    return found


class Siege:
    """Damaged inputs for one port, many at a time.

    Parameters
    ----------
    target : Target
        The port.
    seed : int
        Of all choices.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self.tally = PortTally()
        self._target = target
        self._rng = random.Random(f"{target.name}/{seed}")
        self._process = psutil.Process(target.pid)
        self._read = target.log.stat().st_size
        self._known: set[str] = set()
        self._open: collections.deque[asyncio.StreamWriter] = collections.deque()

    async def lay(self, inputs: int, told: Callable[[Tally], None] = lambda _: None) -> PortTally:
        """Send so many damaged inputs, and good requests among and after them."""
        self.tally.rss_mib = [self._rss(), 0, 0]
        await self._check()
        async with grpc.aio.insecure_channel(f"{HOST}:{self._target.port}", options=OPTIONS) as channel:
            while self.tally.inputs < inputs and not self._has_ended and not self.tally.hangs:
                size = min(ROUND, inputs - self.tally.inputs)
                queue = [self._target.damage(self._rng) for _ in range(size)]
                await self._keep_open(queue)
                await asyncio.gather(*(self._worker(channel, queue) for _ in range(AT_ONCE)))
                await self._check()
                told(self.tally)
        for writer in self._open:
            writer.transport.abort()
        await self._check()
        self.tally.rss_mib[1] = 0 if self._has_ended else self._rss()
        return self.tally

    async def _worker(self, channel: grpc.aio.Channel, queue: list[tuple[str, bytes | Call]]) -> None:
        while queue and not self._has_ended:
            kind, sent = queue.pop()
            self.tally.inputs += 1
            self.tally.damages[kind] += 1
            try:
                if isinstance(sent, Call):
                    outcome = await call(channel, sent)
                    wrong = outcome in _BAD_CODES
                else:
                    answer = await exchange(self._target, sent, slowly=self._rng.random() < 0.01)
                    outcome = self._target.outcome(answer) if answer else "closed"
                    wrong = outcome.startswith("5")
            except HangError:
                self.tally.hangs += 1
                outcome, wrong = "hang", True
            except OSError as error:
                outcome, wrong = "unreachable", True
                self.tally.faults.append(f"{self._target.name}: {error}")
            self.tally.outcomes[outcome] += 1
            if wrong:
                self._fault(f"{outcome} after {kind}", sent)

    async def _keep_open(self, queue: list[tuple[str, bytes | Call]]) -> None:
        """Open some connections, send the half of something, and leave them so for a while."""
        for _, sent in queue[: HALF_OPEN // 4]:
            if not isinstance(sent, Call):
                _, writer = await connected(self._target.port)
                writer.write(sent[: len(sent) // 2])
                self._open.append(writer)
        while len(self._open) > HALF_OPEN:
            self._open.popleft().transport.abort()

    async def _check(self) -> None:
        began = time.monotonic()
        try:
            await asyncio.to_thread(self._target.works, PATIENCE)
            self.tally.good += 1
        except Exception as error:  # whatever it is, the port did not answer as it should
            self.tally.faults.append(f"{self._target.name}: a good request after {self.tally.inputs}: {error!r}")
        self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
        if self._has_ended:
            told = self._target.log.read_text(errors="replace")[-3000:]
            self.tally.faults.append(f"{self._target.name}: the process has ended after {self.tally.inputs}:\n{told}")
            return
        rss = self._rss()
        self.tally.rss_mib[2] = max(self.tally.rss_mib[2], rss)
        if rss > self.tally.rss_mib[0] + GROWTH_MIB:
            self.tally.faults.append(f"{self._target.name}: {rss} MiB after {self.tally.inputs}")
        with self._target.log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        for place, told in tracebacks(text.decode(errors="replace")).items():
            if place not in self._known:
                self._known.add(place)
                self.tally.faults.append(f"{self._target.name}: a traceback before {self.tally.inputs}:\n{told}")

    @property
    def _has_ended(self) -> bool:
        return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE

    def _rss(self) -> int:
        return int(self._process.memory_info().rss) // 2**20

    def _fault(self, what: str, sent: bytes | Call) -> None:
        data = sent.message if isinstance(sent, Call) else sent
        where = f" {sent.method} {sent.metadata}"[:2000] if isinstance(sent, Call) else ""
        self.tally.faults.append(f"{self._target.name}: {what}:{where} {base64.b64encode(data[:3000]).decode()}")
