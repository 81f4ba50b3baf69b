"""Large text tables are cut where the reader of records would end one."""

import io
import random

import numpy as np
import pytest

from easeml.datamagic import reading
from easeml.datamagic.ingestion import slices
from easeml.datamagic.ingestion.records import last_end
from easeml.datamagic.ingestion.slices import Place
from easeml.datamagic.readers.account import Account, Dialect, Options
from easeml.datamagic.readers.records import Records

COMMA = Dialect(",", ".", spaced=False, escaped=False, names=(), width=2, skip=0, before=0, comment="")


def starts(text):
    """Return where the reader of records begins one, each broken line included."""
    account, options = Account("x"), Options(on_error="collect")
    found = [place for piece in Records(iter([text]), COMMA, options, account) for place in piece.lines.tolist()]
    lines = [*found, *(int(reject.place.split()[1]) for reject in account.rejects)]
    ends = [0, *(place + 1 for place, letter in enumerate(text) if letter == 10)]
    return {ends[line - 1] for line in lines}


def test_every_end_is_one_of_the_reader():
    rng = random.Random(1)
    for _ in range(3000):
        text = "".join(rng.choices(["a", '"', ",", "\n", '","', '"\n', '\n"'], k=rng.randrange(1, 14))).encode()
        text += b"\n1,2\n"
        end = last_end(text, COMMA)
        assert end == len(text) or end in {0, *starts(text)}, text


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b'1,5" pipe\n2,3\n4', 14),
        (b'1,"a\nb"\n2,"c\nd","e', 8),
        (b'"a\nb","c\nd', 0),
        (b'1,"a ""b"" c"\n2', 14),
        (b'1,""\n2,"', 5),
    ],
)
def test_quotes_open_at_the_start_of_a_field_only(text, end):
    assert last_end(text, COMMA) == end


def test_database_copies_have_no_quotes_but_escapes():
    copy = Dialect("\t", ".", spaced=False, escaped=True, names=(), width=2, skip=0, before=0, comment="")
    assert last_end(b'1\t"a\n2\tb\\\nc\n3\td\\\ne', copy) == 12
    assert last_end(b"1\\\n", copy) == 0


def test_a_quote_that_never_closes_costs_one_line():
    text = b'1,2\n3,"open\n' + b"5,6\n" * 12_000
    assert last_end(text, COMMA) == len(text)


@pytest.mark.parametrize("row", [b'1,"a"b\n', b'1,"a\n', b'"""x","",\n', b'1,5"\n', b'1,"a""\n'])
def test_astray_quotes_are_looked_at_once(row):
    text = row * 30_000
    assert last_end(text, COMMA) >= 0


def test_slices_of_a_table_are_its_rows(tmp_path):
    rng = np.random.default_rng(0)
    values = ['5" pipe', '"two\nlines"', '"a ""b"""', "plain", '"torn', '"x"y']
    lines = [f"{place},{values[code]}" for place, code in enumerate(rng.integers(0, 6, 400))]
    text = ("A report of the shop\n\nplace,what\n" + "\n".join(lines) + "\n").encode()
    whole = reading.read_table(text, name="t.csv", text=frozenset({"what"}), on_error="collect")
    file, place, parts, rejected = io.BytesIO(text), Place(encoding="utf-8"), [], 0
    dialect = slices.dialect_of(file, "csv", "t.csv", "utf-8")
    assert dialect.names == ("place", "what")
    while True:
        piece = slices.cut(file, len(text), "csv", place, 700, dialect=dialect)
        written = dialect if place.offset == 0 else Dialect(**{**_fields(dialect), "skip": 0, "before": 0})
        table = reading.read_table(
            piece.content, name="t.csv", text=frozenset({"what"}), on_error="collect", dialect=written
        )
        parts += list(zip(table.frame["place"], table.frame["what"], strict=True))
        rejected += table.account.rejected
        if piece.last:
            break
        place = piece.end
    assert parts == list(zip(whole.frame["place"], whole.frame["what"], strict=True))
    assert rejected == whole.account.rejected > 0


def _fields(dialect):
    return {name: getattr(dialect, name) for name in Dialect.__slots__}
