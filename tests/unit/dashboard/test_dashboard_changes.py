"""Nobody who comes back misses the last state."""

from __future__ import annotations

import asyncio

import pytest

from easeml.dashboard.changes import Changes


def told(changes: Changes, last: str):
    news = changes.since(last)
    return news and (set(news.changes), news.reset)


async def test_who_was_away_hears_what_changed_meanwhile_once():
    changes = Changes("e")
    begun = changes.now
    assert changes.since(begun) is None
    for _ in range(1000):
        changes.note({("a", "models"), ("b", "ci")})
    heard = changes.since(begun)
    assert (set(heard.changes), heard.reset) == ({("a", "models"), ("b", "ci")}, False)
    assert changes.since(heard.id) is None
    changes.note({("a", "data")})
    assert told(changes, heard.id) == ({("a", "data")}, False)


@pytest.mark.parametrize("last", ["", "e", "e-", "e-x", "other-3", "e--1", "-"])
async def test_who_heard_another_process_reads_everything_again(last):
    changes = Changes("e")
    changes.note({("a", "models")})
    assert changes.since(last).reset


async def test_who_was_away_too_long_reads_everything_again():
    changes = Changes("e", most=3)
    begun = changes.now
    for number in range(10):
        changes.note({(f"app{number}", "data")})
    assert changes.since(begun).reset
    assert not changes.since("e-8").reset


async def test_waiting_ends_with_the_first_change_or_in_time():
    changes = Changes("e")
    waiting = asyncio.ensure_future(changes.wait(changes.now, 30))
    await asyncio.sleep(0)
    changes.note({("a", "data")})
    assert (await waiting).changes == (("a", "data"),)
    assert await changes.wait(changes.now, 0.01) is None
