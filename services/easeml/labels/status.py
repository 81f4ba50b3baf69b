"""Errors on the wire: ``EaseMLError`` to google.rpc.Status and back."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from easeml.errors import (
    BudgetExhaustedError,
    ConflictError,
    EaseMLError,
    InvalidDataError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)

DOMAIN = "easeml"
RETRY_MILLISECONDS = 200
_DETAILS = "grpc-status-details-bin"
_TEXT = 1000
"""Bytes of a text on the wire. HTTP/2 headers are limited to 8 KB in all; a text is in them with up to three bytes for
one, and three times more in details that take four for three."""
_BY_CODE: dict[grpc.StatusCode, type[EaseMLError]] = {
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidDataError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: BudgetExhaustedError,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDeniedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
}


class UnauthenticatedError(PermissionDeniedError):
    """The caller has not shown a token that this server knows."""

    reason = "unauthenticated"
    grpc_code = "UNAUTHENTICATED"


def code_of(error: EaseMLError) -> grpc.StatusCode:
    """Return the status code of an error."""
    return grpc.StatusCode[error.grpc_code]


def status_of(error: EaseMLError, where: str) -> status_pb2.Status:
    """Return the status of an error raised by the method ``where``.

    Its ErrorInfo has the domain ``easeml``, the error's reason and the metadata what, where and mend; what is worth a
    retry has a RetryInfo besides.
    """
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={"what": _cut(error.message), "where": where, "mend": _cut(error.mend)},
    )
    details: list[Any] = [info]
    if error.retriable:
        delay = Duration()
        delay.FromMilliseconds(RETRY_MILLISECONDS)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [AnyMessage() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    return status_pb2.Status(code=code_of(error).value[0], message=_cut(str(error)), details=packed)


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:_TEXT].decode("utf-8", "ignore")


async def abort(context: Any, error: EaseMLError, where: str) -> NoReturn:
    """End a call with an error.

    Raises
    ------
    grpc.aio.AbortError
        Always: it ends the handler.
    """
    status = rpc_status.to_status(status_of(error, where))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError  # abort does not return; its type does not say so


def error_of(call: grpc.RpcError) -> EaseMLError:
    """Return the error behind a failed call, as the server raised it."""
    code = call.code()
    kind = _BY_CODE.get(code, EaseMLError)
    info = _info(call)
    if info is None:
        return kind(f"{code.name}: {call.details()}.", mend=_mend(code))
    if kind is PermissionDeniedError and code is grpc.StatusCode.UNAUTHENTICATED:
        kind = UnauthenticatedError
    return kind(info.metadata["what"], mend=info.metadata["mend"], reason=info.reason)


def _info(call: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    metadata: Any = call.trailing_metadata() or ()
    for key, value in metadata:
        if key == _DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    return info
    return None


def _mend(code: grpc.StatusCode) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            "Start the label service with 'easeml up', or check its address; where it asks for certificates, set "
            "EASEML_TLS_CA, EASEML_TLS_CERTIFICATE and EASEML_TLS_KEY to yours."
        )
    return ""
