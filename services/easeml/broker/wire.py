"""The wire: which APIs and versions we serve, and kio's readers and writers for them.

Every message is one of kio's generated types. Neighbouring versions of an API differ by a few fields, so a
handler is written once against the newest version we serve: :func:`build` leaves out the fields that an older
version does not have, and reading a field that an older request lacks goes through ``getattr``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import struct
import sys
from functools import cache
from types import ModuleType, UnionType
from typing import Any, get_args, get_origin

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 8, 9, 10
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 11, 12, 13, 14
DESCRIBE_GROUPS, LIST_GROUPS, SASL_HANDSHAKE, API_VERSIONS = 15, 16, 17, 18
CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 19, 20, 21, 22
DESCRIBE_CONFIGS, ALTER_CONFIGS, SASL_AUTHENTICATE, CREATE_PARTITIONS = 32, 33, 36, 37
DELETE_GROUPS, INCREMENTAL_ALTER_CONFIGS, OFFSET_DELETE, DESCRIBE_CLUSTER = 42, 44, 47, 60

# Up to the last version before flexible encoding, which every client tried still speaks, except where a
# feature needs more: states in ListGroups v4, DescribeCluster, and ApiVersions v3 that clients open with.
SERVED: dict[int, tuple[int, int]] = {
    PRODUCE: (3, 8),
    FETCH: (4, 11),
    LIST_OFFSETS: (1, 5),
    METADATA: (0, 8),
    OFFSET_COMMIT: (2, 7),
    OFFSET_FETCH: (1, 5),
    FIND_COORDINATOR: (0, 2),
    JOIN_GROUP: (2, 5),
    HEARTBEAT: (0, 3),
    LEAVE_GROUP: (0, 3),
    SYNC_GROUP: (0, 3),
    DESCRIBE_GROUPS: (0, 4),
    LIST_GROUPS: (0, 4),
    SASL_HANDSHAKE: (0, 1),
    API_VERSIONS: (0, 3),
    CREATE_TOPICS: (2, 4),
    DELETE_TOPICS: (1, 3),
    DELETE_RECORDS: (0, 1),
    INIT_PRODUCER_ID: (0, 1),
    DESCRIBE_CONFIGS: (1, 3),
    ALTER_CONFIGS: (0, 1),
    SASL_AUTHENTICATE: (0, 1),
    CREATE_PARTITIONS: (0, 1),
    DELETE_GROUPS: (0, 1),
    INCREMENTAL_ALTER_CONFIGS: (0, 0),
    OFFSET_DELETE: (0, 0),
    DESCRIBE_CLUSTER: (0, 0),
}

NO_TIME = dt.timedelta(0)
NONE = ErrorCode.none
_PREFIX = struct.Struct(">hhi")
_LENGTH = struct.Struct(">i")


class UnservedRequestError(Exception):
    """A request of an API or version that was not advertised, or one that does not parse."""


@dataclasses.dataclass(slots=True)
class Request:
    """One request as read from the wire."""

    api_key: int
    version: int
    correlation_id: int
    client_id: str
    body: Any


class Pieces:
    """Sink for kio's writers that keeps the pieces apart: record batches reach the socket uncopied."""

    __slots__ = ("parts", "write")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.write = self.parts.append


@cache
def _request_readers(api_key: int, version: int) -> tuple[Any, Any]:
    schema = load_request_schema(api_key, version)
    return entity_reader(schema.__header_schema__), entity_reader(schema)


@cache
def _response_writers(api_key: int, version: int) -> tuple[Any, Any, Any]:
    schema = load_response_schema(api_key, version)
    header = schema.__header_schema__
    return header, entity_writer(header), entity_writer(schema)


@cache
def response_types(api_key: int, version: int) -> ModuleType:
    """Return the kio module that holds the response type of this version and its nested types."""
    return sys.modules[load_response_schema(api_key, version).__module__]


@cache
def _field_names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind))


def build(kind: Any, /, **values: Any) -> Any:
    """Construct ``kind``, leaving out the values that this version of the type has no field for."""
    names = _field_names(kind)
    if len(values) == len(names) and names.issuperset(values):
        return kind(**values)
    return kind(**{name: value for name, value in values.items() if name in names})


@cache
def _arrays(kind: Any) -> tuple[tuple[str, bool, bool], ...]:
    """Return name, whether it may be null, and whether its items hold arrays themselves, of each array of a type."""
    found = []
    for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
        parts = field.type.__args__ if isinstance(field.type, UnionType) else (field.type,)
        arrays = [part for part in parts if get_origin(part) is tuple]
        if arrays:
            found.append((field.name, len(parts) > 1, bool(_arrays(get_args(arrays[0])[0]))))
    return tuple(found)


def _check_arrays(entity: Any) -> None:
    """Refuse an array that is null where its type allows none: kio reads it all the same."""
    kind: Any = type(entity)
    for name, nullable, nested in _arrays(kind):
        items = getattr(entity, name)
        if items is None and not nullable:
            raise UnservedRequestError(f"{name} is null.")
        for item in items if nested and items else ():
            _check_arrays(item)


def decode(frame: memoryview) -> Request:
    """Read one request frame (without its length prefix).

    Parameters
    ----------
    frame : memoryview
        Read-only bytes of the frame.

    Raises
    ------
    UnservedRequestError
        If the API or version is not served, or the bytes do not parse. For an unserved ApiVersions
        request the result has ``version`` -1 instead, because clients negotiate with it.
    """
    try:
        api_key, version, correlation_id = _PREFIX.unpack_from(frame)
    except struct.error as error:
        raise UnservedRequestError("The frame is too short for a request header.") from error
    low, high = SERVED.get(api_key, (0, -1))
    if not low <= version <= high:
        if api_key == API_VERSIONS:
            return Request(api_key, -1, correlation_id, "", None)
        raise UnservedRequestError(f"API {api_key} version {version} is not served.")
    read_header, read_body = _request_readers(api_key, version)
    try:
        header, size = read_header(frame, 0)
        body, _ = read_body(frame, size)
        _check_arrays(body)
    except Exception as error:  # kio raises many kinds for malformed bytes; to us all mean the same
        raise UnservedRequestError(f"API {api_key} version {version} does not parse: {error}") from error
    return Request(api_key, version, correlation_id, header.client_id or "", body)


def encode(request: Request, response: Any) -> list[bytes]:
    """Return the pieces of a response frame, length prefix first."""
    make_header, write_header, write_body = _response_writers(request.api_key, max(request.version, 0))
    pieces = Pieces()
    write_header(pieces, make_header(correlation_id=request.correlation_id))
    write_body(pieces, response)
    parts = pieces.parts
    parts.insert(0, _LENGTH.pack(sum(map(len, parts))))
    return parts


def preload() -> None:
    """Import the types of every newest served version, so that no first request pays for it."""
    for api_key, (_, high) in SERVED.items():
        _request_readers(api_key, high)
        _response_writers(api_key, high)
