"""What a client that has not logged in, and one that does not read, may take of the broker."""

from __future__ import annotations

import asyncio
import resource
import time
from types import SimpleNamespace
from typing import Any

import pytest
from test_broker_gone_clients import REQUEST, Socket
from test_broker_malformed import feed

from easeml.broker import Broker, BrokerConfig, connection
from easeml.broker.connection import Connection

MEGABYTE = 2**20


class Peer(Socket):
    """A transport that keeps count of what the connection does to it."""

    def __init__(self) -> None:
        super().__init__(gone=False)
        self.pauses = 0

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self.pauses += 1

    def abort(self) -> None:
        self.gone = True


async def stranger(needs_login: bool = True, **handlers: Any) -> tuple[Connection, Peer]:
    made = Connection(
        {18: handlers.get("handler", lambda *_: connection.NO_ANSWER)},
        lambda _: None,
        lambda _: None,
        100 * MEGABYTE,
        needs_login=needs_login,
    )
    peer = Peer()
    made.connection_made(peer)
    return made, peer


@pytest.mark.parametrize("length", [0, 1, 7])
async def test_a_frame_too_short_for_a_header_closes_the_connection(length: int) -> None:
    made, peer = await stranger(needs_login=False)
    made.pause_writing()
    feed(made, length.to_bytes(4) + bytes(length))
    assert peer.gone
    assert not made._frames


@pytest.mark.parametrize("needs_login", [True, False])
async def test_small_frames_of_a_client_that_does_not_read_are_bounded(needs_login: bool) -> None:
    made, peer = await stranger(needs_login)
    made.pause_writing()
    frame = len(REQUEST).to_bytes(4) + REQUEST
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while not peer.pauses:
        feed(made, frame * 1000)
        assert len(made._frames) < 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    if needs_login:
        assert len(made._frames) < 10_000


async def test_before_its_login_a_client_may_not_announce_a_large_frame() -> None:
    made, peer = await stranger()
    feed(made, (512 * 1024).to_bytes(4))
    assert not peer.gone
    made, peer = await stranger()
    feed(made, (512 * 1024 + 1).to_bytes(4))
    assert peer.gone
    made, peer = await stranger()
    made.user = "ada"
    feed(made, MEGABYTE.to_bytes(4))
    assert not peer.gone


async def logging_in(broker: Broker, *tokens: bytes) -> tuple[bytes, float]:
    """Send a handshake and passwords; return what comes until the broker hangs up, and after how many seconds."""
    host, _, port = broker.bootstrap_servers.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    frames = [bytes([0, 17, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5]) + b"PLAIN"] if tokens else []
    frames += [bytes([0, 36, 0, 0, 0, 0, 0, 2, 0, 0]) + len(token).to_bytes(4) + token for token in tokens]
    writer.write(b"".join(len(frame).to_bytes(4) + frame for frame in frames))
    try:
        answer = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
    return answer, time.monotonic() - began


async def test_whoever_does_not_log_in_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.5)
    async with Broker(BrokerConfig(memory=True, sasl_users={"ada": "secret"})) as broker:
        answer, seconds = await logging_in(broker)
        assert answer == b""
        assert 0.4 < seconds < 10
        with pytest.raises(TimeoutError):  # whoever logged in stays
            await asyncio.wait_for(logging_in(broker, b"\0ada\0secret"), 2)


async def test_after_a_wrong_password_the_broker_answers_and_hangs_up() -> None:
    async with Broker(BrokerConfig(memory=True, sasl_users={"ada": "secret"})) as broker:
        answer, seconds = await logging_in(broker, b"\0ada\0guess", b"\0ada\0secret")
        assert answer.count(b"Authentication failed") == 1
        assert answer.endswith(b"password\0\0\0\0")  # and the second guess is not looked at
        assert seconds < 5


async def test_where_no_login_is_needed_nobody_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.1)
    async with Broker(BrokerConfig(memory=True)) as broker:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(logging_in(broker), 1)


async def test_a_client_that_goes_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.05)
    closed = SimpleNamespace(times=0)
    made, peer = await stranger()
    made.connection_lost(None)
    peer.abort = lambda: setattr(closed, "times", 1)
    await asyncio.sleep(0.2)
    assert closed.times == 0
