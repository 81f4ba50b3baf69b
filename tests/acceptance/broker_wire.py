"""A bare socket that speaks kio's messages, for what no client lets one say."""

from __future__ import annotations

import datetime as dt
import io
import socket
from typing import Any, Self

from kio.index import load_request_schema, load_response_schema
from kio.records.schema import NewRecordBatch, Record
from kio.records.writers import write_new_batch
from kio.serial import entity_reader, entity_writer


class Wire:
    """One connection on which requests are sent and answers awaited by hand."""

    def __init__(self, bootstrap_servers: str) -> None:
        host, _, port = bootstrap_servers.split(",", maxsplit=1)[0].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._correlation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, request: Any) -> None:
        """Send a request without waiting for its answer."""
        self._correlation += 1
        header = request.__header_schema__(
            request_api_key=request.__api_key__,
            request_api_version=request.__version__,
            correlation_id=self._correlation,
            client_id="accept-wire",
        )
        frame = io.BytesIO()
        entity_writer(type(header))(frame, header)
        entity_writer(type(request))(frame, request)
        body = frame.getvalue()
        self.send_bytes(len(body).to_bytes(4, "big") + body)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def receive(self, api_key: int, version: int) -> tuple[int, Any]:
        """Return the correlation id and body of the next answer."""
        frame = self._exactly(int.from_bytes(self._exactly(4), "big"))
        schema = load_response_schema(api_key, version)
        header, size = entity_reader(schema.__header_schema__)(frame, 0)
        body, _ = entity_reader(schema)(frame, size)
        return header.correlation_id, body

    def ask(self, request: Any) -> Any:
        """Send a request and return its answer."""
        self.send(request)
        return self.receive(request.__api_key__, request.__version__)[1]

    def is_closed(self) -> bool:
        """Wait for the broker to hang up."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            piece = self._socket.recv(size - len(parts))
            if not piece:
                raise ConnectionError("The broker hung up.")
            parts += piece
        return bytes(parts)


def schema(api_key: int, version: int) -> Any:
    """Return the request type of an API version."""
    return load_request_schema(api_key, version)


def batch(*values: bytes, producer_id: int = -1, epoch: int = -1, sequence: int = -1, attributes: int = 0) -> bytes:
    """Return a record batch as a producer would send it."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    records = tuple(
        Record(attributes=0, timestamp=now, offset=index, key=b"k", value=value, headers=())
        for index, value in enumerate(values)
    )
    buffer = io.BytesIO()
    write_new_batch(
        buffer,
        NewRecordBatch(
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
            records=records,
            attributes=attributes,
        ),
    )
    return buffer.getvalue()
