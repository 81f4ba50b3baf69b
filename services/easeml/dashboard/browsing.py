"""Rows of a pillar, page by page: read from the topics when somebody looks, and kept for a while for all who look."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.dashboard.views import AppView
from easeml.errors import InvalidDataError, NotFoundError
from easeml.pillars import Follower
from easeml.relation import Relation
from easeml.relation.overview import Cell, overview
from easeml.stream.payloads import AppDefined, Pillar
from easeml.stream.settings import Settings

PAGE = 50
MOST_CELLS = 3_000_000
"""Cells of all pillars that are kept; reading takes some 60 bytes for each, most of them for a moment."""
_MOST_COLUMNS = 100
_LABEL = "label"
"""Kind of the label's column in an overview."""
_KEPT = 4
"""Pillars that are kept at most, whatever their size."""
_IDLE = 300.0
"""Seconds after which rows that nobody looks at are put away."""
_PACE = 4.0
"""Rows that change all the time are read again at most every so many times what reading takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page somebody wants.

    Parameters
    ----------
    pillar : Pillar
        Whose rows; they are ordered by row id.
    start : int
        Rows left out before; of no account with ``begin``.
    uncertain : bool
        Only rows with an uncertain feature.
    begin : str
        Row id, or the beginning of one, with which the page begins; empty: begin at ``start``.
    """

    pillar: Pillar
    start: int = 0
    uncertain: bool = False
    begin: str = ""


@dataclass(slots=True)
class Rows:
    """Rows of one pillar as they were at some moment.

    Parameters
    ----------
    follower : Follower
        Reads what has come since.
    relation : Relation or None
        Ordered by row id; None: the pillar holds no rows.
    doubtful : int64[m]
        Places of the rows with an uncertain feature, ascending.
    edition : int
        That of their pillar in the app's view when they were read.
    seconds : float
        What reading took.
    read, used : float
        When they were read and used last, on a clock that only runs forward.
    announced : bool
        Whoever saw them although there are newer ones will hear of these.
    """

    follower: Follower
    relation: Relation | None
    doubtful: NDArray[np.int64]
    edition: int
    seconds: float
    read: float
    used: float
    announced: bool = False

    @property
    def cells(self) -> int:
        """Numbers in all rows."""
        return 0 if self.relation is None else len(self.relation) * _width(self.follower.app)


def pillar_of(name: str) -> Pillar:
    """Return the pillar of a name.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    try:
        return Pillar(name)
    except ValueError as error:
        raise NotFoundError(f"There is no pillar {name!r}.", mend=f"There are {', '.join(Pillar)}.") from error


class Shelf:
    """Keeps the rows that people look at.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    changed : callable
        Told the app whose rows may be read again, after somebody saw older ones.
    """

    def __init__(self, settings: Settings, changed: Callable[[str], None]) -> None:
        self._settings = settings
        self._changed = changed
        self._kept: dict[tuple[str, str, Pillar], Rows] = {}
        self._watched = False
        self._lock = asyncio.Lock()
        # reading takes and frees much memory, of which every thread that does it would keep some
        self._reader = ThreadPoolExecutor(1, "rows")

    async def page(self, view: AppView, wanted: Wanted, now: float) -> dict[str, Any]:
        """Return a page of rows as plain data, with their candidates and the open questions about them.

        Parameters
        ----------
        view : AppView
            What is known of the app.
        wanted : Wanted
            Which page.
        now : float
            Seconds since 1970 UTC.

        Raises
        ------
        InvalidDataError
            When the pillar is too large to be looked at here.
        """
        told: dict[str, Any] = {"pillars": {pillar.value: count for pillar, count in view.rows.items()}}
        rows = await self._rows(view, wanted.pillar)
        page = await asyncio.to_thread(page_of, rows, wanted)
        return told | with_questions(page, view, now)

    async def _rows(self, view: AppView, pillar: Pillar) -> Rows:
        key = (view.app.app, view.app.life, pillar)
        async with self._lock:  # one pillar is read at a time, and nothing twice
            rows, edition = self._kept.get(key), view.editions[pillar]
            if rows is not None and rows.edition != edition and not rows.announced and _resting(rows) > 0:
                rows.announced = True
                asyncio.get_running_loop().call_later(_resting(rows), self._changed, view.app.app)
            if rows is None or (rows.edition != edition and _resting(rows) <= 0):
                check_size(view, pillar)
                follower = self._follower(key, view.app)
                rows = None  # the older rows go before the newer ones come
                self._make_room(view.rows.get(pillar, 0) * _width(view.app))
                loop = asyncio.get_running_loop()
                rows = await loop.run_in_executor(self._reader, self._read, follower, edition)
                self._kept[key] = rows
                if not self._watched:
                    self._watched = True
                    loop.call_later(_IDLE, self._put_away)
            rows.used = time.monotonic()
            return rows

    def _follower(self, key: tuple[str, str, Pillar], app: AppDefined) -> Follower:
        """Return who reads on where the rows kept end, and keep these no longer."""
        known = self._kept.pop(key, None)
        return known.follower if known and known.follower.app == app else Follower(self._settings, app, key[-1])

    def _make_room(self, wanted: int) -> None:
        """Put away what was not looked at for longest until ``wanted`` more cells may be kept."""
        kept = sorted(self._kept.items(), key=lambda known: known[1].used)
        while kept and (len(kept) >= _KEPT or wanted + sum(rows.cells for _, rows in kept) > MOST_CELLS):
            del self._kept[kept.pop(0)[0]]

    def _read(self, follower: Follower, edition: int) -> Rows:
        begun = time.monotonic()
        relation, doubtful = None, np.zeros(0, np.int64)
        with contextlib.suppress(NotFoundError):  # nothing is there yet: no error for somebody who looks
            relation = follower.relation()
            doubtful = np.flatnonzero(relation.uncertain_rows(labels=False))
        done = time.monotonic()
        return Rows(follower, relation, doubtful, edition, done - begun, done, done)

    def _put_away(self) -> None:
        now = time.monotonic()
        self._kept = {key: rows for key, rows in self._kept.items() if now - rows.used < _IDLE}
        self._watched = bool(self._kept)
        if self._watched:
            asyncio.get_running_loop().call_later(_IDLE, self._put_away)


def _resting(rows: Rows) -> float:
    """Return for how many seconds more these rows are not read again."""
    return rows.read + _PACE * rows.seconds - time.monotonic()


def check_size(view: AppView, pillar: Pillar) -> None:
    """Refuse a pillar that is too large to be looked at here.

    Raises
    ------
    InvalidDataError
        When it has more than ``MOST_CELLS`` cells.
    """
    rows = view.rows.get(pillar, 0)
    width = _width(view.app)
    if rows * width > MOST_CELLS:
        raise InvalidDataError(
            f"The {pillar} pillar has {rows:,} rows of {width:,} numbers, too many to be looked at here.",
            mend=f"In Python, Client().relation({view.app.app!r}, {pillar.value!r}) reads them all.",
            reason="size",
        )


def _width(app: AppDefined) -> int:
    """Return how many numbers a row has."""
    return sum(math.prod(column.shape) if column.shape else 1 for column in app.columns)


def page_of(rows: Rows, wanted: Wanted) -> dict[str, Any]:
    """Return one page of rows as plain data: the columns, the label first, and a cell of each row for each."""
    relation = rows.relation
    if relation is None:
        return {"columns": [], "rows": [], "start": 0, "count": 0, "all": 0, "uncertain": 0, "page": PAGE}
    places = rows.doubtful if wanted.uncertain else np.arange(len(relation))
    start = min(wanted.start, max(0, len(places) - 1))
    if wanted.begin:
        at = bisect_left(relation.row_ids, wanted.begin)
        start = int(np.searchsorted(places, at))
        start = min(start, max(0, len(places) - 1))
    part = relation.take(places[start : start + PAGE])
    seen = overview(part, len(part), most_columns=_MOST_COLUMNS)
    features = [name for name, _ in seen.columns[:-1]] if seen.hidden_columns else [c.name for c in part.columns]
    names = [*features, relation.label]
    order = [len(names) - 1, *range(len(names) - 1)]  # the label first: people look for it
    return {
        "columns": [{"name": names[place], "kind": seen.columns[place][1]} for place in order],
        "rows": [
            {
                "row_id": row_id,
                "alternatives": line.alternatives,
                "cells": [_cell(line.cells[place]) for place in order],
            }
            for row_id, line in zip(part.row_ids, seen.lines, strict=True)
        ],
        "start": start,
        "count": len(places),
        "all": len(relation),
        "uncertain": len(rows.doubtful),
        "page": PAGE,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    """Return a cell; what is not worth saying of it is left out, for a page has thousands."""
    told: dict[str, Any] = {} if cell.text is None else {"text": cell.text}
    if cell.uniform:
        told["open"] = True
    elif cell.choices:
        told["choices"] = [[choice.text, choice.probability, list(choice.sources)] for choice in cell.choices]
        told["more"] = cell.more
    return told


def with_questions(page: dict[str, Any], view: AppView, now: float) -> dict[str, Any]:
    """Return a page whose cells name the open question about them."""
    asked = view.open_about(frozenset(row["row_id"] for row in page["rows"]), now)
    columns = [None if column["kind"] == _LABEL else column["name"] for column in page["columns"]]
    for row in page["rows"]:
        for column, cell in zip(columns, row["cells"], strict=True):
            if (row["row_id"], column) in asked:
                cell["question"] = asked[row["row_id"], column]
    return page
