"""Text tables: how they are written is found out, and what is wrong in them is named by line."""

from __future__ import annotations

import csv
import io
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from easeml.datamagic.readers.encodings import Text
from easeml.datamagic.readers.torn import joined, torn_columns
from easeml.datamagic.reading import Account, chunks, read, read_frame, read_sampled, read_table
from easeml.errors import InvalidDataError


def table(text: str | bytes, **options):
    content = text.encode() if isinstance(text, str) else text
    return read_table(content, name="t.csv", **options)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,x;y\n2,z\n", "comma"),
        ("a;b\n1,5;2,5\n3,5;4,5\n", "semicolon"),
        ("a\tb\n1\t2\n", "tab"),
        ("a|b|c\n1|2|x,y\n", "bar"),
        ('text,label\n"so, so; and so",1\n"a; b",0\n', "comma"),
    ],
)
def test_delimiters(text, delimiter):
    read = table(text)
    assert read.account.facts["delimiter"] == delimiter
    assert all("," not in name for name in read.frame.columns)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("age,plan\n31,pro\n", ["age", "plan"]),
        ("31,pro\n2,basic\n", ["column_1", "column_2"]),
        ("country,2019,2020\nCH,5,9\nDE,7,3\n", ["country", "2019", "2020"]),
        ("0,1,k\n0.5,3,a\n0.1,2,b\n", ["0", "1", "k"]),
        ("a,b\nx,y\n", ["a", "b"]),
        ("# made by hand\n#x,y\n1,2\n", ["x", "y"]),
        ("Report of May\n\nx,y,z\n1,2,3\n4,5,6\n", ["x", "y", "z"]),
        ("Report of May,,\nx,y,z\n1,2,3\n4,5,6\n", ["x", "y", "z"]),
        ("a,b,\n1,2,\n3,4,\n", ["a", "b"]),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"]),
        ("a,,c\n1,2,3\n4,9,6\n", ["a", "column_2", "c"]),
        (" a , b \n1, 2\n", ["a", "b"]),
        ("sep=;\na;b\n1;2\n", ["a", "b"]),
        ("Sales;;;\n\na;b;c;d;e\n1;2;3;4;5\n6;7;8;9;10\n", ["a", "b", "c", "d", "e"]),
    ],
)
def test_headers(text, names):
    assert list(table(text).frame.columns) == names


def test_a_header_can_be_told():
    assert list(table("1,2\n3,4\n", header=True).frame.columns) == ["1", "2"]
    assert len(table("a,b\nx,y\n", header=False).frame) == 2


def test_values_stay_what_they_are():
    frame = table("zip;price;code;when;ok\n01234;1,50;7;01/02/2024;true\n99999;2;NA;03/02/2024;false\n").frame
    assert frame["zip"].tolist() == ["01234", "99999"]
    assert frame["price"].tolist() == [1.5, 2.0]
    assert frame["code"].tolist() == ["7", "NA"]
    assert frame["ok"].dtype == bool


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.sampled_from(".,"))
def test_numbers_are_read_exactly_and_without_a_warning(values, decimal):
    # Halfway between two doubles lies what a fast conversion of decimals rounds wrongly.
    words = [*map(repr, values), "9007199254740993.0", "2.4703282292062328e-324", "1.7976931348623158e308"]
    content = "x;y\n" + "".join(f"{word.replace('.', decimal)};a\n" for word in words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells = table(content).frame["x"]
    assert cells.tolist() == [float(word) for word in words]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n3,4,5\n", r"t\.csv, line 3: 3 fields, but the header has 2"),
        ("a,b,c\n1,2,3\n3,4\n", r"line 3: 2 fields, but the header has 3"),
        ('a,b,c\n"1\n1",2,3\n\n3,4\n', r"line 5: 2 fields"),
        ('a,b\n1,"x\n2,y\n3,z\n', r"line 2: a quote opens here and never closes"),
        ('a,b\n1,"x"y\n', r"line 2: a letter follows a closing quote"),
        ("a,b,a\n1,2,3\n", r"columns 1 and 3 are both named 'a'"),
        (
            "a,b,a,b,c,a\n1,2,3,4,5,6\n",
            r"columns 1, 3 and 6 are all named 'a', columns 2 and 4 are both named 'b'\.",
        ),
        (",".join(f"c{place // 2}" for place in range(24)) + "\n", r"columns 19 and 20 .* 'c9', and 2 more names\."),
        ("a,b\n1,\x002\n", r"line 2: a NUL byte"),
        ("a,b\n", r"has no rows"),
        ("", r"has no rows"),
        ('"a,b\n1,2\n3,4\n', r"line 1: a quote opens here and never closes"),
        ("a,b\n'x,y',1\n", r"line 2: 3 fields, but the header has 2"),
        ("a,b\r\n1,2\r3,4\r\n", r"line 2: new-line character"),
        ("a\tb\n1\tx\\ty\n2\n", r"line 3: 1 field, but the header has 2"),
    ],
)
def test_bad_tables_are_named_by_line(text, match):
    with pytest.raises(InvalidDataError, match=match):
        table(text)


def test_mixed_encodings_name_the_line_and_the_byte():
    utf8, latin = "name,n\nZoë,1\n".encode(), "Jérôme,2\n".encode("latin-1")
    with pytest.raises(InvalidDataError, match=r"line 3: byte 0xe9 \(at 15\) is not UTF-8.*mixes encodings"):
        table(utf8 + latin)
    with pytest.raises(InvalidDataError, match=r"line 4: byte 0xc3 .* is UTF-8, and other letters"):
        table("name,n\nJérôme,2\nAnn,1\n".encode("latin-1") + "Zoë,1\n".encode())
    with pytest.raises(InvalidDataError, match=r"line 3: byte 0xe9 .* does not fit the encoding utf-8"):
        table(utf8 + latin, encoding="utf-8")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "name\nZoë\nJérôme\n"),
        ("utf-16", "name\nZoë\nJérôme\n"),
        ("utf-32", "name\nZoë\nJérôme\n"),
        ("cp1252", "name\nZoë – “so”\nJérôme\n"),
        ("cp1251", "имя\nИван Петрович живёт в Москве\nМария Ивановна работает в библиотеке\n"),
        ("utf-16-le", "name,city\nZoe,Bern\nAnn,Basel\n"),
    ],
)
def test_encodings(encoding, text):
    frame = table(text.encode(encoding)).frame
    first, *rest = text.splitlines()
    assert [",".join(row) for row in frame.astype(str).to_numpy().tolist()] == rest
    assert ",".join(frame.columns) == first


def test_an_encoding_is_told_by_more_than_its_first_letters():
    lines = ["name", "Zoe", "Łódź", *["Zażółć gęślą jaźń, ściółka łąk i źdźbło"] * 40]
    stream = io.BytesIO("\n".join(lines).encode("cp1250"))
    assert "".join(block.decode() for block in Text(stream, "t.csv", block=12)) == "\n".join(lines)


def test_an_encoding_can_be_told():
    assert table("stadt\nZürich\n".encode("cp437"), encoding="cp437").frame["stadt"].tolist() == ["Zürich"]
    with pytest.raises(InvalidDataError, match="Unknown encoding 'utf8000'"):
        table("a\n1\n", encoding="utf8000")


def test_good_rows_go_on_where_bad_ones_are_collected():
    text = 'a,b\n1,x\n2\n3,"open\n4,y\n5,z,z\n6,"w""w"\n'
    account = Account("t")
    frames = list(chunks(text.encode(), name="t.csv", rows=2, on_error="collect", account=account))
    assert [frame.index.tolist() for frame in frames] == [[2, 5], [7]]
    assert [reject.place for reject in account.rejects] == ["line 3", "line 4", "line 6"]
    assert (account.rejected, account.rows) == (3, 3)


def test_old_line_ends_and_empty_rows():
    assert table("a,b\r1,2\r3,4\r").frame.to_numpy().tolist() == [[1, 2], [3, 4]]
    read = table("a,b\n1,2\n,\n3,4\n")
    assert read.frame.index.tolist() == [2, 4]
    assert "rows without any value left out" in read.account.notes


def test_comments():
    assert table("a,b\n1,2\n% no\n3,4\n", comment="%").frame.index.tolist() == [2, 4]


def test_a_column_is_of_one_type_in_all_parts():
    lines = "n,w\n" + "1.50,a\n" * 120_000 + "none,b\n"
    frame = read_frame(lines.encode(), name="t.csv")
    assert frame["n"].iloc[0] == "1.50"
    assert frame["n"].iloc[-1] == "none"


numbers = st.sampled_from(["1", "-2", "1.5", "0.25", "1e3", ""])
codes = st.sampled_from(["007", "01", "12", ""])
truths = st.sampled_from(["True", "False", ""])
words = st.sampled_from(["a", "b c", "", "n/a", "12"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(numbers, codes, truths, words, st.one_of(numbers, truths, words)), min_size=1, max_size=12))
def test_a_file_reads_the_same_in_pieces_of_any_size(rows):
    content = ("n,c,t,w,m\n" + "".join(",".join(row) + "\n" for row in rows)).encode()
    if not b"".join(content.split(b"\n")[1:]).strip(b","):
        return
    whole = read_frame(content, name="t.csv", header=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Text.__init__.__kwdefaults__, "block", 16)
        pd.testing.assert_frame_equal(read_frame(content, name="t.csv", header=True), whole)


def test_words_stay_words_beside_parts_without_any():
    parts = [pd.DataFrame({"w": pd.Series(["a"], dtype="str")}), pd.DataFrame({"w": [np.nan]})]
    assert not torn_columns(parts)
    assert joined(parts)["w"].dtype == "str"


def test_large_unsigned_numbers_are_not_rounded_beside_signed_ones():
    parts = [pd.DataFrame({"n": [1]}), pd.DataFrame({"n": np.array([2**63 + 1], np.uint64)})]
    assert torn_columns(parts) == {"n"}


def test_chunks_are_of_the_size_asked_for_and_together_the_file():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=5000), "t": ['say "hi"\nyou', "b", "c", "d,e"] * 1250})
    content = rows.to_csv(index=False).encode()
    parts = list(chunks(content, name="t.csv", rows=700))
    assert [len(part) for part in parts] == [700] * 7 + [100]
    whole = pd.concat(parts)
    assert whole["x"].tolist() == rows["x"].tolist()
    assert whole["t"].tolist() == rows["t"].tolist()


def test_a_target_that_does_not_exist_names_those_that_look_like_it():
    content = b"age,churned,plan\n1,yes,a\n2,no,b\n"
    with pytest.raises(InvalidDataError, match=r"no label column 'chruned'. Did you mean 'churned'\? Columns are age"):
        read(content, name="t.csv", label="chruned")
    with pytest.raises(InvalidDataError, match="no id column 'id'"):
        read(content, name="t.csv", id_column="id")


@pytest.mark.parametrize("clean", [True, False])
def test_a_file_without_the_label_column_is_of_unlabelled_rows_where_the_classes_are_told(clean):
    relation = read(b"age,plan\n31,pro\n45,basic\n", label="churned", classes=("no", "yes"), clean=clean)
    assert (relation.label, relation.classes, relation.labels.tolist()) == ("churned", ("no", "yes"), [-1, -1])
    assert [column.name for column in relation.columns] == ["age", "plan"]


def test_ids_are_texts_and_each_rows_own():
    relation = read(b"key,x\n007,1\n8,2\n", name="t.csv", id_column="key")
    assert relation.row_ids == ("007", "8")
    with pytest.raises(InvalidDataError, match=r"line 2 and line 4: both have the id 'a'"):
        read(b"key,x\na,1\nb,2\na,3\n", name="t.csv", id_column="key")
    with pytest.raises(InvalidDataError, match=r"line 3, column 'key': no id"):
        read(b"key,x\na,1\n,2\n", name="t.csv", id_column="key")


def test_rows_without_ids_are_called_by_their_content():
    first, second = (read(b"x,k\n1,a\n2,b\n1,a\n", name="t.csv", label="k") for _ in range(2))
    assert first.row_ids == second.row_ids
    assert first.row_ids[2] == f"{first.row_ids[0]}-1"


def test_messy_columns_end_in_a_relation():
    lines = ["when,amount,empty,code,many,y"]
    dates = ["2024-01-31", "31.01.2024", "31/01/2024"]
    lines += [f"{dates[n % 3]},{n if n != 50 else 'oops'},,{n:05d},v{n},{'ab'[n % 2]}" for n in range(10_000)]
    relation = read("\n".join(lines).encode(), name="t.csv", label="y")
    kinds = {column.name: column.kind.value for column in relation.columns}
    assert kinds["when"] == "datetime"
    assert kinds["amount"] == "numeric"
    assert np.isnan(relation.features()["amount"].iloc[50])
    assert relation.features()["empty"].isna().all()
    assert len(relation) == 10_000


def test_a_sample_knows_every_category_and_reads_the_rest_alike():
    rng = np.random.default_rng(1)
    kinds = np.where(np.arange(30_000) == 17, "rare", rng.choice(["a", "b"], 30_000))
    labels = rng.choice(["no", "yes"], 30_000)
    frame = pd.DataFrame({"x": rng.normal(size=30_000).round(3), "kind": kinds, "y": labels})
    frame.loc[5, "x"] = np.nan
    content = frame.to_csv(index=False, na_rep="n/a").encode()
    sample = read_sampled(content, name="t.csv", label="y", rows=500, rng=np.random.default_rng(2))
    assert sample.rows == 30_000
    assert 500 <= len(sample.frame) <= 510
    assert sample.schema["kind"].categories == ("a", "b", "rare")
    relations = list(sample.relations(8_000))
    assert [len(part) for part in relations] == [8_000, 8_000, 8_000, 6_000]
    assert {part.columns for part in relations} == {relations[0].columns}
    assert relations[0].row_ids[0] == "line-2"
    assert np.isnan(relations[0].features()["x"].iloc[5])


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_is_read_back(rows, delimiter, quoting, end):
    # Backslash escapes between tabs are a database's copy, and read as such.
    assume(delimiter != "\t" or not any("\\" in cell for row in rows for cell in row))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["one", "two", "three"])
    writer.writerows(rows)
    wanted = [row for row in rows if any(cell not in ("", r"\N") for cell in row)]
    if not wanted:
        return
    read = read_frame(
        out.getvalue().encode(), name="t.csv", delimiter=delimiter, header=True, encoding="utf-8",
        text=frozenset({"one", "two", "three"}),
    )  # fmt: skip
    got = [["" if pd.isna(cell) else cell for cell in row] for row in read.to_numpy(object).tolist()]
    assert got == [["" if cell == r"\N" else cell for cell in row] for row in wanted]
