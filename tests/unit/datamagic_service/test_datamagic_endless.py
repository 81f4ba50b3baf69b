"""A pillar without end: what it holds is told of all rows that ever came, and only the newest are kept one by one."""

from dataclasses import replace

import pytest
from datamagic_town import APP
from hypothesis import given, settings
from hypothesis import strategies as st
from test_datamagic_keeper import answer, rows

from easeml.datamagic.versions.ledger import KEPT_ROWS, SEEN_BATCHES, Ledger
from easeml.stream.payloads import DataVersion, Pillar

KEPT = 20


def filled(batches, keep_last=None, looks=()):
    ledger = Ledger(features=False, keep_last=keep_last)
    for place, batch in enumerate(batches):
        ledger.rows(f"event-{place}", batch)
        if place in looks:
            ledger.content(APP)
    return ledger


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    again=st.integers(0, 6),
    looks=st.sets(st.integers(0, 40)),
    versions=st.integers(1, 3),
)
def test_it_holds_what_a_ledger_of_all_rows_holds_while_rows_come_again_soon(sizes, again, looks, versions):
    batches, stop = [], 0
    for place, size in enumerate(sizes):
        start = max(0, stop - again)
        stop = max(stop, start + size)
        names = tuple(f"row-{number}" for number in range(start, start + size))
        batches.append(replace(rows(0, size, f"v{place % versions}", seed=place), row_ids=names))
    whole, kept = filled(batches), filled(batches, KEPT, looks)
    assert kept.content(APP) == whole.content(APP)


def test_a_row_that_comes_again_replaces_itself_while_it_is_kept():
    ledger = filled([rows(0, 10), rows(0, 10, seed=1)], KEPT)
    assert ledger.content(APP).rows == 10
    assert ledger.content(APP) == filled([rows(0, 10, seed=1)]).content(APP)


def test_a_large_batch_before_a_smaller_one_is_kept_whole():
    ledger = filled([rows(0, 25), rows(25, 44)], KEPT)
    assert ledger.content(APP) == filled([rows(0, 25), rows(25, 44)]).content(APP)


def test_sums_of_announced_versions_are_kept_as_one():
    ledger = Ledger(features=False, keep_last=KEPT)
    for place in range(30):
        ledger.rows(f"event-{place}", rows(0, 10, f"v{place:x}-0123456789ab", seed=place), place)
        ledger.rows(f"other-{place}", rows(10, 20, f"mine-{place}", seed=place), place)
        ledger.announce(f"told-{place}", DataVersion(APP.app, Pillar.TRAIN, f"mine-{place}", 10, "0" * 64, "mine"))
        assert not ledger.content(APP).unannounced
    ledger.rows("last", rows(20, 30, "unannounced"), 99)
    assert ledger.content(APP).unannounced
    assert ledger.content(APP).rows == 30
    assert len(ledger.past.sums) == 1


def test_answers_count_for_rows_that_are_not_kept_any_more_and_nobody_is_strange():
    ledger = Ledger(features=False, keep_last=KEPT)
    ledger.rows("first", rows(0, 10))
    ledger.tell("a", answer("r3"), 1.0)
    before = ledger.content(APP)
    for place in range(1, 10):
        ledger.rows(f"event-{place}", rows(10 * place, 10 * place + 10))
    ledger.tell("b", answer("r4"), 2.0)
    after = ledger.content(APP)
    assert (before.answers, after.answers) == (1, 2)
    assert after.rows == 100
    assert ledger.strangers(APP, 0, 10_000.0) == (0, [])


def test_rows_that_do_not_fit_the_app_as_it_is_now_do_not_count_though_they_are_gone():
    batches = [rows(start, start + 10) for start in range(0, 90, 10)]
    ledger = filled(batches, KEPT)
    assert ledger.content(APP).rows == 90
    assert ledger.content(replace(APP, columns=APP.columns[:1])).rows == 0
    assert ledger.content(APP).rows == 90


def test_what_is_kept_does_not_grow_with_the_rows():
    ledger = Ledger(features=False, keep_last=KEPT)
    batch = rows(0, 1)
    for place in range(5000):
        for offset in (2 * place, 2 * place + 1):  # the same message once more
            ledger.rows(f"event-{place}", replace(batch, row_ids=(f"row-{place}",)), offset)
    assert ledger.content(APP).rows == 5000
    assert len(ledger._told) <= 2 * KEPT
    assert len(ledger.batches(APP)) <= 2 * KEPT
    assert len(ledger._batches) <= SEEN_BATCHES + 4 * KEPT
    assert len(ledger.past.marks) <= SEEN_BATCHES + 2 * KEPT
    assert len(ledger.past.sums) == 1


@pytest.mark.parametrize("pillar", list(Pillar))
def test_only_production_has_no_end(town, pillar):
    kept = town.service._ledger(APP.app, pillar)._keep_last
    assert kept == (KEPT_ROWS if pillar is Pillar.PRODUCTION else None)
