"""The released Avro schemas: ``schemas/<subject>/<version>.avsc`` and their lock file.

A subject is the kebab-case name of a payload's record (``relation-batch``). Released files never change; a new
version is a new file and a new line of ``registry.lock.json``. They lie in the wheel (``easeml/schemas``) or, when
the package is installed editable, in the root of the repository.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args

from easeml.errors import ConfigurationError, SchemaError
from easeml.stream.payloads import Payload

PAYLOADS: dict[str, type] = {kind.__name__: kind for kind in get_args(Payload)}
"""Payload type by record name."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One released version of one record.

    Parameters
    ----------
    subject : str
        Kebab-case record name.
    version : int
        Version within the subject, from 1.
    id : int
        Identity on the wire, unique over all subjects.
    fingerprint : str
        SHA-256 of the parsing canonical form, hexadecimal.
    file : str
        SHA-256 of the file, hexadecimal: documentation and attributes count too.
    document : dict
        The parsed JSON of the file.
    payload : type
        Dataclass of the record.
    """

    subject: str
    version: int
    id: int
    fingerprint: str
    file: str
    document: dict[str, Any]
    payload: type

    @property
    def full_name(self) -> str:
        """Name of the record with its namespace: the CloudEvents type."""
        return f"{self.document['namespace']}.{self.document['name']}"


def folder() -> Traversable | Path:
    """Return the folder of schemas.

    Raises
    ------
    ConfigurationError
        When neither the wheel nor the repository holds one.
    """
    packaged = resources.files("easeml").joinpath("schemas")
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parents[3] / "schemas"
    if checkout.is_dir():
        return checkout
    raise ConfigurationError(
        f"No folder of schemas beside {__file__}.", mend="Install the easeml-streaming wheel, or work in a checkout."
    )


def subject_of(payload: type) -> str:
    """Return the subject of a payload type.

    >>> from easeml.stream.payloads import RelationBatch
    >>> subject_of(RelationBatch)
    'relation-batch'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "-", payload.__name__).lower()


@cache
def released() -> dict[int, Schema]:
    """Return every released schema by id."""
    home = folder()
    subjects = {subject_of(kind): kind for kind in PAYLOADS.values()}
    schemas = {}
    for name, line in json.loads(home.joinpath("registry.lock.json").read_text("utf-8")).items():
        subject, version = name.split("/")
        document = json.loads(home.joinpath(subject, f"{version}.avsc").read_text("utf-8"))
        schemas[line["id"]] = Schema(
            subject, int(version), line["id"], line["fingerprint"], line["file"], document, subjects[subject]
        )
    return schemas


@cache
def newest(payload: type) -> Schema:
    """Return the newest schema of a payload type.

    Raises
    ------
    SchemaError
        When the type is not a payload.
    """
    versions = [schema for schema in released().values() if schema.payload is payload]
    if not versions:
        raise SchemaError(f"{payload.__name__} is not a payload: no schema is released for it.")
    return max(versions, key=lambda schema: schema.version)
