"""Columnar files are no bombs: what they become is counted before it is written out."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easeml.datamagic import reading
from easeml.datamagic.ingestion import slices
from easeml.datamagic.ingestion.slices import Place
from easeml.datamagic.readers import decoding
from easeml.errors import InvalidDataError


def parquet(table, **options):
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    return file.getvalue()


@pytest.mark.parametrize("store_schema", [True, False])
def test_a_word_that_every_row_names_is_no_bomb(store_schema):
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["x" * 50_000]))
    content = parquet(pa.table({"s": words}), store_schema=store_schema)
    assert len(content) < 10_000
    with pytest.raises(InvalidDataError, match="bytes become more than") as raised:
        reading.read_table(content, name="a.parquet", text=frozenset({"s"}))
    assert raised.value.reason == "expansion"


def test_a_table_with_repeated_words_is_read_as_it_is():
    table = pd.DataFrame(
        {"s": ["é", "b", None] * 1000, "n": np.arange(3000.0), "c": pd.Categorical(["u", "v", "w"] * 1000)}
    )
    read = reading.read_frame(parquet(pa.Table.from_pandas(table)), name="a.parquet")
    assert read["s"].fillna("-").tolist() == table["s"].fillna("-").tolist()
    assert isinstance(read["c"].dtype, pd.CategoricalDtype)


def test_a_huge_row_group_is_cut_within(monkeypatch):
    monkeypatch.setattr(decoding, "BATCH_BYTES", 4000)
    table = pa.table({"s": [f"word {place % 7}" for place in range(1000)], "n": list(range(1000))})
    content = parquet(table)
    place, rows, count = Place(), [], 0
    while True:
        piece = slices.cut(io.BytesIO(content), len(content), "parquet", place)
        rows += reading.read_frame(piece.content, name="a.parquet")["n"].tolist()
        count += 1
        if piece.last:
            break
        place = piece.end
    assert rows == list(range(1000))
    assert count > 3


def test_slices_keep_the_types_of_their_file():
    table = pd.DataFrame({"c": pd.Categorical(["u", "v"] * 50), "s": ["a", "b"] * 50})
    content = parquet(pa.Table.from_pandas(table))
    piece = slices.cut(io.BytesIO(content), len(content), "parquet", Place())
    assert piece.last
    pd.testing.assert_frame_equal(
        reading.read_frame(piece.content, name="a.parquet"), reading.read_frame(content, name="a.parquet")
    )
