"""Relations of all kinds go through Arrow, Parquet and pandas and come back bit by bit; rendering never fails."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from easeml.relation import Relation
from easeml.relation.alternatives import Alternatives
from easeml.relation.arrow import read_parquet, relation_of, table_of, write_parquet
from easeml.relation.block import Block
from easeml.relation.candidates import Candidates
from easeml.relation.columns import width
from easeml.relation.origin import from_pandas, to_pandas
from easeml.relation.rendering import html_of, text_of_relation
from easeml.stream.payloads import Column, ColumnKind

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "\x1b[31mred",
        "\u202eevil",
        "row_id",
        "a.b",
        "'&amp;",
    ]
)
NAMES = TEXT | st.sampled_from(["__candidates__", "__alternatives__", "row_id", "label", "_row_id"])
NUMBERS = st.floats(allow_infinity=False) | st.sampled_from([np.nan, -0.0, 0.0, 1e300, -5e-324])
SECONDS = st.floats(-6e10, 2.5e11) | st.just(np.nan) | st.integers(-(10**15), 7 * 10**15).map(lambda ticks: ticks / 1e6)
IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
KINDS = st.sampled_from(list(ColumnKind))


@st.composite
def column_of(draw, name):
    kind = draw(KINDS)
    categories = draw(st.lists(TEXT, max_size=4, unique=True)) if kind is ColumnKind.CATEGORICAL else ()
    shape = draw(st.lists(st.integers(0, 3), max_size=3)) if kind is ColumnKind.TENSOR else ()
    return Column(name, kind, tuple(categories), tuple(shape))


def cell_of(column):
    return {
        ColumnKind.NUMERIC: NUMBERS,
        ColumnKind.DATETIME: SECONDS,
        ColumnKind.BOOLEAN: st.integers(-1, 1),
        ColumnKind.CATEGORICAL: st.integers(-1, len(column.categories) - 1),
        ColumnKind.TEXT: st.none() | TEXT,
        ColumnKind.TENSOR: NUMBERS,
    }[column.kind]


def draw_cells(draw, columns, row_ids):
    rows = len(row_ids)
    parts = {"numeric": [], "codes": [], "texts": [], "tensor": []}
    for column in columns:
        size = width(column)
        cells = draw(st.lists(cell_of(column), min_size=rows * size, max_size=rows * size))
        part, dtype = {
            ColumnKind.NUMERIC: ("numeric", float),
            ColumnKind.DATETIME: ("numeric", float),
            ColumnKind.TEXT: ("texts", object),
            ColumnKind.TENSOR: ("tensor", float),
        }.get(column.kind, ("codes", np.int32))
        parts[part].append(np.array(cells, dtype).reshape(rows, size))
    joined = [
        np.concatenate([np.empty((rows, 0), dtype), *parts[part]], axis=1)
        for part, dtype in (("numeric", float), ("codes", np.int32), ("texts", object), ("tensor", float))
    ]
    return Block(columns, row_ids, *joined, np.full(rows, -1, np.int32), Candidates())


@st.composite
def relations(draw, least=0):
    names = draw(st.lists(NAMES, max_size=5, unique=True))
    label = draw(st.none() | NAMES.filter(lambda name: name not in names))
    columns = tuple(draw(column_of(name)) for name in names)
    classes = tuple(draw(st.lists(TEXT, min_size=1, max_size=9, unique=True))) if label is not None else ()
    row_ids = tuple(draw(st.lists(IDS, min_size=least, max_size=6, unique=True)))
    block = draw_cells(draw, columns, row_ids)
    labels = draw(st.lists(st.integers(-1, len(classes) - 1), min_size=len(row_ids), max_size=len(row_ids)))
    block = replace(block, labels=np.array(labels, np.int32))
    joint = [row for row in range(len(row_ids)) if columns and draw(st.booleans())]
    if joint:
        owner = np.repeat(joint, 2)
        sources = np.array(draw(st.lists(st.integers(0, 1), min_size=len(owner), max_size=len(owner))))
        other = draw_cells(draw, columns, tuple(row_ids[row] for row in owner))
        priors = np.tile([0.3, 0.7], len(joint))
        block = replace(block, alternatives=Alternatives(owner, priors, sources, ("b/1", "a"), other).sort())
    return Relation(
        replace(block, candidates=draw(candidates(columns, classes, len(row_ids), joint))), label=label, classes=classes
    )


@st.composite
def candidates(draw, columns, classes, rows, joint):
    texts = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    sources = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    values = {-1: st.integers(0, len(classes) - 1)} if classes else {}
    for place, column in enumerate(columns):
        size = {ColumnKind.BOOLEAN: 2, ColumnKind.TEXT: len(texts), ColumnKind.CATEGORICAL: len(column.categories)}
        if column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
            values[place] = st.floats(allow_nan=False, allow_infinity=False)
        elif size.get(column.kind, 0):
            values[place] = st.integers(0, size[column.kind] - 1)
    cells = [(row, column) for row in range(rows) for column in values if column < 0 or row not in joint]
    lines = []
    for row, column in draw(st.lists(st.sampled_from(cells), max_size=6, unique=True)) if cells else []:
        weights = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        lines += [
            (row, column, draw(values[column]), weight / sum(weights), draw(st.integers(0, len(sources) - 1)))
            for weight in weights
        ]
    row, column, value, probability, source = zip(*lines, strict=True) if lines else [()] * 5
    return Candidates(
        np.array(row, np.int64),
        np.array(column, np.int64),
        np.array(value, float),
        np.array(probability, float),
        np.array(source, np.int64),
        tuple(texts),
        tuple(sources),
    ).sort()


def same(back, relation):
    assert back.content_hash() == relation.content_hash()
    assert (back.columns, back.classes, back.label) == (relation.columns, relation.classes, relation.label)
    assert back.row_ids == relation.row_ids
    assert back.entropy().total == relation.entropy().total
    draws = [one.sample_world(np.random.default_rng(0)).content_hash() for one in (back, relation)]
    assert draws[0] == draws[1], "the same seed draws the same world"
    return True


@settings(max_examples=120, deadline=None)
@given(relation=relations())
def test_arrow_gives_back_every_bit(relation):
    table = table_of(relation)
    assert table.num_rows == len(relation)
    assert same(relation_of(table), relation)
    pieces = [table.slice(start, 2) for start in range(0, len(relation), 2)]
    assert same(relation_of(pa.concat_tables([*pieces, table.slice(0, 0)])), relation)


@settings(max_examples=60, deadline=None)
@given(relation=relations(), rows=st.integers(1, 7))
def test_parquet_gives_back_every_bit(relation, rows):
    file = io.BytesIO()
    write_parquet(relation, file, rows_per_group=rows)
    file.seek(0)
    assert same(read_parquet(file), relation)


@settings(max_examples=60, deadline=None)
@given(relation=relations())
def test_pandas_gives_back_every_bit(relation):
    assert same(from_pandas(to_pandas(relation)), relation)
    assert same(from_pandas(relation.frame(), like=relation), relation)


@settings(max_examples=60, deadline=None)
@given(relation=relations(least=1), data=st.data())
def test_a_frame_in_another_order_keeps_what_is_known_of_its_rows(relation, data):
    places = data.draw(st.lists(st.sampled_from(range(len(relation))), min_size=1, unique=True))
    frame = to_pandas(relation).iloc[places]
    expected = relation.take(np.array(places, np.int64))
    assert same(from_pandas(frame), expected)


TAGS = {"div", "style", "p", "b", "span", "i", "small", "details", "summary"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that tags close."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@settings(max_examples=120, deadline=None)
@given(relation=relations(), rows=st.integers(0, 5))
def test_rendering_never_fails_and_escapes(relation, rows):
    page = Page()
    page.feed(html_of(relation, rows))
    assert not page.open
    assert page.tags <= TAGS
    assert page.attributes <= {"class", "style", "scope", "title", "colspan"}
    text = text_of_relation(relation, rows)
    assert all(one.isprintable() or one == "\n" for one in text)
    assert max(map(cell_len, text.splitlines())) <= 100


@settings(max_examples=30, deadline=None)
@given(relation=relations())
def test_other_tools_read_a_plain_table(relation):
    table = table_of(relation)
    frame = table.to_pandas()
    assert len(frame) == len(relation)
    numbers = [place for place, column in enumerate(relation.columns) if column.kind is ColumnKind.NUMERIC]
    for place in numbers:
        name = relation.columns[place].name
        np.testing.assert_array_equal(frame[name].to_numpy(float), relation.block.column(place))
    field = json.loads(table.schema.metadata[b"easeml"])["candidates"]
    assert sum(len(one) for one in frame[field] if one is not None) == len(relation.block.candidates)
