"""Small validated identifiers, so that no bare string travels through the layers."""

from __future__ import annotations

import re
import uuid
from typing import Self

from easeml.errors import InvalidDataError

_APP = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

EASEML_NAMESPACE = uuid.UUID("8f0c1d9e-4f6b-5c1e-9d53-6f1f0a7e5b11")
"""Namespace of every deterministic event id."""


class AppId(str):
    """Name of an application (a tenant): lower-case letters, digits, ``-`` and ``_``, at most 63.

    >>> AppId("churn")
    'churn'
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if not _APP.fullmatch(value):
            raise InvalidDataError(
                f"{value!r} is not an app name.",
                mend="Use 1-63 lower-case letters, digits, '-' or '_', starting with a letter or digit.",
            )
        return super().__new__(cls, value)


class _PrintableId(str):
    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if not _PRINTABLE.fullmatch(value):
            raise InvalidDataError(
                f"{value!r} is not a {cls.__name__}.", mend="Use 1-200 characters without control characters."
            )
        return super().__new__(cls, value)


class RowId(_PrintableId):
    """Identifier of one row within an app; unique over all pillars of the app."""

    __slots__ = ()


class ModelId(_PrintableId):
    """Identifier of one published model within an app."""

    __slots__ = ()


class EventId(str):
    """CloudEvents ``ce_id``: the identity by which effects are idempotent.

    >>> EventId.derive("ci", "v1", "a", 0) == EventId.derive("ci", "v1", "a", 0)
    True
    """

    __slots__ = ()

    @classmethod
    def derive(cls, *parts: str | int) -> Self:
        """Return the uuid5 of ``parts``: the same parts give the same id, on every machine."""
        return cls(uuid.uuid5(EASEML_NAMESPACE, "\x1f".join(map(str, parts))))

    @classmethod
    def random(cls) -> Self:
        """Return a fresh id for an event that a user makes."""
        return cls(uuid.uuid4())
