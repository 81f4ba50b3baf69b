"""Paths, URLs, streams and compressed files; bombs and damaged files are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from easeml.datamagic.readers import sources
from easeml.datamagic.reading import chunks, read_frame, read_sampled, read_table
from easeml.errors import InvalidDataError

CSV = b"a,b\n1,x\n2,y\n"


def zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


class Pipe(io.RawIOBase):
    """A stream that cannot go back."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._rest.readinto(buffer)


@pytest.mark.parametrize("source", [CSV, bytearray(CSV), io.BytesIO(CSV), io.StringIO(CSV.decode()), Pipe(CSV)])
def test_bytes_and_streams(source):
    assert read_frame(source)["a"].tolist() == [1, 2]


def test_a_pipe_in_chunks_and_not_in_samples():
    assert [len(part) for part in chunks(Pipe(CSV), rows=1)] == [1, 1]
    with pytest.raises(InvalidDataError, match="can be read only once"):
        read_sampled(Pipe(CSV), rng=np.random.default_rng(0))


def test_the_callers_stream_stays_open():
    stream = io.BytesIO(b"junk" + CSV)
    stream.seek(4)
    assert len(read_frame(stream)) == 2
    assert not stream.closed


def test_addresses():
    with fsspec.open("memory://readers/t.csv", "wb") as out:
        out.write(CSV)
    assert len(read_frame("memory://readers/t.csv")) == 2
    with pytest.raises(InvalidDataError, match=r"memory://host/gone\.csv cannot be opened"):
        read_frame("memory://user:secret@host/gone.csv?token=secret")


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "customers.csv").write_bytes(CSV)
    with pytest.raises(InvalidDataError, match=r"no file .*custmers\.csv.*Did you mean customers\.csv"):
        read_frame(tmp_path / "custmers.csv")
    with pytest.raises(InvalidDataError, match="A float cannot be read"):
        read_frame(1.5)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_compressed_files(tmp_path, ending, pack):
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(pack(CSV))
    assert read_frame(path)["b"].tolist() == ["x", "y"]
    rows = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * 7919 % 100_003) for n in range(30_000))
    cut = pack(rows)[:-400]
    with pytest.raises(InvalidDataError, match="damaged"):
        read_frame(cut, name=f"t.csv{ending}")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_bombs_are_refused_while_they_are_read(pack, monkeypatch):
    monkeypatch.setattr(sources, "FREE_EXPANSION", 1 << 20)
    bomb = pack(b"a,b\n" + b"1,2\n" * (1 << 20))
    with pytest.raises(InvalidDataError, match="may be a zip bomb") as caught:
        for _ in chunks(bomb, name="t.csv.gz"):
            pass
    assert caught.value.reason == "expansion"


def test_an_archive_of_one_file_is_that_file():
    assert len(read_frame(zipped(t__csv=CSV), name="t.zip")) == 2
    with pytest.raises(InvalidDataError, match=r"archive of 2 files: a\.csv, b\.csv"):
        read_frame(zipped(a__csv=CSV, b__csv=CSV), name="t.zip")


def test_archives_are_bounded_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FREE_EXPANSION", 1 << 18)
    digits = np.random.default_rng(0).integers(0, 10**9, 60_000).tolist()
    (tmp_path / "t.zip").write_bytes(zipped(t__csv=b"a,b\n" + b"".join(b"%d,1\n" % digit for digit in digits)))
    assert len(read_frame(tmp_path / "t.zip", most_expansion=4)) == 60_000
    (tmp_path / "t.zip").write_bytes(zipped(t__csv=b"a,b\n" + b"1,2\n" * (1 << 20)))
    with pytest.raises(InvalidDataError, match="may be a zip bomb"):
        read_frame(tmp_path / "t.zip")


def workbook(**extra: bytes) -> bytes:
    return zipped(**{"[Content_Types]__xml": b"<Types/>", "xl/workbook__xml": b"<x/>", **extra})


def test_workbooks_that_are_bombs_or_damaged():
    bomb = workbook(**{"xl/worksheets/sheet1__xml": bytes(100 << 20)})
    with pytest.raises(InvalidDataError, match=r"t\.xlsx may be a zip bomb: its [\d,]+ bytes declare"):
        read_frame(bomb, name="t.xlsx")
    lying = bytearray(workbook(**{"xl/worksheets/sheet1__xml": b"<sheet>" * 1000}))
    # The directory at the end and the member's own head both say 10 bytes.
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = -1
        while (at := lying.find(mark, at + 1)) >= 0:
            if struct.unpack_from("<I", lying, at + offset)[0] == 7000:
                struct.pack_into("<I", lying, at + offset, 10)
    with pytest.raises(InvalidDataError, match=r"damaged|zip bomb"):
        read_frame(bytes(lying), name="t.xlsx")
    with pytest.raises(InvalidDataError, match="not readable as xlsx"):
        read_frame(workbook(), name="t.xlsx")
    with pytest.raises(InvalidDataError, match="damaged archive"):
        read_frame(workbook()[:60], name="t.xlsx")
    with pytest.raises(InvalidDataError, match="is no workbook or document"):
        read_frame(CSV, name="t.xlsx")


def test_documents_that_are_bombs():
    bomb = zipped(**{"[Content_Types]__xml": b"<Types/>", "word/document__xml": bytes(100 << 20)})
    with pytest.raises(InvalidDataError, match="zip bomb"):
        read_frame(bomb, name="t.docx")


def test_options_are_checked():
    with pytest.raises(InvalidDataError, match="Unknown option 'delimeter'"):
        read_table(CSV, delimeter=";")
    with pytest.raises(InvalidDataError, match="Unknown format 'cvs'"):
        read_table(CSV, format="cvs")
    with pytest.raises(InvalidDataError, match="delimiter='ab' is not possible"):
        read_table(CSV, delimiter="ab")
    with pytest.raises(InvalidDataError, match="unknown ending"):
        read_table(CSV, name="t.exe")
    seen = []
    read_table(CSV, progress=lambda done, total, what: seen.append((done, total, what)))
    assert seen == [(len(CSV), len(CSV), "bytes")]
