"""What a relation looks like in a notebook and in a terminal: content, safety, bounded size."""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd
import pytest

from easeml.relation import Relation
from easeml.relation.overview import overview, percent, short
from easeml.relation.rendering import html_of, text_of_relation

HOSTILE = '<script>alert("x")</script>\' onmouseover=alert(1) \x1b[31m\u202e'


def relation_of(frame, lines=(), **options):
    made = Relation.from_frame(frame, **options)
    if not lines:
        return made
    table = pd.DataFrame(lines, columns=["row_id", "column", "value", "probability", "source"]).astype(
        {"value": object}
    )
    for source, part in table.groupby("source", sort=False):
        made = made.merge_candidates(part.drop(columns="source"), source=source)
    return made


@pytest.fixture
def relation():
    frame = pd.DataFrame(
        {
            "age": [31.0, np.nan, 45.25],
            "member": pd.array([True, None, False], dtype="boolean"),
            "since": pd.to_datetime(["2024-01-01", None, "2024-02-03T04:05:06"], utc=True, format="ISO8601"),
            "churned": ["no", None, "yes"],
        }
    )
    lines = [
        ("r2", "age", 40.0, 0.75, "knn/1"),
        ("r2", "age", 50.0, 0.25, "knn/1"),
        ("r3", "age", 45.25, 1.0, "rules"),
        ("r1", "churned", "yes", 0.995, "label model"),
        ("r1", "churned", "no", 0.005, "label model"),
    ]
    return relation_of(frame, lines, label="churned", row_ids=["r1", "r2", "r3"])


def words(page):
    bare = re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    return html.unescape(re.sub(r"\s+", " ", bare)).strip()


def test_the_page_tells_size_label_and_doubt(relation):
    told = words(html_of(relation))
    assert "Relation 3 rows × 3 columns (1 numeric, 1 boolean, 1 datetime)" in told
    assert "label churned : no 1 · yes 1 · unlabelled 1" in told
    assert f"2 uncertain cells, 1 cell with a single candidate; entropy {relation.entropy().total:.4g} bits" in told
    assert relation._repr_html_() == html_of(relation)


def test_the_page_shows_candidates_of_uncertain_cells(relation):
    page = html_of(relation)
    told = words(page)
    assert "– → 40 75% 40 75% knn/1 50 25% knn/1" in told
    assert "no → yes >99% yes >99% label model no <1% label model" in told
    assert 'title="40 75%; 50 25% (knn/1)"' in page
    assert page.count('class="u') == 3
    assert 'title="every one of 2 classes is as likely">unlabelled' in page


def test_the_text_says_the_same(relation):
    text = text_of_relation(relation)
    assert "Relation  3 rows × 3 columns (1 numeric, 1 boolean, 1 datetime)" in text
    assert "label churned: no 1 · yes 1 · unlabelled 1" in text
    assert "r2 age: ████████ 40 75% · ██ 50 25% (knn/1)" in text
    assert "r1 churned (observed no): ██████████ yes >99% · █ no <1% (label model)" in text
    assert re.search(r"r2 +40 \? +– +– +\?", text)
    assert re.search(r"r3 +45.25 \? +false +2024-02-03 04:05:06 +yes", text)
    assert "\x1b" not in text


def test_colours_follow_the_reader_and_nothing_is_loaded(relation):
    page = html_of(relation)
    assert "@media (prefers-color-scheme:dark)" in page
    assert not re.search(r"https?:|src=|href=|@import|url\(|<script|<link", page)


def test_hostile_names_and_cells_are_text(relation):
    frame = pd.DataFrame({HOSTILE: [HOSTILE, "x"], "label<b>": [HOSTILE, None]})
    lines = [("r1", HOSTILE, HOSTILE + "2", 0.5, HOSTILE), ("r1", HOSTILE, "&lt;", 0.5, "a&b")]
    made = relation_of(
        frame, [(*lines[0][:3], 1.0, HOSTILE), (*lines[1][:3], 1.0, "a&b")], label="label<b>", row_ids=["r1", "r2"]
    )
    page, text = html_of(made), text_of_relation(made)
    assert "<script" not in page
    assert "onmouseover=alert(1) \\x1b" not in re.findall(r"<[^>]*>", page)
    assert all("onmouseover" not in re.sub(r'"[^"]*"', "", tag) for tag in re.findall(r"<[^>]*>", page))
    assert "&lt;script&gt;" in page
    assert "&amp;lt;" in page
    for told in (page, text):
        assert "\x1b" not in told
        assert "\u202e" not in told


def test_a_row_id_cannot_break_out():
    made = relation_of(pd.DataFrame({"a": [1.0]}), row_ids=["<img/onerror=alert(1)>"])
    assert "<img" not in html_of(made)
    assert "&lt;img" in html_of(made)


def test_the_size_is_bounded():
    rng = np.random.default_rng(0)
    rows, columns = 40, 700
    frame = pd.DataFrame(
        {f"{'x' * 300}{place}": ["&" * 5000 + str(row) for row in range(rows)] for place in range(columns)}
    )
    frame["pixels"] = pd.Series([rng.random((64, 64)) for _ in range(rows)], dtype=object)
    frame["churned"] = [f"{'c' * 900}{row}" for row in range(rows)]
    lines = [
        (f"r{row}", frame.columns[place], f"{'&' * 900}{one}", 1 / 40, "s" * 900)
        for row in range(10)
        for place in (*range(12), 698, 699)
        for one in range(40)
    ]
    made = relation_of(frame, lines, label="churned", row_ids=[f"r{row}" for row in range(rows)])
    page, text = html_of(made), text_of_relation(made)
    assert len(page) < 1_000_000
    assert len(text) < 100_000
    assert "… 30 more rows and 685 more columns" in words(page)
    assert "64×64 tensor, " in page
    assert "34 more classes" in page
    assert "and 34 more" in page
    assert max(map(len, text.splitlines())) <= 100


def test_uncertain_rows_are_shown_wherever_they_are():
    frame = pd.DataFrame({"a": np.arange(1000.0)})
    made = relation_of(frame, [("r900", "a", 1.0, 1.0, "knn")], row_ids=[f"r{row}" for row in range(1000)])
    seen = overview(made, 5)
    assert [row.place for row in seen.lines] == [0, 1, 2, 3, 4, 900]
    assert "⋮" in html_of(made, 5)
    assert "⋮" in text_of_relation(made, 5)
    assert "994 more rows" in html_of(made, 5)


def test_row_ids_stay_readable_beside_wide_columns():
    frame = pd.DataFrame({f"measurement number {place}": [0.123456789, -1e-7] for place in range(40)})
    text = text_of_relation(relation_of(frame, row_ids=["customer-1", "customer-2"]))
    assert "customer-1" in text
    assert "customer-2" in text


def test_alternatives_of_whole_rows_are_shown():
    frame = pd.DataFrame({"street": ["Long Lane", "x"], "town": ["Ham", "y"], "age": [1.0, 2.0]}, dtype=object)
    made = Relation.from_frame(frame.astype({"age": float}), row_ids=["r1", "r2"]).merge_rows(
        pd.DataFrame(
            {
                "row_id": ["r1"] * 2,
                "street": ["Long Lane", "Main Road"],
                "town": ["Ham", "Ely"],
                "probability": [0.4, 0.6],
            }
        ),
        source="register",
    )
    told = words(html_of(made))
    assert "0 uncertain cells, 1 row with alternatives; entropy 0.971 bits" in told
    assert "r1 2 alternatives Long Lane → Main Road 60% Main Road 60% register Long Lane 40% register" in told
    assert html_of(made).count('class="u') == 2, "the age is the same in both"
    assert "r1: 2 alternatives of the whole row" in text_of_relation(made)
    assert "r1 town (observed Ham): ██████ Ely 60% · ████ Ham 40% (register)" in text_of_relation(made)


def test_a_certain_relation_says_so():
    made = relation_of(pd.DataFrame({"a": [1.0]}), row_ids=["r1"])
    assert "every cell is certain" in html_of(made)
    assert "no label" in text_of_relation(made)


def test_texts_are_cut_and_made_safe():
    assert short("a\nb\tc") == "a\\nb\\tc"
    assert short("\ud800") == "\\ud800"
    assert len(short("x" * 10_000)) == 48
    assert len(short("\x00" * 48)) == 48
    assert [percent(share) for share in (1.0, 1 - 1e-12, 0.99999, 0.5, 1e-9)] == ["100%", "100%", ">99%", "50%", "<1%"]


def test_a_source_is_named_once_unless_they_differ():
    lines = [("r1", "a", 2.0, 0.5, "knn"), ("r1", "a", 3.0, 0.5, "knn"), ("r2", "a", 4.0, 1.0, "rules")]
    made = relation_of(pd.DataFrame({"a": [np.nan, np.nan]}), lines, row_ids=["r1", "r2"])
    assert "r1 a: █████ 2 50% · █████ 3 50% (knn)" in text_of_relation(made).replace("  ", " ")
    assert text_of_relation(made).count("knn") == 1
    both = relation_of(
        pd.DataFrame({"a": [np.nan]}), [("r1", "a", 2.0, 1.0, "knn"), ("r1", "a", 3.0, 1.0, "rules")], row_ids=["r1"]
    )
    assert "(knn) · " in text_of_relation(both)
    assert text_of_relation(both).endswith("(rules)")


def test_a_single_candidate_is_no_doubt():
    made = relation_of(pd.DataFrame({"a": [np.nan, 1.0]}), [("r1", "a", 1.0, 1.0, "knn")], row_ids=["r1", "r2"])
    assert overview(made, 5).uncertain_cells == 0
    assert "every cell is certain; 1 cell with a single candidate" in text_of_relation(made)


def test_a_tie_of_classes_is_unlabelled():
    lines = [("r1", "y", name, 0.5, "votes") for name in ("no", "yes")]
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [None, "no", "yes"]})
    made = relation_of(frame, lines, label="y", row_ids=["r1", "r2", "r3"])
    assert re.search(r"r1 +1 +\?$", text_of_relation(made), re.MULTILINE)
    assert "<summary><small>unlabelled</small></summary>" in html_of(made)


def test_hidden_columns_leave_a_gap_and_uncertain_ones_come_first():
    frame = pd.DataFrame({f"column {place:02}": [0.123456, 1.5] for place in range(30)})
    lines = [("r1", "column 17", 2.0, 0.5, "knn"), ("r1", "column 17", 3.0, 0.5, "knn")]
    made = relation_of(frame, lines, row_ids=["r1", "r2"])
    head = next(line for line in text_of_relation(made).splitlines() if line.strip().startswith("row"))
    titles = re.findall(r"column \d+|…", head)
    assert titles[:2] == ["column 17", "column 00"]
    assert titles[-2:] == ["…", "column 29"]
    assert '<th scope="col">…' in html_of(made)


def test_as_many_columns_as_have_room_are_shown():
    made = relation_of(pd.DataFrame({f"c{place:02}": [0.5] for place in range(13)}), row_ids=["r1"])
    assert "more column" not in text_of_relation(made)
    hidden = text_of_relation(made, width=98 - 8)
    assert overview(made, 1, most_columns=12).hidden_columns == 1
    assert max(map(len, hidden.splitlines())) <= 90
    for width in range(20, 120, 3):
        text = text_of_relation(made, width=width)
        assert max(map(len, text.splitlines())) <= max(width, 40)
    assert "… 1 more column</p>" in html_of(relation_of(pd.DataFrame({f"c{p}": [0.5] for p in range(17)})))
