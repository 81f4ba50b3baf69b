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
from easeml.relation.arrow_candidates import Domain, lists_of, opened, parts_of, plain, texts_of
from easeml.relation.arrow_columns import names, numbers, numbers_of
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.validation import SUM_TOLERANCE

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


def opened_alternatives(
    array: Any, what: str, fields: list[str], domain: Domain
) -> tuple[dict[str, Any], Alternatives]:
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
    # NaN fails the comparison too.
    good = (source >= 0) & (probability > 0) & (probability <= 1 + SUM_TOLERANCE)
    sums = np.bincount(row, probability, minlength=len(domain.row_ids))
    good &= ~(np.abs(sums - 1) > SUM_TOLERANCE)[row]
    if not good.all():
        place = int(np.argmin(good))
        raise InvalidDataError(
            f"Row {domain.row_ids[row[place]]!r}: its alternatives need a source and priors in (0, 1] that sum to 1; "
            f"they sum to {sums[row[place]]:.6g}.",
            mend="Correct the priors of the row's alternatives.",
            reason="bad_candidates",
        )
    values = parts_of(parts[VALUES], fields, what) if fields else {}
    return values, Alternatives(row, probability, source, sources)


def check_apart(table: Alternatives, candidates: Candidates, domain: Domain) -> None:
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
            f"Row {domain.row_ids[candidates.row[place]]!r}, {domain.title(int(candidates.column[place]))}: candidates "
            "of a cell, but the row has alternatives as a whole.",
            mend="Keep one of the two.",
            reason="bad_candidates",
        )
