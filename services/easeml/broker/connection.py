"""One client connection: frames in, answers out, strictly in order.

A frame is handled at once where its answer is at hand. While an answer is still to come (a waiting fetch or
join), later frames of the connection queue up, and beyond a bound we stop reading, so that a client that
sends without reading cannot fill the memory.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from easeml.broker import wire
from easeml.broker.answers import Answer, Make
from easeml.broker.wire import Request

_LOG = logging.getLogger(__name__)
_BUFFER = 256 * 1024
_SOCKET_BUFFER = 4 * 1024 * 1024
_MOST_QUEUED_BYTES = 32 * 1024 * 1024
_JOIN_BELOW = 64 * 1024
_ALLOCATED_AT_ONCE = 2 * 1024 * 1024
_SHORTEST_FRAME = 8
"""Bytes of API key, version and correlation id, which every request begins with."""
_FRAME_COST = 512
"""Bytes that a queued frame takes beside its own, at least: many small ones must count, too."""
_BEFORE_LOGIN = 512 * 1024
"""Largest frame (bytes) of a client that has not logged in (Kafka's ``sasl.server.max.receive.size``)."""
LOGIN_SECONDS = 10.0
"""A client that has not logged in so long after it connected is hung up on."""
NO_ANSWER = object()
"""What a handler returns where the protocol has no response (``acks=0``)."""

Handler = Callable[["Connection", Any, int], Any]


class Connection(asyncio.BufferedProtocol):
    """Server side of one connection.

    Parameters
    ----------
    handlers : dict
        API key to handler ``(connection, request body, version)``, which returns the response, an
        :class:`Answer` to come, or :data:`NO_ANSWER`.
    on_open, on_close : callable
        Told when the connection comes and goes.
    max_request_bytes : int
        A larger frame closes the connection.
    needs_login : bool
        Refuse everything but the SASL exchange until :attr:`user` is set, and hang up where that takes too long.
    """

    def __init__(
        self,
        handlers: dict[int, Handler],
        on_open: Callable[[Connection], None],
        on_close: Callable[[Connection], None],
        max_request_bytes: int,
        needs_login: bool,
    ) -> None:
        self._handlers = handlers
        self._on_open = on_open
        self._on_close = on_close
        self._max_request_bytes = max_request_bytes
        self._needs_login = needs_login
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._frames: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._pending: Answer | None = None
        self._is_blocked = False
        self._is_reading = True
        self._is_ending = False
        self._login_timer: asyncio.TimerHandle | None = None
        self.client_id = ""
        self.peer_host = ""
        self.user: str | None = None
        self.mechanism: str | None = None

    # -- transport callbacks -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer_host = peer[0] if peer else ""
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        if self._needs_login:
            self._login_timer = asyncio.get_running_loop().call_later(LOGIN_SECONDS, self._on_login_overdue)
        self._on_open(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        if self._login_timer is not None:
            self._login_timer.cancel()
        self._frames.clear()
        if self._pending is not None:
            self._pending.drop()
        self._on_close(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        self._cut_frames()
        self._serve()

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._serve()

    def close(self) -> None:
        """Close once what is written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def close_after_answer(self) -> None:
        """Close once the answer to the present request has gone out; what comes behind it is not looked at."""
        self._is_ending = True

    def _on_login_overdue(self) -> None:
        if self.user is None:
            _LOG.warning("closed %s: no login within %s s", self.peer_host, LOGIN_SECONDS)
            self.abort()

    @property
    def _is_stranger(self) -> bool:
        return self._needs_login and self.user is None

    # -- frames --------------------------------------------------------------------------------------------

    def _cut_frames(self) -> None:
        start = 0
        most = min(self._max_request_bytes, _BEFORE_LOGIN) if self._is_stranger else self._max_request_bytes
        with memoryview(self._buffer) as view:
            while self._filled - start >= 4:
                length = int.from_bytes(view[start : start + 4], "big", signed=True)
                if not _SHORTEST_FRAME <= length <= most:
                    _LOG.warning("closed %s: a request of %d bytes, at most %d are taken", self.peer_host, length, most)
                    self.abort()
                    return
                end = start + 4 + length
                if end > self._filled:
                    break
                if start == 0 and end == len(self._buffer) > _BUFFER:
                    # The frame fills a buffer of its own: hand that over instead of copying it.
                    self._queue(memoryview(self._buffer)[4:].toreadonly())
                    self._buffer, self._filled = bytearray(_BUFFER), 0
                    return
                self._queue(memoryview(bytes(view[start + 4 : end])))
                start = end
        self._make_room(start)

    def _make_room(self, start: int) -> None:
        # A frame larger than the buffer gets a buffer of exactly its size, so its bytes are not moved again. A very
        # large one gets it by and by: whoever only announces it shall not take the memory for it.
        rest = self._filled - start
        if start == 0 and rest < len(self._buffer) > _BUFFER:
            return
        wanted = _BUFFER
        if rest >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            wanted = max(_BUFFER, min(4 + length, max(_ALLOCATED_AT_ONCE, 2 * rest)))
        if len(self._buffer) != wanted:
            fresh = bytearray(wanted)
            fresh[:rest] = memoryview(self._buffer)[start : self._filled]
            self._buffer = fresh
        elif start:
            self._buffer[:rest] = self._buffer[start : self._filled]
        self._filled = rest

    def _queue(self, frame: memoryview) -> None:
        self._frames.append(frame)
        self._queued_bytes += len(frame) + _FRAME_COST
        if self._queued_bytes > self._most_queued and self._is_reading and self._transport is not None:
            self._transport.pause_reading()
            self._is_reading = False

    @property
    def _most_queued(self) -> int:
        return _BEFORE_LOGIN if self._is_stranger else _MOST_QUEUED_BYTES

    def abort(self) -> None:
        """Close at once, whatever was still to go out."""
        self._frames.clear()
        if self._transport is not None:
            self._transport.abort()

    # -- answers -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._frames and self._pending is None and not self._is_blocked and self._transport is not None:
            frame = self._frames.popleft()
            self._queued_bytes -= len(frame) + _FRAME_COST
            try:
                self._handle(wire.decode(frame))
            except wire.UnservedRequestError as error:
                _LOG.warning("closed %s (%s): %s", self.peer_host, self.client_id, error)
                self.abort()
            except Exception:  # one client's bad luck must not end the others' broker
                _LOG.exception("closed %s (%s): a request failed", self.peer_host, self.client_id)
                self.abort()
        if not self._is_reading and self._queued_bytes <= self._most_queued // 2 and self._transport is not None:
            self._transport.resume_reading()
            self._is_reading = True

    def _handle(self, request: Request) -> None:
        if request.client_id:
            self.client_id = request.client_id
        login = (wire.API_VERSIONS, wire.SASL_HANDSHAKE, wire.SASL_AUTHENTICATE)
        if self._is_stranger and request.api_key not in login:
            raise wire.UnservedRequestError("The client has not authenticated.")
        answer = self._handlers[request.api_key](self, request.body, request.version)
        if isinstance(answer, Answer):
            self._pending = answer
            answer.deliver_to(lambda make: self._finish(request, make))
        elif answer is not NO_ANSWER:
            self._write(request, answer)
        if self._is_ending:
            self._frames.clear()
            self.close()

    def _finish(self, request: Request, make: Make) -> None:
        self._pending = None
        try:
            self._write(request, make())
        except Exception:  # whoever gave the answer, mostly another client's request, must not suffer for it
            _LOG.exception("closed %s (%s): a request failed", self.peer_host, self.client_id)
            self.abort()
        if self._frames:
            # Not at once: the answer may come from the middle of another request, which a new one must not see.
            asyncio.get_running_loop().call_soon(self._serve)

    def _write(self, request: Request, response: Any) -> None:
        if self._transport is None or self._transport.is_closing():  # the client has gone: nobody would read it
            return
        small: list[bytes] = []
        for part in wire.encode(request, response):
            if len(part) < _JOIN_BELOW:
                small.append(part)
                continue
            self._transport.write(b"".join(small))
            small.clear()
            if self._transport.is_closing():
                return
            self._transport.write(part)
        if small:
            self._transport.write(b"".join(small))
