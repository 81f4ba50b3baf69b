"""What is asked of the arrays and values in a loaded model file before anything follows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from easeml.errors import ArtifactError

_MEND = "Train the model again; this file was not written by easeml.artifacts.dump."


def need(holds: bool, otherwise: str) -> None:
    """Raise ArtifactError, "The model file ``otherwise``.", unless something ``holds``."""
    if not holds:
        raise ArtifactError(f"The model file {otherwise}.", mend=_MEND)


def is_floats(value: Any, *shape: int) -> bool:
    """Return whether ``value`` is an array float64[shape] in the byte order of this machine."""
    return type(value) is np.ndarray and value.dtype == np.float64 and value.shape == shape


def is_finite(value: Any, *shape: int) -> bool:
    """Return whether ``value`` is float64[shape] without NaN and infinities."""
    return is_floats(value, *shape) and bool(np.isfinite(value).all())


def is_indices(value: Any, length: int | None, below: int, least: int = 0) -> bool:
    """Return whether ``value`` is int64[length] (None: of any length) with all numbers in [least, below)."""
    return (
        type(value) is np.ndarray
        and value.dtype == np.int64
        and value.ndim == 1
        and length in {None, len(value)}
        and bool(((value >= least) & (value < below)).all())
    )


def is_count(value: Any, *allowed: int) -> bool:
    """Return whether ``value`` is a whole number, of Python or NumPy, and one of ``allowed``."""
    return type(value) in {int, np.int64} and value in allowed


def is_texts(value: Any) -> bool:
    """Return whether ``value`` is a list of different str."""
    return type(value) is list and all(type(text) is str for text in value) and len(set(value)) == len(value)
