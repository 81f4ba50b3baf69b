"""A dead letter fits into its topic whenever its message fitted."""

import pytest

from easeml.errors import Poison
from easeml.stream.messages import Record
from easeml.stream.poison import Burial, dead_letter

LIMIT = 100_000
TOPIC = "easeml.annotations.v1"


def letter_of(value, headers=(), key=b"k", text="Bad."):
    record = Record(TOPIC, 0, 5, key, value, tuple(headers))
    letter = dead_letter(record, Poison(text), Burial("summer", 1.0), LIMIT)
    size = len(letter.value) + len(letter.key) + sum(len(n) + len(v) + 10 for n, v in letter.headers)
    assert size < LIMIT
    return letter, dict(letter.headers)


@pytest.mark.parametrize("spare", [0, 100, 300])
def test_a_value_that_fills_its_message_is_kept_by_reference(spare):
    letter, headers = letter_of(b"x" * (LIMIT - spare))
    assert len(letter.value) == 1000
    assert headers["easeml.dlq.size"] == str(LIMIT - spare).encode()


def test_a_value_with_room_for_the_cause_is_kept_whole():
    letter, headers = letter_of(b"x" * (LIMIT - 1000))
    assert len(letter.value) == LIMIT - 1000
    assert "easeml.dlq.size" not in headers


def test_a_long_error_is_cut():
    _, headers = letter_of(b"x", text="y" * 200_000)
    assert len(headers["easeml.dlq.message"]) == 2000


def test_headers_too_large_leave_those_that_mean_something():
    ours = [("ce_id", b"1"), ("easeml.redrive", b"1")]
    headers = letter_of(b"x", [("mine", b"z" * 90_000), *ours, ("ce_huge", b"z" * 90_000)])[1]
    assert {"ce_id", "easeml.redrive"} <= set(headers)
    assert not {"mine", "ce_huge"} & set(headers)


def test_small_foreign_headers_stay():
    assert letter_of(b"x", [("mine", b"z" * 1000)])[1]["mine"] == b"z" * 1000


def test_a_huge_key_is_cut():
    assert len(letter_of(b"x", key=b"k" * 200_000)[0].key) == 1000
