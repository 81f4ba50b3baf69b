"""NumPy files as tables."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from easeml.datamagic.reading import read, read_table
from easeml.errors import InvalidDataError

SHARED = Path(os.environ.get("EASEML_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_a_matrix_has_a_column_per_place():
    relation = read(npy(np.arange(6.0).reshape(3, 2)))
    assert [column.name for column in relation.columns] == ["value_0", "value_1"]
    assert relation.matrix().tolist() == [[0, 1], [2, 3], [4, 5]]


def test_an_archive_is_a_table_of_its_arrays():
    content = npz(x=np.eye(3), label=np.array(["a", "b", "a"]), image=np.zeros((3, 2, 2)), extra=np.arange(7))
    table = read_table(content, name="data.npz")
    assert list(table.frame.columns) == ["x_0", "x_1", "x_2", "label", "image"]
    assert "'extra' has 7 rows, not 3" in table.account.notes[0]
    relation = read(content, label="label")
    assert relation.classes == ("a", "b")
    assert {column.name: column.kind.value for column in relation.columns}["image"] == "tensor"


def test_objects_are_never_unpickled():
    with pytest.raises(InvalidDataError, match="Object arrays cannot be loaded"):
        read(npy(np.array([{}], object), allow_pickle=True))
    with pytest.raises(InvalidDataError, match="objects"):
        read(npz(x=np.array([{}], object)))


@pytest.mark.parametrize("content", [b"\x93NUMPY", npy(np.arange(9))[:-8], npz(x=np.array(1.0))])
def test_a_damaged_or_empty_file_says_so(content):
    with pytest.raises(InvalidDataError, match=r"not readable|no arrays|damaged"):
        read(content, name="a.npz" if content[:2] == b"PK" else "a.npy")


def test_the_reference_predictions_are_read():
    path = SHARED / "modelpicker" / "drift.npz"
    if not path.exists():
        assert not SHARED.exists()
        return
    relation = read(path, label="labels")
    assert (len(relation), len(relation.columns), len(relation.classes)) == (3600, 9, 6)
