"""Columnar files are no bombs: what they become is counted before it is written out."""

import io
from itertools import chain, islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easeml.datamagic import reading
from easeml.datamagic.ingestion import row_groups, slices
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


NUMBERED = pa.table({"s": [f"word {place % 7}" for place in range(1000)], "n": list(range(1000))})


@pytest.fixture
def decoded(monkeypatch):
    """Return the sizes of the batches that have been decoded, of small slices."""
    monkeypatch.setattr(decoding, "BATCH_BYTES", 1000)
    row_groups.forget()
    original, sizes = decoding.batches, []

    def batches(*given):
        for batch in original(*given):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(decoding, "batches", batches)
    return sizes


def slices_of(content, place):
    """Yield the numbers in each slice of a file; the file is opened for each anew, as a job does."""
    while True:
        with io.BytesIO(content) as file:
            piece = slices.cut(file, len(content), "parquet", place)
        yield pq.read_table(io.BytesIO(piece.content))["n"].to_pylist()
        if piece.last:
            return
        place = piece.end


@pytest.mark.parametrize("groups", [1000, 300])
def test_a_huge_row_group_is_cut_within_and_decoded_once(decoded, groups):
    parts = list(slices_of(parquet(NUMBERED, row_group_size=groups), Place(stamp="file")))
    assert list(chain(*parts)) == list(range(1000))
    assert len(parts) > 5
    assert sum(decoded) == 1000


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_two_files_in_turn_are_decoded_once_and_no_third_is_kept(decoded, names):
    content = parquet(NUMBERED)
    turns = list(zip(*(slices_of(content, Place(stamp=name)) for name in names), strict=True))
    for parts in zip(*turns, strict=True):
        assert list(chain(*parts)) == list(range(1000))
    assert sum(decoded) == 2000 if names == "ab" else sum(decoded) > 10_000


def test_slices_are_the_same_wherever_a_process_begins_and_whatever_it_has_read(decoded):
    content = parquet(NUMBERED)
    whole = list(slices_of(content, Place(stamp="file")))
    ends = np.cumsum([0, *map(len, whole)]).tolist()
    for at in (3, 1, 2, 2, 4):  # further on, back, on, again, beyond one that another process has read
        part = next(slices_of(content, Place(offset=ends[at], stamp="file")))
        assert part == whole[at]
    odd = list(slices_of(content, Place(offset=ends[1] + 3, stamp="other")))
    assert list(chain(*odd)) == list(range(ends[1] + 3, 1000))


def test_a_damaged_row_group_is_told_whichever_slice_meets_it(decoded):
    content = bytearray(parquet(NUMBERED.select(["n"]), row_group_size=500))
    at = pq.read_metadata(io.BytesIO(content)).row_group(1).column(0).data_page_offset
    content[at : at + 64] = bytes(64)
    found = []
    with pytest.raises(InvalidDataError, match="Parquet file is not readable"):
        for part in slices_of(bytes(content), Place(stamp="file")):
            found += part
    assert found == list(range(500))


def test_a_row_group_that_ends_too_early_ends_the_file(monkeypatch):
    original = decoding.batches
    monkeypatch.setattr(decoding, "batches", lambda *given: islice(original(*given), 2))
    monkeypatch.setattr(decoding, "BATCH_BYTES", 1000)
    with pytest.raises(InvalidDataError, match="of 1,000 is missing"):
        list(slices_of(parquet(NUMBERED), Place(stamp="short")))


def test_a_huge_row_group_is_not_held_as_it_is_stored(monkeypatch):
    monkeypatch.setattr(decoding, "BATCH_BYTES", 80_000)
    numbers = pa.table({"n": np.random.default_rng(0).normal(size=100_000)})
    content, asked = parquet(numbers, use_dictionary=False, data_page_size=40_000), []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    place = Place()
    while place.offset < 50_000:
        place = slices.cut(Watched(content), len(content), "parquet", place).end
    assert max(asked) < len(content) / 4


def test_slices_keep_the_types_of_their_file():
    table = pd.DataFrame({"c": pd.Categorical(["u", "v"] * 50), "s": ["a", "b"] * 50})
    content = parquet(pa.Table.from_pandas(table))
    piece = slices.cut(io.BytesIO(content), len(content), "parquet", Place())
    assert piece.last
    pd.testing.assert_frame_equal(
        reading.read_frame(piece.content, name="a.parquet"), reading.read_frame(content, name="a.parquet")
    )
