"""A relation as inputs of arms: encoded once, and later rows in the same way.

Numbers, dates and booleans stand as they are, categories one-hot; a missing number is the median of those known, and a
further column tells where one was missing. Uncertain cells stand at their expected value (numbers, dates) or the most
probable one. Uncertain labels stand at the most probable one; rows whose label is unknown, or tied, are left out.

>>> import pandas as pd
>>> from easeml.relation import Relation
>>> frame = pd.DataFrame({"age": [31.0, None, 50.0, 8.0], "plan": [*"abab"], "churned": ["no", "yes", None, "no"]})
>>> relation = Relation.from_frame(frame, label="churned", row_ids=[*"rstu"])
>>> inputs, labels, row_ids = Encoding.of(relation).rows(relation)
>>> inputs.numbers.shape, labels.tolist(), row_ids
((3, 4), [0, 1, 0], ('r', 's', 'u'))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.snoopy.inputs import Floats, Inputs
from easeml.stream.payloads import ColumnKind


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How the rows of an app become inputs.

    Parameters
    ----------
    numbers, texts, images : tuple of str
        Columns of each kind.
    medians : float64[d]
        What stands for a missing number.
    holey : int64[h]
        Numbers that were missing somewhere; each has a column that tells where.
    pixels : float64[p]
        What stands for missing pixels: the median of each.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    images: tuple[str, ...]
    medians: Floats
    holey: npt.NDArray[np.int64]
    pixels: Floats

    @classmethod
    def of(cls, relation: Relation) -> Encoding:
        """Return the encoding that a relation's rows ask for.

        Raises
        ------
        InvalidDataError
            When there is no feature column.
        """
        if not relation.columns:
            raise InvalidDataError("There are no feature columns.", mend="Give at least one besides the label.")
        texts = tuple(column.name for column in relation.columns if column.kind is ColumnKind.TEXT)
        images = tuple(column.name for column in relation.columns if column.kind is ColumnKind.TENSOR)
        others = tuple(column.name for column in relation.columns if column.name not in {*texts, *images})
        world = relation.expected_world()
        matrix, pixels = world.matrix(others), world.matrix(images)
        return cls(
            others, texts, images, _middle(matrix), np.flatnonzero(np.isnan(matrix).any(axis=0)), _middle(pixels)
        )

    def inputs(self, relation: Relation) -> Inputs:
        """Return rows as inputs.

        Raises
        ------
        InvalidDataError
            When columns or their categories are others than those of the encoding.
        """
        world = relation.expected_world()
        matrix, pixels = world.matrix(self.numbers), world.matrix(self.images)
        if (matrix.shape[1], pixels.shape[1]) != (len(self.medians), len(self.pixels)):
            raise InvalidDataError("The rows have other categories or image sizes.", mend="Encode all rows anew.")
        missing = np.isnan(matrix)
        numbers = np.hstack([np.where(missing, self.medians, matrix), missing[:, self.holey].astype(np.float64)])
        return Inputs(
            numbers,
            _joined_texts(world, self.texts) if self.texts else None,
            np.where(np.isnan(pixels), self.pixels, pixels) if self.images else None,
        )

    def rows(self, relation: Relation) -> tuple[Inputs, npt.NDArray[np.int64], tuple[str, ...]]:
        """Return the labelled rows: inputs, label codes and row ids.

        Raises
        ------
        InvalidDataError
            When the relation has no label, and as ``inputs``.
        """
        if relation.label is None:
            raise InvalidDataError("The rows have no label.", mend="Name the label column.")
        likeliest = relation.most_probable_world()
        known = likeliest.labels >= 0
        if not known.any():
            raise InvalidDataError("No row has a label.", mend="Label some rows first.", reason="too_few_rows")
        return (
            self.inputs(relation.take(known)),
            likeliest.labels[known].astype(np.int64),
            likeliest.take(known).row_ids,
        )


def _middle(matrix: Floats) -> Floats:
    """Return the median of the known numbers of each column, 0 where none is."""
    found = np.zeros(matrix.shape[1])
    for column, values in enumerate(matrix.T):
        known = values[~np.isnan(values)]
        found[column] = np.median(known) if len(known) else 0.0
    return found


def _joined_texts(world: Relation, names: tuple[str, ...]) -> npt.NDArray[np.object_]:
    """Return the texts of each row, joined; a missing one is empty."""
    frame = world.features()
    columns = [[text or "" for text in frame[name]] for name in names]
    return np.array([" \n".join(parts) for parts in zip(*columns, strict=True)], object)
