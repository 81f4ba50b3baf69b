"""Rows page by page, with what is proposed and asked about each cell."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from dashboard_day import APP, NOW, event, version

from easeml.dashboard import browsing
from easeml.dashboard.browsing import MOST_CELLS, PAGE, Rows, Wanted, check_size, page_of, pillar_of, with_questions
from easeml.dashboard.house import House
from easeml.errors import InvalidDataError, NotFoundError
from easeml.pillars import Follower
from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.settings import Settings

COUNT = 120
NAMES = tuple(f"r{n:03d}" for n in range(COUNT))


@pytest.fixture
def rows():
    frame = pd.DataFrame({"age": np.arange(COUNT) + 0.5, "churned": ["no", "yes"] * (COUNT // 2)}, index=NAMES)
    frame.loc["r007", "age"] = np.nan
    relation = Relation.from_frame(frame, label="churned", classes=APP.classes, row_ids=NAMES, columns=APP.columns)
    table = pd.DataFrame(
        {"row_id": ["r007", "r007"], "column": "age", "value": [1.0, 2.0], "probability": [0.25, 0.75]}
    )
    relation = relation.merge_candidates(table, source="tool@1")
    return Rows(
        Follower(Settings(), APP, p.Pillar.TRAIN),
        relation,
        np.flatnonzero(relation.uncertain_rows(labels=False)),
        0,
        0.0,
        0.0,
        0.0,
    )


@pytest.fixture
def view():
    house = House()
    cell = p.Question(
        "churn", "q7", p.QuestionKind.CELL, p.Pillar.TRAIN, "r007", ("1", "2"), 0.5, "cpclean", column="age"
    )
    house.fold([event(APP, 0.0), event(cell, 1.0)])
    return house.apps["churn"]


def names(told):
    return [row["row_id"] for row in told["rows"]]


def test_pages_follow_each_other(rows):
    shown = [name for start in (0, 50, 100) for name in names(page_of(rows, Wanted(p.Pillar.TRAIN, start)))]
    assert shown == list(NAMES)
    assert len(names(page_of(rows, Wanted(p.Pillar.TRAIN)))) == PAGE


def test_a_page_begins_with_a_row_or_where_it_would_be(rows):
    assert names(page_of(rows, Wanted(p.Pillar.TRAIN, begin="r09")))[0] == "r090"
    assert names(page_of(rows, Wanted(p.Pillar.TRAIN, begin="r0075")))[0] == "r008"
    assert names(page_of(rows, Wanted(p.Pillar.TRAIN, begin="zzz"))) == ["r119"]
    assert names(page_of(rows, Wanted(p.Pillar.TRAIN, 10**9))) == ["r119"]


def test_an_uncertain_cell_tells_who_proposes_what_and_who_asks(rows, view):
    told = with_questions(page_of(rows, Wanted(p.Pillar.TRAIN, uncertain=True)), view, NOW)
    (row,) = told["rows"]
    assert [column["name"] for column in told["columns"]] == ["churned", "age"]
    assert row["cells"][0] == {"text": "yes"}
    choices = [["2", 0.75, ["tool@1"]], ["1", 0.25, ["tool@1"]]]
    assert row["cells"][1] == {"choices": choices, "more": 0, "question": "q7"}


def test_a_pillar_too_large_is_refused():
    house = House()
    house.fold([event(APP, 0.0), event(version(p.Pillar.TRAIN, MOST_CELLS), 1.0)])
    check_size(house.apps["churn"], p.Pillar.TRAIN)
    house.fold([event(version(p.Pillar.TRAIN, MOST_CELLS + 1), 2.0)])
    with pytest.raises(InvalidDataError):
        check_size(house.apps["churn"], p.Pillar.TRAIN)
    image = p.Column("image", p.ColumnKind.TENSOR, shape=(100, 100))
    house.fold([event(replace(APP, columns=(image,)), 3.0), event(version(p.Pillar.POOL, 2000), 4.0)])
    with pytest.raises(InvalidDataError):
        check_size(house.apps["churn"], p.Pillar.POOL)


class Slow:
    """Reads the same rows each time, which takes a hundredth of a second on its own clock."""

    def __init__(self, relation, app, clock):
        self.relation_kept, self.app, self.clock, self.asked = relation, app, clock, 0

    def relation(self):
        self.clock[0] += 0.01
        self.asked += 1
        if self.relation_kept is None:
            raise NotFoundError("nothing")
        return self.relation_kept


@pytest.fixture
def made(rows, monkeypatch):
    """What was made to read pillars, on a clock that stands still in between."""
    clock, made = [0.0], []

    def follower(_settings, app, pillar):
        made.append(Slow(None if pillar is p.Pillar.TEST else rows.relation, app, clock))
        return made[-1]

    monkeypatch.setattr(browsing, "Follower", follower)
    monkeypatch.setattr(browsing, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return made


async def test_who_saw_rows_that_are_older_hears_when_newer_ones_may_be_read(view, made):
    heard = []
    shelf, wanted = browsing.Shelf(Settings(), heard.append), Wanted(p.Pillar.TRAIN)
    await shelf.page(view, wanted, NOW)
    assert not heard
    for _ in range(3):
        view.editions[p.Pillar.TRAIN] += 1
        await shelf.page(view, wanted, NOW)
    assert made[0].asked == 1
    async with asyncio.timeout(30):
        while not heard:
            await asyncio.sleep(0.01)
    made[0].clock[0] += 1
    await shelf.page(view, wanted, NOW)
    assert ([one.asked for one in made], heard) == ([2], ["churn"])


async def test_rows_are_read_on_from_where_reading_ended_until_the_app_is_defined_anew(view, made):
    shelf, wanted = browsing.Shelf(Settings(), lambda _app: None), Wanted(p.Pillar.TRAIN)
    for _ in range(3):
        view.editions[p.Pillar.TRAIN] += 1
        await shelf.page(view, wanted, NOW)
        made[0].clock[0] += 1
    view.app = replace(view.app, classes=(*APP.classes, "perhaps"))
    view.editions[p.Pillar.TRAIN] += 1
    await shelf.page(view, wanted, NOW)
    assert [one.asked for one in made] == [3, 1]


async def test_many_who_look_at_a_pillar_without_rows_read_it_once(view, made):
    shelf, wanted = browsing.Shelf(Settings(), lambda _app: None), Wanted(p.Pillar.TEST)
    told = [await shelf.page(view, wanted, NOW) for _ in range(10)]
    assert [one.asked for one in made] == [1]
    assert all(one["rows"] == [] and one["all"] == 0 for one in told)


async def test_pillars_are_kept_side_by_side_while_there_is_room(view, made, monkeypatch):
    async def look(*pillars):
        for pillar in pillars:
            await shelf.page(view, Wanted(pillar), NOW)
            made[0].clock[0] += 1

    shelf = browsing.Shelf(Settings(), lambda _app: None)
    await look(p.Pillar.TRAIN, p.Pillar.POOL, p.Pillar.TRAIN, p.Pillar.POOL)
    assert [one.asked for one in made] == [1, 1]
    monkeypatch.setattr(browsing, "MOST_CELLS", COUNT)
    await look(p.Pillar.VALIDATION, p.Pillar.POOL, p.Pillar.VALIDATION, p.Pillar.TRAIN)
    assert [one.asked for one in made] == [1, 1, 1, 1]


def test_a_pillar_has_a_name():
    assert pillar_of("pool") is p.Pillar.POOL
    with pytest.raises(NotFoundError):
        pillar_of("swimming")
