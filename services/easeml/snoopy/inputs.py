"""What arms read: rows as numbers, texts and images, checked once, and keys that stand for their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError

Floats = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Rows as arms take them.

    Parameters
    ----------
    numbers : float64[n, d], finite
        Numeric, boolean and encoded categorical columns; d may be 0.
    texts : object[n] of str, optional
        Text of each row; None: there are no text columns.
    images : float64[n, p], finite, optional
        Flattened pixels or other tensors.
    """

    numbers: Floats
    texts: npt.NDArray[np.object_] | None = None
    images: Floats | None = None

    @classmethod
    def of(cls, features: Inputs | npt.ArrayLike) -> Inputs:
        """Return features as inputs, checked; a matrix holds numbers.

        Raises
        ------
        InvalidDataError
            When they are no matrix, or a number is NaN or infinite; names row and column.
        """
        if not isinstance(features, Inputs):
            features = cls(_matrix(features))
        for what, part in (("Features", features.numbers), ("Images", features.images)):
            if part is not None and not np.isfinite(part).all():
                row, column = np.argwhere(~np.isfinite(part))[0]
                raise InvalidDataError(
                    f"{what}, row {row}, column {column}: {part[row, column]} is no finite number.",
                    mend="Fill missing cells first; a relation's are filled by easeml.snoopy.Encoding.",
                )
        return features

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def widths(self) -> tuple[int, bool, int]:
        """Columns of numbers, whether there are texts, and columns of images."""
        return self.numbers.shape[1], self.texts is not None, 0 if self.images is None else self.images.shape[1]

    def take(self, rows: npt.NDArray[Any] | slice) -> Self:
        """Return some rows."""
        return type(self)(
            self.numbers[rows],
            None if self.texts is None else self.texts[rows],
            None if self.images is None else self.images[rows],
        )

    def check_alike(self, other: Inputs) -> None:
        """Refuse rows of other widths.

        Raises
        ------
        InvalidDataError
            Tells both widths.
        """
        if self.widths != other.widths:
            raise InvalidDataError(
                f"The rows hold {_told(other)}, those before {_told(self)}.", mend="Encode all rows in the same way."
            )

    def joined(self, other: Inputs) -> Self:
        """Return these rows and then others of the same widths."""
        return type(self)(
            np.concatenate([self.numbers, other.numbers]),
            None if self.texts is None or other.texts is None else np.concatenate([self.texts, other.texts]),
            None if self.images is None or other.images is None else np.concatenate([self.images, other.images]),
        )

    def digests(self, salt: bytes) -> list[bytes]:
        """Return 16 bytes per row, equal for equal rows; ``salt`` makes another permutation of them."""
        numbers = np.ascontiguousarray(self.numbers) + 0.0
        images = None if self.images is None else np.ascontiguousarray(self.images) + 0.0
        found = []
        for row in range(len(self)):
            digest = hashlib.blake2b(numbers[row].tobytes(), digest_size=16, key=salt)
            if images is not None:
                digest.update(images[row].tobytes())
            if self.texts is not None:
                digest.update(self.texts[row].encode())
            found.append(digest.digest())
        return found


def _matrix(features: npt.ArrayLike) -> Floats:
    try:
        matrix = np.asarray(features, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"The features are no matrix of numbers: {error}.", mend="Encode them first (easeml.snoopy.Encoding)."
        ) from error
    if matrix.ndim != 2:
        raise InvalidDataError(f"The features have {matrix.ndim} dimensions, not 2.", mend="Give one row per example.")
    return matrix


def _told(inputs: Inputs) -> str:
    numbers, texts, images = inputs.widths
    return f"{numbers} numbers{', a text' if texts else ''}{f', {images} pixels' if images else ''}"
