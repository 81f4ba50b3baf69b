"""The numeric block types of payloads and their empty defaults."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

F64 = Annotated[NDArray[np.float64], "array<double>"]
F32 = Annotated[NDArray[np.float32], "array<float>"]
I32 = Annotated[NDArray[np.int32], "bytes<i4>"]
I64 = Annotated[NDArray[np.int64], "bytes<i8>"]


def floats() -> Any:
    """Return a dataclass field whose default is an empty float64 array."""
    return field(default_factory=lambda: np.empty(0, np.float64))


def ints() -> Any:
    """Return a dataclass field whose default is an empty int32 array."""
    return field(default_factory=lambda: np.empty(0, np.int32))


def floats32() -> Any:
    """Return a dataclass field whose default is an empty float32 array."""
    return field(default_factory=lambda: np.empty(0, np.float32))
