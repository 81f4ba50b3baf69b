"""The server of gRPC's asyncio package, without its weak spot: a call whose method is no text would end it.

grpc.aio decodes the method of a call outside of any call, and takes the error for the end of the server: its port is
closed for good, calls that it still waits for are freed while the C core may write to them, and the process goes on as
if nothing had happened. Methods that there are were registered by name and need no decoding, so it is enough to answer
all others ourselves. grpcio has no public place for this.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # missing in its stub


class _Server(cygrpc.AioServer):  # type: ignore[misc]  # has no types
    """Answers UNIMPLEMENTED to whatever is not registered, be it text or not."""

    def _make_request_call_future(self, method: bytes | None) -> Any:
        if method is not None:
            return super()._make_request_call_future(method)
        return asyncio.ensure_future(self._refuse_others())

    async def _refuse_others(self) -> NoReturn:
        """Refuse one call after the other, until the server stops, which raises."""
        answering: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(_refuse(await self._request_call()))
            answering.add(task)
            task.add_done_callback(answering.discard)


async def _refuse(call: Any) -> None:
    begin = cygrpc.SendInitialMetadataOperation((), 0)
    code = grpc.StatusCode.UNIMPLEMENTED.value[0]
    with contextlib.suppress(cygrpc.ExecuteBatchError):  # the caller has gone
        await cygrpc._send_error_status_from_server(
            call, code, "There is no such method.", (), begin, asyncio.get_running_loop()
        )


def make_server(
    interceptors: Sequence[Any], options: Sequence[tuple[str, Any]], maximum_concurrent_rpcs: int
) -> grpc.aio.Server:
    """Return a server as ``grpc.aio.server`` does, to which calls of no method, or of one that is no text, do nothing.

    All its methods must be registered (``add_registered_method_handlers``), as generated code does.
    """
    usual, cygrpc.AioServer = cygrpc.AioServer, _Server
    try:
        return grpc.aio.server(
            interceptors=interceptors, options=options, maximum_concurrent_rpcs=maximum_concurrent_rpcs
        )
    finally:
        cygrpc.AioServer = usual
