"""The ledger of faults finds nothing in a day that nobody disturbed, and what is missing or too much in others."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from chaos_checks import Evidence, check
from chaos_serving import check_serving
from house import header

from easeml.stream.topics import ANSWERS, AUDIT, CI_ANSWERS, PREDICTIONS, TRIALS, VERDICTS


def judged(recording, records):
    evidence = Evidence(records)
    found = check(evidence)
    check_serving(evidence, recording.store, found)
    return found


def last(recording, topic, kind):
    return max(
        place
        for place, record in enumerate(recording.records)
        if record.topic == topic.name and header(record.headers, "ce_type") == f"easeml.v1.{kind}".encode()
    )


def test_an_undisturbed_day_is_in_order(recording):
    found = judged(recording, recording.records)
    assert found.good, (found.lost, found.twice, found.broken)
    assert found.acked == len(recording.records)
    assert found.duplicates == 0


def test_a_repetition_is_harmless(recording):
    again = [record for record in recording.records if record.topic == PREDICTIONS.name][-20:]
    found = judged(recording, [*recording.records, *again])
    assert found.good
    assert found.duplicates == 20


@pytest.mark.parametrize(
    ("topic", "kind"),
    [(PREDICTIONS, "PredictionBatch"), (AUDIT, "AuditRecord"), (CI_ANSWERS, "AuditRecord"), (TRIALS, "TrialFinished")],
)
def test_an_effect_that_is_missing_is_lost(recording, topic, kind):
    records = list(recording.records)
    del records[last(recording, topic, kind)]
    assert judged(recording, records).lost


@pytest.mark.parametrize(
    ("topic", "kind"), [(PREDICTIONS, "PredictionBatch"), (VERDICTS, "Verdict"), (ANSWERS, "Answer")]
)
def test_an_effect_under_two_ids_happened_twice(recording, topic, kind):
    record = recording.records[last(recording, topic, kind)]
    headers = tuple((name, b"another" if name == "ce_id" else value) for name, value in record.headers)
    assert judged(recording, [*recording.records, replace(record, headers=headers)]).twice


def test_two_contents_under_one_id_happened_twice(recording):
    place = last(recording, PREDICTIONS, "PredictionBatch")
    other = next(r for r in recording.records if r.topic == PREDICTIONS.name)
    changed = replace(recording.records[place], value=other.value)
    assert judged(recording, [*recording.records, changed]).twice
