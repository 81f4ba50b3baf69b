"""Reading the files that the command line takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from easeml.errors import InvalidDataError

_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".tsv": ("read_csv", {"sep": "\t"}),
    ".json": ("read_json", {}),
    ".jsonl": ("read_json", {"lines": True}),
    ".parquet": ("read_parquet", {}),
}


def read_frame(path: Path) -> pd.DataFrame:
    """Return the table in a file; its index says where each row stands in the file, for errors.

    Raises
    ------
    InvalidDataError
        When the file is missing, of an unknown kind or not readable.
    """
    if path.suffix.lower() not in _READERS:
        raise InvalidDataError(
            f"{path} has an unknown ending {path.suffix!r}.", mend=f"Known are {', '.join(_READERS)}."
        )
    function, options = _READERS[path.suffix.lower()]
    try:
        frame: pd.DataFrame = getattr(pd, function)(path, **options)
    except FileNotFoundError:
        raise InvalidDataError(f"There is no file {path}.", mend="Check the path.") from None
    except ImportError as error:
        raise InvalidDataError(
            f"{path} needs another package ({error}).", mend="Install easeml-streaming[files]."
        ) from error
    except ValueError as error:
        raise InvalidDataError(
            f"{path} is not readable as {path.suffix[1:]}: {error}.", mend="Check the file."
        ) from error
    if frame.empty:
        raise InvalidDataError(f"{path} has no rows.", mend="Check the file.")
    frame.index = _places(path, len(frame))
    return frame


def _places(path: Path, rows: int) -> pd.Index[Any]:
    """Return what people call each row: its line where every row has one of its own, else its number from 1."""
    header = {".csv": 1, ".tsv": 1, ".jsonl": 0}.get(path.suffix.lower())
    if header is not None:
        content = path.read_bytes()
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        if lines == rows + header:  # no blank lines, no cells of several lines
            return pd.RangeIndex(1 + header, 1 + header + rows, name="line")
    return pd.RangeIndex(1, 1 + rows, name="row")
