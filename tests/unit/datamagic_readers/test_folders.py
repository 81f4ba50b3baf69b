"""Folders of texts and of images, one sub-folder per class."""

from __future__ import annotations

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from easeml.datamagic.reading import read, read_table
from easeml.errors import InvalidDataError
from easeml.stream.payloads import ColumnKind


@pytest.fixture
def texts(tmp_path):
    for label, words in {"ham": ["hello", "Grüezi"], "spam": ["buy now", "win!"]}.items():
        (tmp_path / label).mkdir()
        for place, text in enumerate(words):
            (tmp_path / label / f"{place}.txt").write_bytes(text.encode("latin-1"))
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    return tmp_path


def test_texts(texts):
    relation = read(texts)
    assert (relation.label, relation.classes) == ("label", ("ham", "spam"))
    assert relation.row_ids == ("ham/0.txt", "ham/1.txt", "spam/0.txt", "spam/1.txt")
    assert relation.frame()["text"].tolist() == ["hello", "Grüezi", "buy now", "win!"]
    assert read(texts, label="kind").label == "kind"


def test_documents_among_texts(texts, formats):
    shutil.copy(formats / "chromium_two_pages.pdf", texts / "ham" / "a.pdf")
    shutil.copy(formats / "libreoffice_writer.docx", texts / "spam" / "b.docx")
    (texts / "spam" / "c.png").write_bytes(b"x")
    table = read_table(texts)
    assert table.frame.loc["ham/a.pdf", "text"] == "The service was quick.\n\nThe second page."
    assert table.account.notes == ["1 files of other kinds passed over (.png)"]


def test_texts_without_classes_and_strays(texts, tmp_path_factory):
    flat = tmp_path_factory.mktemp("flat")
    (flat / "a.txt").write_text("one")
    assert list(read_table(flat).frame.columns) == ["text"]
    (texts / "stray.txt").write_text("x")
    with pytest.raises(InvalidDataError, match=r"stray\.txt: lies beside the folders"):
        read_table(texts)
    assert read_table(texts, on_error="collect").account.rejected == 1


def test_folders_of_something_else(tmp_path):
    with pytest.raises(InvalidDataError, match="no texts and no images"):
        read_table(tmp_path)
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(InvalidDataError, match=r"a folder of tables: a\.csv"):
        read_table(tmp_path)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for place in range(3):
            pixels = rng.integers(0, 256, (6, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{place}.png")
    return tmp_path


def test_images(images):
    relation = read(images)
    (column,) = relation.columns
    assert (column.kind, column.shape) == (ColumnKind.TENSOR, (6, 4))
    assert relation.classes == ("cat", "dog")
    first = np.asarray(Image.open(images / "cat" / "0.png")) / 255
    np.testing.assert_array_equal(relation.frame()["image"].iloc[0], first)
    Image.new("RGB", (4, 6), "red").save(images / "cat" / "9.jpg")
    assert read(images).columns[0].shape == (6, 4, 3)


def test_images_of_several_sizes(images):
    Image.new("L", (5, 5)).save(images / "dog" / "9.png")
    with pytest.raises(InvalidDataError, match=r"cat/0\.png has 6 x 4 pixels and dog/9\.png has 5 x 5.*size"):
        read(images)
    assert read(images, size=(8, 8)).columns[0].shape == (8, 8)


def png(width: int, height: int) -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def test_images_that_are_bombs_or_broken(images):
    (images / "dog" / "big.png").write_bytes(png(60_000, 60_000))
    with pytest.raises(InvalidDataError, match=r"dog/big\.png"):
        read(images)
    (images / "dog" / "big.png").unlink()
    (images / "dog" / "cut.png").write_bytes((images / "dog" / "0.png").read_bytes()[:-40])
    (images / "dog" / "none.png").write_bytes(b"no image")
    with pytest.raises(InvalidDataError, match=r"dog/none\.png"):
        read(images)
    table = read_table(images, on_error="collect")
    assert len(table.frame) == 6
    assert sorted(reject.place for reject in table.account.rejects) == ["dog/cut.png", "dog/none.png"]
