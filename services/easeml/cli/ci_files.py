"""The files of ``easeml ci``: predictions as CSV, and the ledger of a test set between two calls."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from easeml.ci import Condition, TestSetLedger, parse
from easeml.errors import ConflictError, InvalidDataError, NotFoundError

Ints = npt.NDArray[np.int32]
PREDICTION, LABEL = "prediction", "label"


@dataclass(frozen=True, slots=True)
class Cells:
    """A CSV file: cells by row id and column; without an id column rows are numbered from 1."""

    path: Path
    rows: dict[str, dict[str, str]]

    @classmethod
    def read(cls, path: Path, id_column: str) -> Cells:
        """Read a file.

        Raises
        ------
        NotFoundError, InvalidDataError
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                found = list(csv.DictReader(file))
        except FileNotFoundError:
            raise NotFoundError(f"There is no file {path}.", mend="Check the path.") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InvalidDataError(f"{path} cannot be read as CSV: {error}", mend="Write UTF-8 with a head.") from error
        rows: dict[str, dict[str, str]] = {}
        for number, row in enumerate(found, start=1):
            key = row.get(id_column) or str(number)
            if None in row or None in row.values():
                raise InvalidDataError(f"{path}, row {number}: its cells do not fit the head.", mend="Quote commas.")
            if key in rows:
                raise InvalidDataError(f"{path}: row {key!r} occurs twice.", mend="Give every example one row.")
            rows[key] = row
        if not rows:
            raise InvalidDataError(f"{path} holds no rows.", mend="Write a head and one row per test example.")
        return cls(path, rows)

    def column(self, name: str, ids: list[str]) -> list[str]:
        """Return one column in the order of ``ids``.

        Raises
        ------
        InvalidDataError
            When the column or a row is missing, or there are rows besides ``ids``.
        """
        columns = next(iter(self.rows.values()))
        if name not in columns:
            raise InvalidDataError(
                f"{self.path} has no column {name!r}.", mend=f"Its columns are {', '.join(columns)}."
            )
        missing = next((key for key in ids if key not in self.rows), None)
        extra = next((key for key in self.rows if key not in set(ids)), None) if missing is None else None
        if missing is not None or extra is not None:
            wrong = f"lacks the row {missing!r}" if missing is not None else f"has the unknown row {extra!r}"
            raise InvalidDataError(
                f"{self.path} {wrong}: every model predicts the same test examples.",
                mend="Predict the examples of the first file, no more and no less.",
            )
        return [self.rows[key][name] for key in ids]

    def optional(self, name: str) -> dict[str, str]:
        """Return the cells of one column that are not empty, by row id; none where there is no such column."""
        return {key: row[name] for key, row in self.rows.items() if row.get(name)}


class Book:
    """A ledger with the names of its examples and classes, kept in one file.

    Attributes
    ----------
    ledger : TestSetLedger
    ids : list of str
        Of the examples, in the ledger's numbering.
    classes : list of str
        In the order in which they occurred; a class is its place.
    """

    def __init__(self, ledger: TestSetLedger, ids: list[str], classes: list[str]) -> None:
        self.ledger, self.ids, self.classes = ledger, ids, classes

    @classmethod
    def new(cls, first: Cells, condition: str, rng: np.random.Generator, protocol: Mapping[str, Any]) -> Book:
        """Return the book of a new test set: the examples of ``first``, which also has the columns of slices."""
        ids = list(first.rows)
        parsed = parse(condition)
        slices = _slices(parsed, first, ids)
        return cls(TestSetLedger(len(ids), condition=parsed, slices=slices, rng=rng, **protocol), ids, [])

    def codes(self, names: list[str], what: Path) -> Ints:
        """Return classes as codes; new ones are added."""
        known = {name: code for code, name in enumerate(self.classes)}
        for number, name in enumerate(names, start=1):
            if not name:
                raise InvalidDataError(f"{what}: example {number} has no prediction.", mend="Predict every example.")
            known.setdefault(name, len(known))
        self.classes = list(known)
        return np.array([known[name] for name in names], dtype=np.int32)

    def frozen(self, asked: Mapping[str, Any]) -> None:
        """Refuse an agreement that is not the one the test set was opened with.

        Raises
        ------
        ConflictError
        """
        for name, value in asked.items():
            kept = self.ledger.condition.text if name == "condition" else getattr(self.ledger, name)
            same = str(parse(value)) == str(self.ledger.condition) if name == "condition" else value == kept
            if not same:
                raise ConflictError(
                    f"The test set was opened with {name} {kept!r}, not {value!r}: a change would void its promise.",
                    mend="Keep it, or open a new ledger file with fresh test examples.",
                )

    def save(self, path: Path) -> None:
        """Write the whole book at once: nobody meets half of it."""
        state = self.ledger.state()
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        document = {name: value for name, value in state.items() if name not in arrays}
        part = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with part.open("wb") as file:
                told = json.dumps({"ids": self.ids, "classes": self.classes, "ledger": document})
                contents: dict[str, Any] = {"document": np.array(told), **arrays}
                np.savez_compressed(file, **contents)
            os.replace(part, path)  # noqa: PTH105 - also where Path.replace would follow a link
        finally:
            with suppress(FileNotFoundError):
                part.unlink()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a book.

        Raises
        ------
        NotFoundError, InvalidDataError
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                told = json.loads(str(found["document"]))
                arrays = {name: found[name] for name in found.files if name != "document"}
            return cls(TestSetLedger.from_state({**told["ledger"], **arrays}), told["ids"], told["classes"])
        except FileNotFoundError:
            raise NotFoundError(f"There is no ledger {path}.", mend="`easeml ci check` makes one.") from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise InvalidDataError(
                f"{path} is no ledger: {error}", mend="Give a file `easeml ci check` wrote."
            ) from error


def _slices(condition: Condition, first: Cells, ids: list[str]) -> dict[str, npt.NDArray[np.bool_]]:
    found = {}
    for name in condition.slices:
        column, _, value = name.partition("=")
        found[name] = np.array([cell == value for cell in first.column(column, ids)], dtype=np.bool_)
    return found


def model_name(path: Path, predictions: list[str]) -> str:
    """Return a name for a model that nobody named: the same for the same predictions."""
    return f"{path.stem}-{hashlib.sha256(json.dumps(predictions).encode()).hexdigest()[:8]}"
