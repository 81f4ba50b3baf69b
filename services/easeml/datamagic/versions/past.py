"""What a ledger has let go of a pillar without end: the sums of its rows, and where the rows begin that are kept."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from easeml.datamagic.versions import contents
from easeml.stream.payloads import Column, ColumnKind

MARK_BYTES = 8
Kind: TypeAlias = tuple[tuple[Column, ...], tuple[str, ...], str]
"""Columns, classes and version of rows."""


@dataclass(slots=True)
class Sum:
    """Number of some rows, and the sum of their digests."""

    count: int = 0
    digest: int = 0

    def add(self, count: int, digest: int) -> None:
        """Add rows; with a negative count and digest, take them away."""
        self.count += count
        self.digest = (self.digest + digest) % contents.MODULUS


@dataclass(frozen=True, slots=True)
class Past:
    """Everything before one message.

    Parameters
    ----------
    since : int
        Offset of that message: those before it are in the sums.
    sums : mapping of Kind to Sum
        Rows that are there still, as their last version was.
    own : mapping of str to int
        DataMagic's own batches, by the life of the app.
    marks : tuple of bytes
        By which some of these batches are recognised when they come again.
    """

    since: int = 0
    sums: Mapping[Kind, Sum] = field(default_factory=dict)
    own: Mapping[str, int] = field(default_factory=dict)
    marks: tuple[bytes, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        sums = [
            [[_told(column) for column in columns], list(classes), version, part.count, f"{part.digest:x}"]
            for (columns, classes, version), part in self.sums.items()
        ]
        marks = base64.b64encode(b"".join(self.marks)).decode()
        return {"since": self.since, "sums": sums, "own": dict(self.own), "marks": marks}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Past:
        """Return what ``document`` gave."""
        sums = {
            (tuple(map(_column, columns)), tuple(classes), version): Sum(count, int(digest, 16))
            for columns, classes, version, count, digest in document["sums"]
        }
        marks = base64.b64decode(document["marks"])
        each = tuple(marks[start : start + MARK_BYTES] for start in range(0, len(marks), MARK_BYTES))
        return cls(document["since"], sums, document["own"], each)


def _told(column: Column) -> list[Any]:
    return [column.name, column.kind, list(column.categories), list(column.shape)]


def _column(told: Sequence[Any]) -> Column:
    name, kind, categories, shape = told
    return Column(name, ColumnKind(kind), tuple(categories), tuple(shape))
