"""The formats that are read, in one table, and how a file is told to be of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from easeml.datamagic.readers import arrays, columnar, delimited, documents, excel, folders, json_records
from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.sources import Source
from easeml.errors import InvalidDataError

_Reader = Callable[[Source, Options, Account, int], Iterator[pd.DataFrame]]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    Parameters
    ----------
    reader : callable
        Yields its frames.
    endings : tuple of str
        Endings of its files' names.
    words : str
        What it is, for people.
    in_parts : bool
        Whether it is read in parts, so that its size does not matter.
    """

    reader: _Reader
    endings: tuple[str, ...]
    words: str
    in_parts: bool = False


FORMATS: dict[str, Format] = {
    "csv": Format(delimited.chunks, (".csv", ".txt", ".dat", ".data", ".psv"), "text table, any delimiter", True),
    "tsv": Format(delimited.chunks, (".tsv", ".tab"), "text table with tabs, database copy", True),
    "json": Format(json_records.documents, (".json",), "JSON array of records, or columns", True),
    "jsonl": Format(json_records.lines, (".jsonl", ".ndjson"), "JSON lines", True),
    "parquet": Format(columnar.parquet, (".parquet", ".pq"), "Parquet", True),
    "arrow": Format(columnar.arrow, (".arrow", ".feather", ".ipc", ".arrows"), "Arrow or Feather", True),
    "npy": Format(arrays.array, (".npy",), "NumPy array"),
    "npz": Format(arrays.arrays, (".npz",), "NumPy arrays of one length"),
    "excel": Format(excel.workbook, (".xlsx", ".xlsm"), "workbook"),
    "texts": Format(folders.texts, (), "folder of texts, one sub-folder per class"),
    "images": Format(folders.images, (), "folder of images, one sub-folder per class"),
    "pdf": Format(documents.pages, (".pdf",), "PDF, one row a page"),
    "docx": Format(documents.whole, (".docx",), "DOCX, one row"),
}
"""Every format by name."""
_BY_ENDING = {ending: name for name, form in FORMATS.items() for ending in form.endings}
_MAGIC = {b"\x93NUMPY": "npy", b"PAR1": "parquet", b"ARROW1": "arrow", b"FEA1": "arrow", b"%PDF": "pdf"}
_OLD = {".xls": "excel", ".doc": "docx", ".xlsb": "excel", ".ods": "excel"}


def sniff(name: str, head: bytes) -> str:
    """Return the format of a file by the ending of its name and its first bytes.

    Raises
    ------
    InvalidDataError
        When neither tells.
    """
    ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    named = _BY_ENDING.get(ending) or _OLD.get(ending)
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        if named in {"excel", "docx", "npz"}:
            return named
        return "docx" if b"word/" in head else "npz" if b".npy" in head else "excel"
    if named == "json" and _is_lines(head):
        return "jsonl"
    if named is not None:
        return named
    if ending and head and ending not in {".gz", ".bz2", ".xz", ".zst", ".zip"}:
        raise InvalidDataError(
            f"{name} has an unknown ending {ending!r}.", mend=f"Known are {', '.join(_BY_ENDING)}; or name the format."
        )
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] in (b"{", b"["):
        return "jsonl" if _is_lines(head) else "json"
    return "csv"


def _is_lines(head: bytes) -> bool:
    """Whether a JSON text is one object a line: its first line is whole and the second begins another."""
    lines = [line for line in head.lstrip(b"\xef\xbb\xbf").split(b"\n") if line.strip()][:2]
    return len(lines) == 2 and all(line.lstrip()[:1] == b"{" for line in lines) and lines[0].rstrip().endswith(b"}")
