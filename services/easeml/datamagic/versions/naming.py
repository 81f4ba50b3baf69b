"""Names of the versions that the keeper gives: they follow from what a pillar holds."""

from __future__ import annotations

import hashlib

from easeml.stream.payloads import AppDefined, DataVersion


def name_of(app: AppDefined, digest: str) -> str:
    """Return the name of the version of a content, in this life of the app."""
    return f"v{app.life}-{_mark(digest)}"


def life_of(version: str) -> str:
    """Return the life of the app in a version's name.

    >>> life_of("vab12-0123456789ab")
    'ab12'
    """
    return version.removeprefix("v").rpartition("-")[0]


def is_own(version: DataVersion) -> bool:
    """Whether the keeper announced a version."""
    return version.version.endswith(f"-{_mark(version.content_hash)}")


def _mark(digest: str) -> str:
    return hashlib.sha256(f"keeper {digest}".encode()).hexdigest()[:12]
