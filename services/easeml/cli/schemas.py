"""``easeml schemas``: the released schemas, for a schema registry."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from easeml.cli.session import session
from easeml.errors import ConfigurationError, ConflictError, UnavailableError
from easeml.stream.schemas import Schema, released

app = typer.Typer(help="Copy the released schemas to a schema registry.", no_args_is_help=True)

_SECONDS = 10.0
_ABSENT = 404
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


@app.callback()
def _verbs() -> None:
    """Stand for the group, which has one verb."""


@app.command("push")
def push(
    context: typer.Context,
    registry: Annotated[str, typer.Option(help="Address of a Confluent schema registry.")],
) -> None:
    """Copy the released schemas to a registry under the ids that they have on the wire; those there already stay."""
    current = session(context)
    schemas = sorted(released().values(), key=lambda schema: schema.id)
    new = [schema for schema in schemas if not _holds(registry, schema)]
    for subject in dict.fromkeys(schema.subject for schema in new):
        _import(registry, subject, [schema for schema in new if schema.subject == subject])
    current.line(f"{len(new)} schemas copied, {len(schemas)} are there.", copied=len(new), schemas=len(schemas))


def _holds(registry: str, schema: Schema) -> bool:
    """Return whether a registry has a schema.

    Raises
    ------
    ConflictError
        When it has something else in its place.
    """
    there = _call(registry, "GET", f"/subjects/{schema.subject}/versions/{schema.version}")
    if there is None:
        return False
    if there["id"] != schema.id or json.loads(there["schema"]) != schema.document:
        raise ConflictError(
            f"The registry has another schema, of id {there['id']}, as {schema.subject} version {schema.version}.",
            mend="Use a registry, or a context of it, that holds no other schemas of these subjects.",
        )
    return True


def _import(registry: str, subject: str, schemas: list[Schema]) -> None:
    # Only a subject in this mode takes ids from outside; a registry without it would give out ids of its own.
    _call(registry, "PUT", f"/mode/{subject}?force=true", {"mode": "IMPORT"})
    try:
        for schema in schemas:
            wanted = {"schema": json.dumps(schema.document), "id": schema.id, "version": schema.version}
            _call(registry, "POST", f"/subjects/{subject}/versions", wanted)
    finally:
        _call(registry, "PUT", f"/mode/{subject}?force=true", {"mode": "READWRITE"})


def _call(registry: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the reply of a registry; None: there is no such thing.

    Raises
    ------
    ConfigurationError
        When the address is none, or the registry refuses.
    UnavailableError
        When it does not answer.
    """
    try:
        request = urllib.request.Request(  # noqa: S310 - the address that the user names
            registry.rstrip("/") + path,
            None if body is None else json.dumps(body).encode(),
            {"content-type": _CONTENT_TYPE},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310 - likewise
            return json.load(reply)
    except urllib.error.HTTPError as refused:
        if refused.code == _ABSENT:
            return None
        raise ConfigurationError(
            f"The registry refused {method} {path}: {refused.code} {refused.read(500).decode(errors='replace')}",
            mend="It must let modes be changed (SCHEMA_REGISTRY_MODE_MUTABILITY=true) and this caller write.",
        ) from refused
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"No schema registry answers at {registry}: {error}.", mend="Check --registry."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{registry} is no schema registry: {error}.", mend="Check --registry.") from error
