"""Nothing is written to a client that has gone, and a SIGINT that is ignored stays ignored."""

import asyncio
import os
import signal

from easeml.broker.config import BrokerConfig
from easeml.broker.connection import Connection
from easeml.broker.server import serve

# ApiVersions, version 0, correlation id 7, client "c"
REQUEST = bytes([0, 18, 0, 0, 0, 0, 0, 7, 0, 1]) + b"c"


class Socket(asyncio.Transport):
    """A transport whose peer may have gone."""

    def __init__(self, gone):
        super().__init__()
        self.gone = gone
        self.written = []

    def is_closing(self):
        return self.gone

    def write(self, data):
        self.written.append(bytes(data))


def answered(gone):
    handled = []

    def handler(_connection, _body, version):
        handled.append(version)
        return versions()

    connection = Connection({18: handler}, lambda _: None, lambda _: None, 10_000, needs_login=False)
    transport = Socket(gone)
    connection.connection_made(transport)
    frame = len(REQUEST).to_bytes(4, "big") + REQUEST
    connection.get_buffer(-1)[: len(frame)] = frame
    connection.buffer_updated(len(frame))
    assert handled == [0]
    return transport.written


def versions():
    from kio.schema.api_versions.v0.response import ApiVersionsResponse
    from kio.schema.errors import ErrorCode

    return ApiVersionsResponse(error_code=ErrorCode.none, api_keys=())


def test_a_client_that_has_gone_is_not_written_to():
    assert answered(gone=False)
    assert answered(gone=True) == []


async def test_a_broker_whose_starter_ignores_ctrl_c_goes_on():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop, ready = asyncio.Event(), asyncio.Event()
    try:
        task = asyncio.ensure_future(serve(BrokerConfig(memory=True), ready=lambda _: ready.set(), stop=stop))
        await ready.wait()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)
        assert not task.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    finally:
        signal.signal(signal.SIGINT, before)
