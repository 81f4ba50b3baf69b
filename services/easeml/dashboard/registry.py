"""The released schemas under the paths of a Confluent schema registry, to read only.

Stock tools (user interfaces, kcat, connectors) decode our topics with it. A subject is what ``schemas/`` calls it.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from easeml.dashboard.replies import reply
from easeml.stream.schemas import Schema, released

_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA = 40401, 40402, 40403
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


def routes() -> list[Route]:
    """Return the routes; the schemas are public, so nobody needs a token."""
    return [
        Route("/subjects", _subjects),
        Route("/subjects/{subject}/versions", _versions),
        Route("/subjects/{subject}/versions/{version}", _version),
        Route("/schemas/ids/{id}", _schema),
        Route("/schemas/types", _types),
    ]


async def _subjects(_request: Request) -> Response:
    return _reply(sorted({schema.subject for schema in released().values()}))


async def _versions(request: Request) -> Response:
    found = _of(request.path_params["subject"])
    return _reply(sorted(found)) if found else _absent(_NO_SUBJECT, "Subject not found.")


async def _version(request: Request) -> Response:
    found, wanted = _of(request.path_params["subject"]), request.path_params["version"]
    if not found:
        return _absent(_NO_SUBJECT, "Subject not found.")
    schema = found[max(found)] if wanted == "latest" else found.get(_number(wanted))
    if schema is None:
        return _absent(_NO_VERSION, "Version not found.")
    named = {"subject": schema.subject, "version": schema.version, "id": schema.id}
    return _reply(named | {"schemaType": "AVRO", "schema": json.dumps(schema.document)})


async def _schema(request: Request) -> Response:
    schema = released().get(_number(request.path_params["id"]))
    return (
        _absent(_NO_SCHEMA, "Schema not found") if schema is None else _reply({"schema": json.dumps(schema.document)})
    )


async def _types(_request: Request) -> Response:
    return _reply(["AVRO"])


def _of(subject: str) -> dict[int, Schema]:
    return {schema.version: schema for schema in released().values() if schema.subject == subject}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _reply(content: Any, status: int = 200) -> Response:
    response = reply(content, status)
    response.headers["content-type"] = _CONTENT_TYPE
    return response


def _absent(code: int, message: str) -> Response:
    return _reply({"error_code": code, "message": message}, 404)
