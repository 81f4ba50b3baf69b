"""Names of columns: stripped, unique, and what becomes of columns without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from easeml.datamagic.readers.account import Account
from easeml.errors import InvalidDataError

_SHOWN = 10
ROW_NAMES = "row_name"
"""Name of a first column that has values and no name, as R writes its row names."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of the columns of a file.

    Parameters
    ----------
    names : tuple of str
        One per column, all different.
    unnamed : frozenset of int
        Places of the columns that the file gives no name.
    """

    names: tuple[str, ...]
    unnamed: frozenset[int]

    def superfluous(self, table: pd.DataFrame, account: Account) -> set[int]:
        """Return the places of unnamed columns that hold nothing, or the numbers of the rows; the account tells."""
        left: set[int] = set()
        for place in sorted(self.unnamed):
            cells = table.iloc[:, place]
            if cells.isna().all():
                left.add(place)
                account.note("empty columns without a name left out")
            elif place == 0 and _counts(cells):
                left.add(place)
                account.note("row numbers in a first column without a name left out")
            else:
                account.note(f"column {place + 1} has no name and is called {self.names[place]!r}")
        return left


def titled(table: pd.DataFrame, naming: Naming, left: set[int]) -> pd.DataFrame:
    """Return a table without the columns that are left out, the others called by their names."""
    if not left:  # taking columns out copies the others
        return table.set_axis(list(naming.names), axis=1)
    kept = [place for place in range(table.shape[1]) if place not in left]
    return table.iloc[:, kept].set_axis([naming.names[place] for place in kept], axis=1)


def _counts(cells: pd.Series) -> bool:
    """Whether cells are 0, 1, 2 and so on, or 1, 2, 3."""
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    return bool(len(numbers) and numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


def named(header: Sequence[str], where: str) -> Naming:
    """Return the names of columns.

    Raises
    ------
    InvalidDataError
        When columns have the same name; names all of them.
    """
    names = [str(name).strip() for name in header]
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name:
            places.setdefault(name, []).append(place + 1)
    twice = [(name, own) for name, own in places.items() if len(own) > 1]
    if twice:
        told = [
            f"columns {_joined(own)} are {'both' if len(own) == 2 else 'all'} named {name!r}" for name, own in twice
        ]
        more = f", and {len(told) - _SHOWN} more names" if len(told) > _SHOWN else ""
        raise InvalidDataError(
            f"{where}: {', '.join(told[:_SHOWN])}{more}.",
            mend="Give every column its own name.",
            reason="duplicate_column",
        )
    unnamed = frozenset(place for place, name in enumerate(names) if not name)
    taken = set(names)
    for place in unnamed:
        wanted = ROW_NAMES if place == 0 else f"column_{place + 1}"
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        names[place] = wanted
    return Naming(tuple(names), unnamed)


def _joined(places: Sequence[int]) -> str:
    return f"{', '.join(map(str, places[:-1]))} and {places[-1]}"
