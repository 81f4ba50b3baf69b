"""Dead letters as the page is told of them; their messages are not kept."""

from __future__ import annotations

import numpy as np

from easeml.dashboard.letters import PAGE, Letters, restricted, view
from easeml.errors import InvalidDataError
from easeml.ids import EventId
from easeml.stream import codec, deadletters, envelope
from easeml.stream import payloads as p
from easeml.stream.messages import Record
from easeml.stream.poison import Burial, dead_letter
from easeml.stream.topics import DATA_TEST_LABELS, QUESTIONS

QUESTION = p.Question(
    "churn", "q", p.QuestionKind.LABEL, p.Pillar.POOL, "r", ("no", "yes"), 0.5, "market",
    probabilities=np.array([0.5, 0.5]),
)  # fmt: skip


def buried(number: int, value: bytes = b"x", headers=(), topic=QUESTIONS) -> Record:
    """Return the record of a dead letter."""
    original = Record(topic.name, 0, number, b"k", value, tuple(headers), 1000 * number)
    error = InvalidDataError("The value 'secret' is wrong.", mend="Mend it.")
    letter = dead_letter(original, error, Burial("labels", float(number)), 1_000_000)
    return Record(letter.topic, letter.partition, number, letter.key, letter.value, letter.headers, 1000 * number)


def mark(record: Record, state: str) -> Record:
    letter = deadletters.letter_of(record, deadletters.headers_of(record), deadletters.OPEN)
    made = deadletters._mark(letter, state)
    return Record(made.topic, made.partition, 999, made.key, None, made.headers, 0)


def page(letters: Letters, *, closed=False, start=0, texts=True):
    return letters.page(closed=closed, start=start, texts=texts)


def test_the_newest_come_first_page_by_page():
    letters = Letters()
    letters.fold(buried(number) for number in range(2 * PAGE + 3))
    told = page(letters)
    assert (told["count"], told["open"]) == (2 * PAGE + 3, 2 * PAGE + 3)
    assert [one["offset"] for one in told["letters"]] == list(range(2 * PAGE + 2, PAGE + 2, -1))
    assert [one["offset"] for one in page(letters, start=2 * PAGE)["letters"]] == [2, 1, 0]


def test_marks_close_letters_in_any_order_and_repetition():
    for order in (1, -1):
        letters = Letters()
        letters.fold([buried(1), mark(buried(1), "redriven"), buried(1), buried(2)][::order])
        assert [one["offset"] for one in page(letters)["letters"]] == [2]
        assert {one["state"] for one in page(letters, closed=True)["letters"]} == {"open", "redriven"}


def test_messages_are_not_kept():
    letters = Letters()
    letters.fold([buried(1, b"x" * 100_000)])
    (kept,) = letters._letters
    assert (kept.raw.value, kept.raw.headers) == (None, ())


def test_causes_are_for_those_who_may_see_messages():
    letters = Letters()
    letters.fold([buried(1)])
    assert "secret" in page(letters)["letters"][0]["message"]
    assert page(letters, texts=False)["letters"][0]["message"] == ""


def test_letters_about_test_labels_are_restricted():
    letters = Letters()
    letters.fold([buried(1, topic=DATA_TEST_LABELS)])
    (told,) = page(letters)["letters"]
    assert told["message"] == ""
    assert restricted(told["letter"])
    assert not restricted("easeml.questions.v1.dlq:0:1")


def test_content_is_decoded_where_that_is_possible():
    headers = envelope.headers(EventId("e"), "test", QUESTION, 1.0, None)
    record = buried(1, codec.encode(QUESTION), headers)
    letter = deadletters.letter_of(record, deadletters.headers_of(record), "open")
    told = view(letter)
    assert told["content"]["question"] == "q"
    assert ("ce_id", "e") in told["headers"]
    garbage = buried(2, b"\x00\xff")
    told = view(deadletters.letter_of(garbage, deadletters.headers_of(garbage), "open"))
    assert (told["content"], told["begins"], told["bytes"]) == (None, "00 ff", 2)
