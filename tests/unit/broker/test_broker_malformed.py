"""Frames that no client sends close their connection in a line of the log, and cost no memory."""

import logging

import pytest
from kio.index import load_request_schema
from test_broker_gone_clients import REQUEST, Socket

from easeml.broker import wire
from easeml.broker.connection import Connection

LARGEST = 100 * 2**20
HEADER = bytes([0, 0, 0, 7, 0, 1]) + b"c"
"""Correlation id 7, client ``c``."""


def connection(handlers):
    made = Connection(handlers, lambda _: None, lambda _: None, LARGEST, needs_login=False)
    transport = Socket(gone=False)
    transport.abort = lambda: setattr(transport, "gone", True)
    made.connection_made(transport)
    return made, transport


def feed(made, data):
    data = memoryview(data)
    while data:
        room = made.get_buffer(-1)
        size = min(len(room), len(data), 2**16)
        room[:size] = data[:size]
        del room
        made.buffer_updated(size)
        data = data[size:]


@pytest.mark.parametrize(
    ("api_key", "version", "body"),
    [
        (wire.DELETE_RECORDS, 1, b"\xff\xff\xff\xff" + bytes(4)),
        (wire.DELETE_RECORDS, 1, (1).to_bytes(4) + b"\0\1t" + b"\xff\xff\xff\xff" + bytes(4)),
        (wire.PRODUCE, 8, b"\xff\xff" + b"\0\1" + bytes(4) + b"\xff\xff\xff\xff"),
    ],
    ids=["topics", "partitions of a topic", "what is produced"],
)
def test_an_array_that_is_null_where_none_may_be_is_refused(caplog, api_key, version, body):
    made, transport = connection({api_key: lambda *_: pytest.fail("a handler saw it")})
    frame = api_key.to_bytes(2) + version.to_bytes(2) + HEADER + body
    with caplog.at_level(logging.WARNING):
        feed(made, len(frame).to_bytes(4) + frame)
    assert transport.gone
    (line,) = caplog.records
    assert "is null" in line.getMessage()
    assert line.exc_info is None


def test_an_array_may_be_null_where_the_protocol_says_so():
    request = load_request_schema(wire.METADATA, 8)
    assert wire._arrays(request) == (("topics", True, False),)
    frame = wire.METADATA.to_bytes(2) + (8).to_bytes(2) + HEADER + b"\xff\xff\xff\xff" + bytes(3)
    assert wire.decode(memoryview(frame)).body.topics is None


def test_whoever_only_announces_a_large_frame_takes_no_memory_for_it():
    made, _ = connection({})
    feed(made, LARGEST.to_bytes(4) + b"some")
    assert len(made._buffer) <= 2 * 2**20


@pytest.mark.parametrize("size", [10, 300_000, 2 * 2**20, 2 * 2**20 + 1, 5_000_001, 17 * 2**20])
def test_a_large_frame_comes_whole_however_it_grows(size):
    heard = []
    made, _ = connection({18: lambda _connection, _body, version: heard.append(version) or None})
    made._handle = lambda request: heard.append(request.version)
    padded = REQUEST + bytes(size)  # what is behind a request does not belong to it
    feed(made, (len(padded).to_bytes(4) + padded) * 2)
    assert heard == [0, 0]
    assert len(made._buffer) == 256 * 1024
