"""What a caller got wrong is a line of the log, and what we got wrong keeps its traceback."""

import asyncio
import io
import logging
import sys

import aiohttp
import h11
import pytest
from aiohttp import web
from grpc._cython import cygrpc

from easeml.stream import logs
from easeml.stream.health import HealthServer
from easeml.stream.metrics import Metrics
from easeml.stream.settings import Settings

TOKEN = b"the token of the house"


class Process:
    """Something that is well."""

    settings = Settings.load(health_port=0)
    metrics = Metrics("none")

    def reasons(self):
        return []

    def told(self):
        return {}


@pytest.fixture
def log(monkeypatch):
    """Return what a process writes whose logs are configured."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure("serving", "console")
    yield written
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: a\r\nAuthorization\xff: Bearer " + TOKEN + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_bytes_that_are_no_request_are_one_line_without_token_and_traceback(log, sent):
    server = HealthServer(Process())
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        status = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/health") as well:
            assert well.status == 200
    finally:
        await server.stop()
    told = log.getvalue()
    assert status[9:12] in (b"400", b"405")
    assert "Traceback" not in told
    assert TOKEN.decode() not in told
    assert len(told.splitlines()) <= 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("uvicorn.error", h11.LocalProtocolError("Too much data")),
        ("grpc._cython.cygrpc", cygrpc.ExecuteBatchError("Failed")),
        ("aiohttp.server", aiohttp.ClientConnectionResetError("Cannot write to closing transport")),
        ("asyncio", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")),
    ],
)
def test_what_the_servers_libraries_cannot_read_is_a_line(log, name, error):
    logging.getLogger(name).error("Exception in ASGI application", exc_info=error)
    told = log.getvalue()
    assert "a request failed at the caller's end" in told
    assert "warning" in told


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("uvicorn.error", ValueError("ours")),
        ("easeml.serving", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "ours")),
        ("aiohttp.server", web.HTTPInternalServerError(reason="ours")),
    ],
)
def test_our_own_failures_keep_their_traceback(log, name, error):
    logging.getLogger(name).error("failed", exc_info=error)
    told = log.getvalue()
    assert "failed" in told
    assert "ours" in told
    assert type(error).__name__ in told
