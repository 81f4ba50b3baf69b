"""A view that is folded from the messages that it says it rests on is what it was."""

import json
from dataclasses import replace
from itertools import accumulate, cycle
from operator import itemgetter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.datamagic.versions import ledger as ledger_module
from easeml.datamagic.versions.ledger import Ledger
from easeml.datamagic.versions.past import Past
from easeml.labels.rows import Rows
from easeml.modelpicker import joining
from easeml.modelpicker.joining import Joining
from easeml.relation import arrivals
from easeml.relation.arrivals import Arrivals
from easeml.serving.rows import Backlog
from easeml.stream import needs
from easeml.stream.payloads import AppDefined, Column, ColumnKind, Pillar, PredictionBatch, RelationBatch

KEPT = 6
COLUMNS = (Column("x", ColumnKind.NUMERIC),)
APP = AppDefined("pond", "kind", ("carp", "pike"), COLUMNS)
MODELS = ("swift", "slow")

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=30)
GAPS = st.lists(st.integers(1, 12), min_size=30, max_size=30)
CUT = st.floats(0, 1)
REPEATS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 3)), max_size=10)
SEEN = 4


@pytest.fixture(autouse=True, scope="module")
def small_gaps():
    """Messages of others between those of an app make runs of their own."""
    with mock.patch.multiple(needs, GAP=2, MOST_RUNS=5):
        yield


def batch(names, version=""):
    return RelationBatch(
        "pond", Pillar.PRODUCTION, version, COLUMNS, tuple(names), numeric=np.arange(len(names), dtype=float)
    )


def messages(sizes, gaps, again=0):
    """Return (offset, batch) pairs; each batch may repeat the last rows of the one before it."""
    told, offset, stop = [], 0, 0
    for place, (size, gap) in enumerate(zip(sizes, gaps, strict=False)):
        offset += gap
        start, stop = max(0, stop - again), stop + size
        told.append((offset, batch([f"r{number}" for number in range(start, stop)], f"v{place % 2}")))
    return told


def repeated(told, repeats):
    """Return messages of which some come again, up to three messages later."""
    shuffled = sorted(
        [(place, data) for place, (_, data) in enumerate(told)]
        + [(place + later + 0.5, told[place][1]) for place, later in repeats if place < len(told)],
        key=itemgetter(0),
    )
    offsets = accumulate(gap for gap, _ in zip(cycle([3, 1, 9]), shuffled, strict=False))
    return [(offset, data) for offset, (_, data) in zip(offsets, shuffled, strict=True)]


def identity(told, data):
    """Return the id of an event, the same when it comes again."""
    return f"e{next(offset for offset, other in told if other is data)}"


def add_once(view, offset, data):
    view.add(f"e{offset}", data, offset)


def twice(told, cut, new, add, rebuilt=None):
    """Return a view that was told all, and one that is told what the first rested on at the cut and what came later."""
    live, until = new(), round(cut * len(told))
    for offset, data in told[:until]:
        add(live, offset, data)
    runs = rebuilt(live)[1] if rebuilt else live.needed
    again = rebuilt(live)[0] if rebuilt else new()
    for offset, data in told[until:]:
        add(live, offset, data)
    for place, (offset, data) in enumerate(told):
        if place >= until or any(start <= offset < end for start, end in runs):
            add(again, offset, data)
    return live, again


@settings(deadline=None)
@given(SIZES, GAPS, CUT)
def test_the_rows_that_new_models_are_shown(sizes, gaps, cut):
    live, again = twice(messages(sizes, gaps), cut, lambda: Backlog(KEPT), add_once)
    shown = [[block.row_ids for block in view.blocks(APP)] for view in (live, again)]
    assert shown[0] == shown[1] != []
    assert live.needed == again.needed


@settings(deadline=None)
@given(SIZES, GAPS, CUT, REPEATS)
def test_the_rows_that_advice_is_about(sizes, gaps, cut, repeats):
    told = repeated(messages(sizes, gaps), repeats)

    def add(view, offset, data):
        view.add(identity(told, data), data, offset)

    with mock.patch.object(arrivals, "REMEMBERED", SEEN):
        live, again = twice(told, cut, lambda: Arrivals(KEPT), add)
    assert live.relation(APP).row_ids == again.relation(APP).row_ids
    assert live.needed == again.needed


@settings(deadline=None)
@given(SIZES, GAPS, CUT, st.sets(st.integers(0, 60)))
def test_the_rows_that_questions_are_about(sizes, gaps, cut, asked):
    names = {f"r{number}" for number in asked}
    told = messages(sizes, gaps)
    live, again = twice(
        told, cut, lambda: Rows(lambda: names, keep_rows=KEPT), lambda view, offset, data: view.fold(data, offset)
    )
    every = [row_id for _, data in told for row_id in data.row_ids]
    for row_id in {*every[-KEPT:], *(names & {*every})}:
        assert live.show(row_id) == again.show(row_id) != {}


@settings(deadline=None)
@given(SIZES, GAPS, CUT, st.integers(0, 4), REPEATS)
def test_the_sums_of_all_rows(sizes, gaps, cut, again, repeats):
    told = repeated(messages(sizes, gaps, again), repeats)

    def rebuilt(ledger):
        past = Past.of(json.loads(json.dumps(ledger.past.document())))
        return Ledger(features=False, keep_last=KEPT, past=past), ledger.needed(past)

    def add(ledger, offset, data):
        ledger.rows(identity(told, data), data, offset, own=len(data.row_ids) % 3 == 0)

    with mock.patch.object(ledger_module, "SEEN_BATCHES", SEEN):
        live, after = twice(told, cut, lambda: Ledger(features=False, keep_last=KEPT), add, rebuilt)
    app = replace(APP, life="")
    assert live.content(app) == after.content(app)
    assert live.content(app).rows == sum(sizes)
    assert len(live.own(app)) == len(after.own(app))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MODELS), st.integers(1, 4)), min_size=1, max_size=40), GAPS, CUT)
def test_the_votes_of_models(turns, gaps, cut):
    told, offset, seen = [], 0, dict.fromkeys(MODELS, 0)
    for (model, size), gap in zip(turns, gaps, strict=False):
        offset += gap
        # Votes for rows from before the fold bring these back as new ones. As many rows as a model is behind may come
        # so, and each takes the place of one that this model has still to vote for: twice that must be kept.
        stop = min(seen[model] + size, min(seen.values()) + KEPT // 2)
        names = tuple(f"r{number}" for number in range(seen[model], stop))
        seen[model] = stop
        told.append(
            (offset, PredictionBatch("pond", model, Pillar.PRODUCTION, names, np.arange(len(names), dtype=np.int32)))
        )
    with mock.patch.object(joining, "CAPACITY", KEPT):
        live, again = twice(told, cut, Joining, lambda view, offset, data: view.add(data, offset))
        assert live.newest == again.newest
        for forced in (None, live.newest):
            rows = live.ready(None, MODELS, forced)
            assert again.ready(None, MODELS, forced) == rows
            np.testing.assert_array_equal(live.votes(rows, MODELS, 9), again.votes(rows, MODELS, 9))
        assert len(live.ready(None, (), None)) == min(KEPT, max(seen.values()))
