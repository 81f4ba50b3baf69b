"""Joint alternatives of whole rows as a nested Arrow column and back.

Beside each row stands a list of ``{probability, source, values}``; ``values`` has one field per feature, of the type
that its own field in the table has. A row without alternatives has null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from easeml.errors import InvalidDataError
from easeml.relation.alternatives import Alternatives
from easeml.relation.arrow_candidates import lists_of, opened, parts_of, plain, texts_of
from easeml.relation.arrow_columns import names, numbers, numbers_of
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.tables import Terms
from easeml.relation.validation import check_shares

FIELDS = ("probability", "source")
VALUES = "values"


def alternative_lists(table: Alternatives, fields: dict[str, Any], rows: int) -> Any:
    """Return the alternatives of ``rows`` rows as a list array.

    Parameters
    ----------
    fields : dict of str to Array
        The features of the alternatives, as fields.
    """
    parts = [numbers(table.probability), plain(names(table.source, table.sources))]
    titles = [*FIELDS]
    if fields:
        parts.append(pa.StructArray.from_arrays([plain(part) for part in fields.values()], names=list(fields)))
        titles.append(VALUES)
    return lists_of(pa.StructArray.from_arrays(parts, names=titles), table.row, rows)


def opened_alternatives(array: Any, what: str, fields: list[str], terms: Terms) -> tuple[dict[str, Any], Alternatives]:
    """Return the features of the alternatives, one array per field, and the table without its block.

    Raises
    ------
    InvalidDataError
        When a field is missing, a source is null, or the priors of a row do not sum to 1; names the row.
    """
    row, lines = opened(array, what)
    parts = parts_of(lines, (*FIELDS, *([VALUES] if fields else [])), what)
    source, sources = texts_of(parts["source"], f"{what!r}, source")
    probability = numbers_of(parts["probability"], f"{what!r}, probability")
    if (source < 0).any():
        raise InvalidDataError(
            f"Row {terms.row_ids[row[int(np.argmin(source))]]!r}: an alternative has no source.",
            mend="Name the tool that proposes it.",
            reason="bad_alternatives",
        )
    check_shares(row, probability, terms.row_ids)
    values = parts_of(parts[VALUES], fields, what) if fields else {}
    return values, Alternatives(row, probability, source, sources)


def check_apart(table: Alternatives, candidates: Candidates, terms: Terms) -> None:
    """Check that no row has both alternatives and candidates of feature cells.

    Raises
    ------
    InvalidDataError
        Names row and column.
    """
    both = np.isin(candidates.row, table.row) & (candidates.column != LABEL)
    if both.any():
        place = int(np.argmax(both))
        raise InvalidDataError(
            f"Row {terms.row_ids[candidates.row[place]]!r}, {terms.title(int(candidates.column[place]))}: candidates "
            "of a cell, but the row has alternatives as a whole.",
            mend="Keep one of the two.",
            reason="bad_alternatives",
        )
