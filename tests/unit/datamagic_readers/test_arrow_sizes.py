"""Arrow files tell what they become before they are decompressed."""

import io

import numpy as np
import pandas as pd
import pytest

from easeml.datamagic.readers import decoding
from easeml.datamagic.readers.arrow_sizes import sizes
from easeml.datamagic.reading import chunks
from easeml.errors import InvalidDataError

pa = pytest.importorskip("pyarrow")
from pyarrow import ipc  # noqa: E402 - an extra


def written(table, form, compression, rows=1000):
    target = io.BytesIO()
    options = ipc.IpcWriteOptions(compression=compression)
    with getattr(ipc, form)(target, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return target.getvalue()


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=5000), "z": np.zeros(5000), "w": rng.choice(["a", "b"], 5000)})
    frame["c"] = frame["w"].astype("category")
    frame.loc[::7, "w"] = None
    return pa.Table.from_pandas(frame)


@pytest.mark.parametrize("form", ["new_file", "new_stream"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_the_sizes_are_those_of_the_decompressed_batches(table, form, compression):
    content = written(table, form, compression)
    found = [size for size in sizes(io.BytesIO(content)) if size]
    stored = ipc.open_file(content) if form == "new_file" else ipc.open_stream(content)
    batches = stored.read_all().to_batches()
    assert len(found) >= len(batches)
    plain = sum(column.nbytes for batch in batches for column in batch.columns)
    assert 0.9 * plain < sum(found) < 1.2 * plain + 10_000


@pytest.mark.parametrize("form", ["new_file", "new_stream"])
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_bomb_is_refused_before_it_is_decompressed(monkeypatch, form, compression):
    monkeypatch.setattr(decoding, "FREE", 1 << 20)
    bomb = written(pa.table({"x": np.zeros(1 << 20)}), form, compression, rows=1 << 20)
    assert len(bomb) < (8 << 20) / 200
    monkeypatch.setattr(ipc, "open_file", None)
    monkeypatch.setattr(ipc, "open_stream", None)
    with pytest.raises(InvalidDataError, match="may be a bomb") as caught:
        list(chunks(bomb, name="t.arrow"))
    assert caught.value.reason == "expansion"


@pytest.mark.parametrize("form", ["new_file", "new_stream"])
def test_damaged_messages_are_refused(table, form):
    content = written(table, form, "zstd")
    rng = np.random.default_rng(1)
    assert sum(len(part) for part in chunks(content, name="t.arrow")) == 5000
    for _ in range(150):
        cut = content[: rng.integers(8, len(content))]
        spoilt = bytearray(content)
        spoilt[int(rng.integers(8, 400))] ^= 0xFF
        for damaged in (cut, bytes(spoilt)):
            try:
                list(chunks(damaged, name="t.arrow"))
            except InvalidDataError:
                continue
