"""PDF (one row a page) and DOCX (one row a document) as text; needs the extra ``documents``.

Source: ISO 32000 as ``pypdf`` reads it, ECMA-376 as ``python-docx`` reads it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pandas as pd

from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.excel import check_protection
from easeml.datamagic.readers.sources import Source
from easeml.datamagic.readers.zips import check_document
from easeml.errors import InvalidDataError

DOCUMENTS = (".pdf", ".docx")
MOST_BYTES = 256 << 20
"""Largest document as stored."""


def pages(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the text of every page of a PDF; the index is the page.

    Raises
    ------
    InvalidDataError
        When it is protected by a password, damaged, or has no text at all.
    """
    found = _pages(source.content(MOST_BYTES), source.name, options)
    if not any(found):
        raise InvalidDataError(
            f"{source.name} has {len(found)} pages and no text; it may be scanned.", mend="Run it through OCR first."
        )
    frame = pd.DataFrame(
        {"text": pd.Series([text or None for text in found], dtype="str").to_numpy()},
        index=pd.RangeIndex(1, 1 + len(found), name="page"),
    )
    account.rows += len(frame)
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]


def whole(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the text of a DOCX as one row.

    Raises
    ------
    InvalidDataError
        When it is protected by a password, damaged, a bomb, or has no text.
    """
    del options, rows
    text = _docx(source.content(MOST_BYTES), source.name)
    if not text:
        raise InvalidDataError(f"{source.name} has no text.", mend="Check the file.")
    account.rows += 1
    yield pd.DataFrame({"text": [text]}, index=pd.RangeIndex(1, 2, name="document"))


def document_text(content: bytes, name: str) -> str | None:
    """Return the text of a PDF or DOCX, None when it has none; errors as ``pages`` and ``whole``."""
    if content.startswith(b"%PDF"):
        return "\n\n".join(filter(None, _pages(content, name, Options()))) or None
    return _docx(content, name) or None


def _pages(content: bytes, name: str, options: Options) -> list[str]:
    try:
        import pypdf  # noqa: PLC0415 - an extra
        from pypdf.errors import PyPdfError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _needs(name, error) from error
    damaged = (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError)
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidDataError(
                f"{name} is protected by a password.", mend="Save it without one.", reason="password"
            )
        found = []
        for number, page in enumerate(reader.pages, 1):
            found.append(page.extract_text().strip())
            if options.progress is not None:
                options.progress(number, len(reader.pages), "pages")
    except damaged as error:
        raise InvalidDataError(f"{name} is not readable as PDF: {error}.", mend="Save it again.") from error
    return found


def _docx(content: bytes, name: str) -> str:
    try:
        import docx  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _needs(name, error) from error
    check_protection(content, name)
    check_document(io.BytesIO(content), name)
    try:
        document: Any = docx.Document(io.BytesIO(content))
        parts = []
        for block in document.element.body.inner_content_elements:
            if hasattr(block, "tr_lst"):
                parts += ["\t".join(map(_cell, row.tc_lst)) for row in block.tr_lst]
            else:
                parts.append(block.text)
    except Exception as error:  # whatever a foreign XML makes the library raise, the file is at fault
        raise InvalidDataError(f"{name} is not readable as DOCX: {error}.", mend="Save it again.") from error
    return "\n".join(part for part in parts if part.strip()).strip()


def _cell(cell: Any) -> str:
    # A row's own ``cells`` are as many as the cell says that it spans, a number that costs its writer nothing.
    return "\n".join(paragraph.text for paragraph in cell.p_lst)


def _needs(name: str, error: ImportError) -> InvalidDataError:
    return InvalidDataError(f"{name} needs another package ({error}).", mend="Install easeml-streaming[documents].")
