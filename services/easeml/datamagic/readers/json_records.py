"""JSON: arrays of records (read in parts), JSON lines (read in parts), tables by column, and records in an envelope.

Source: RFC 8259; the orients of ``pandas.DataFrame.to_json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.encodings import Text
from easeml.datamagic.readers.naming import named
from easeml.datamagic.readers.objects import column, flat, frame_of
from easeml.datamagic.readers.sources import Source
from easeml.errors import InvalidDataError

MOST_BYTES = 512 << 20
"""Largest JSON document that is no array of records."""
_LARGEST_RECORD = 64 << 20
_BLANK = " \t\r\n"


class _TwiceError(ValueError):
    """An object has a key twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _TwiceError(f"the key {key!r} occurs twice in one object")
            seen.add(key)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def lines(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of a file with one JSON object a line; their index is the line.

    Raises
    ------
    InvalidDataError
        When a line is no JSON object; names it.
    """
    held: list[dict[str, Any]] = []
    places: list[int] = []
    number = 0
    with source.open() as stream:
        text = Text(stream, source.name, options.encoding)
        for block in text:
            account.facts["encoding"] = text.encoding
            for line in _cut(block):
                number += 1
                if not line.strip():
                    continue
                record = _record(line, number, options, account)
                if record is None:
                    continue
                held.append(record)
                places.append(number)
                if len(held) >= rows:
                    yield _frame(held, places, "line", source.name, options, account)
                    held, places = [], []
            if options.progress is not None:
                options.progress(source.read, source.size, "bytes")
    if held:
        yield _frame(held, places, "line", source.name, options, account)


def _cut(block: bytes) -> list[str]:
    cut = block.decode("utf-8", "surrogatepass").split("\n")
    return cut[:-1] if not cut[-1] else cut


def _record(line: str, number: int, options: Options, account: Account) -> dict[str, Any] | None:
    mend = "Correct or remove the line; every line is one JSON object."
    try:
        found = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        why = f"not readable as JSON: {error.msg} at character {error.pos + 1}"
    except (_TwiceError, RecursionError) as error:
        why = str(error)
    else:
        if isinstance(found, dict):
            try:
                return flat(found, f"{account.name}, line {number}")
            except InvalidDataError:
                if options.on_error == "raise":
                    raise
                why = "two fields have the same name once nested objects are flat"
        else:
            why = f"{_called(found)}, not an object"
    account.refuse(options, f"line {number}", why, text=line, mend=mend)
    return None


def _frame(
    records: list[dict[str, Any]], places: list[int], unit: str, name: str, options: Options, account: Account
) -> pd.DataFrame:
    frame = frame_of(records, pd.Index(places, name=unit), options.text, name)
    named(list(frame.columns), name)
    account.rows += len(frame)
    return frame


def documents(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of a JSON document; their index counts the rows from 1.

    An array of records is read in parts. Also understood: columns (``{"a": [1, 2], "b": ["x", "y"]}``), the orients
    ``columns``, ``index``, ``split`` and ``table`` of pandas, and one array of records inside an object.

    Raises
    ------
    InvalidDataError
        When it is no table; names the line.
    """
    with source.open() as stream:
        text = Text(stream, source.name, options.encoding or "utf-8", block=1 << 20, lines=False)
        account.facts["encoding"] = text.encoding
        blocks = (block.decode("utf-8", "surrogatepass") for block in text)
        first = ""
        for block in blocks:
            first += block
            if block.strip(_BLANK):
                break
        if first.lstrip(_BLANK).startswith("["):
            yield from _records(Items(first, blocks, source.name), source, options, account, rows)
            return
        rest, size = [first], len(first)
        for block in blocks:
            size += len(block)
            if size > MOST_BYTES:
                raise InvalidDataError(
                    f"{source.name} is a JSON object of more than {MOST_BYTES >> 20} MiB, which cannot be read in "
                    "parts.",
                    mend="Save it as JSON lines, one record a line.",
                )
            rest.append(block)
    frame = _whole("".join(rest), source.name, options)
    account.rows += len(frame)
    yield frame


class Items:
    """The items of a JSON array, decoded one after the other while the text comes in.

    Parameters
    ----------
    text : str
        The beginning; its first letter is the bracket.
    blocks : iterator of str
        The rest.
    name : str
        How errors call the file.
    """

    def __init__(self, text: str, blocks: Iterator[str], name: str) -> None:
        self._buffer = text
        self._blocks = blocks
        self._name = name
        self._at = text.index("[") + 1
        self.line = 1 + text.count("\n", 0, self._at)
        self.line_of_item = self.line

    def __iter__(self) -> Iterator[Any]:
        """Yield items; ``line`` is where the last one begins.

        Raises
        ------
        InvalidDataError
            When the text is no JSON; names line and character.
        """
        if self._letter() == "]":
            return
        while True:
            self._letter()
            yield self._item()
            letter = self._letter()
            self._advance(self._at + 1)
            if letter == "]":
                return
            if letter != ",":
                raise self._broken("a comma or ] is missing", self._at - 1)

    def _letter(self) -> str:
        """Return the next letter that is not blank."""
        while True:
            at = self._at
            while at < len(self._buffer) and self._buffer[at] in _BLANK:
                at += 1
            self._advance(at)
            if at < len(self._buffer):
                return self._buffer[at]
            if not self._more():
                raise self._broken("the file ends inside the array", at)

    def _item(self) -> Any:
        while True:
            try:
                item, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos > len(self._buffer) - 64 or error.msg.startswith("Unterminated string")
                if not cut or len(self._buffer) - self._at > _LARGEST_RECORD or not self._more():
                    raise self._broken(error.msg, error.pos) from error
            except (_TwiceError, RecursionError) as error:
                raise self._broken(str(error), self._at) from error
            else:
                self.line_of_item = self.line
                self._advance(end)
                return item

    def _advance(self, at: int) -> None:
        self.line += self._buffer.count("\n", self._at, at)
        self._at = at

    def _more(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        self._buffer = self._buffer[self._at :] + block
        self._at = 0
        return True

    def _broken(self, why: str, at: int) -> InvalidDataError:
        line = self.line + self._buffer.count("\n", self._at, at)
        character = at - self._buffer.rfind("\n", 0, at)
        return InvalidDataError(
            f"{self._name}, line {line}, character {character}: not readable as JSON: {why}.",
            mend="Correct the file, or save it again.",
        )


def _records(items: Items, source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the records of an array."""
    held: list[dict[str, Any]] = []
    places: list[int] = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            account.refuse(
                options,
                f"row {number} (line {items.line_of_item})",
                f"{_called(item)}, not an object",
                mend="Every item of the array is one object.",
            )
            continue
        held.append(flat(item, f"{source.name}, row {number}"))
        places.append(number)
        if len(held) >= rows:
            yield _frame(held, places, "row", source.name, options, account)
            held, places = [], []
            if options.progress is not None:
                options.progress(source.read, source.size, "bytes")
    if held:
        yield _frame(held, places, "row", source.name, options, account)


def _whole(text: str, name: str, options: Options) -> pd.DataFrame:
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        mend = "One object a line is JSON lines: name the format jsonl." if error.msg == "Extra data" else ""
        raise InvalidDataError(
            f"{name}, line {error.lineno}, character {error.colno}: not readable as JSON: {error.msg}.",
            mend=mend or "Correct the file, or save it again.",
        ) from error
    except (_TwiceError, RecursionError) as error:
        raise InvalidDataError(f"{name} is not readable as JSON: {error}.", mend="Correct the file.") from error
    columns = _columns(found, name)
    index = pd.RangeIndex(1, 1 + max((len(cells) for cells in columns.values()), default=0), name="row")
    names = named(list(columns), name).names
    return pd.DataFrame(
        {
            title: column(cells, pd.Index(index), f"{name}, column {title!r}", text=title in options.text)
            for title, cells in zip(names, columns.values(), strict=True)
        },
        index=index,
    )


def _columns(found: Any, name: str) -> dict[str, list[Any]]:
    """Return the columns of a document that is one object."""
    if isinstance(found, dict) and isinstance(found.get("data"), list) and isinstance(found.get("columns"), list):
        header, table = found["columns"], found["data"]
        wrong = [place for place, row in enumerate(table, 1) if not isinstance(row, list) or len(row) != len(header)]
        if wrong:
            raise InvalidDataError(
                f"{name}, row {wrong[0]}: not {len(header)} values, as there are columns.", mend="Correct the row."
            )
        named(header, name)
        return {str(title): [row[place] for row in table] for place, title in enumerate(header)}
    records = _enveloped(found)
    if records is not None:
        flats = [flat(record, f"{name}, row {place}") for place, record in enumerate(records, 1)]
        titles = dict.fromkeys(title for record in flats for title in record)
        return {title: [record.get(title) for record in flats] for title in titles}
    if isinstance(found, dict) and found and all(isinstance(cells, list) for cells in found.values()):
        lengths = {title: len(cells) for title, cells in found.items()}
        first = next(iter(lengths))
        uneven = [title for title, length in lengths.items() if length != lengths[first]]
        if uneven:
            raise InvalidDataError(
                f"{name}: column {uneven[0]!r} has {lengths[uneven[0]]:,} values and {first!r} has {lengths[first]:,}.",
                mend="Give every column one value a row.",
            )
        return found
    raise InvalidDataError(
        f"{name} holds {_called(found)}, and no table.",
        mend="Give an array of objects, JSON lines, or an object with one array per column.",
    )


def _enveloped(found: Any) -> list[dict[str, Any]] | None:
    """Return the records that an object holds by row number, by column, or in its one array of objects."""
    if not isinstance(found, dict) or not found:
        return None
    arrays = [cells for cells in found.values() if _all(cells, dict)]
    others = [cells for key, cells in found.items() if isinstance(cells, list) and key not in {"schema", "fields"}]
    if len(arrays) == 1 and len(others) == 1:
        return list(arrays[0])
    if all(isinstance(inner, dict) for inner in found.values()):
        keys = [list(inner) for inner in found.values()]
        by_row = all(key.isdecimal() for key in found) and not all(key.isdecimal() for inner in keys for key in inner)
        if by_row:
            return list(found.values())
        if all(inner == keys[0] for inner in keys):
            return [{title: inner[key] for title, inner in found.items()} for key in keys[0]]
    scalars = not any(isinstance(value, list) for value in found.values())
    return [found] if scalars else None


def _all(cells: Any, kind: type) -> bool:
    return isinstance(cells, list) and bool(cells) and all(isinstance(cell, kind) for cell in cells)


def _called(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
