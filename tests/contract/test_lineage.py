"""Every reference inside a payload leads to something that was said before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from house import APP, CLASSES, LABELLED, Recording, truth_of

from easeml.market.service import ACQUIRED
from easeml.stream import payloads as p
from easeml.stream.topics import CATALOGUE

Names = dict[str, set[str]]
ASKERS = {
    ("modelpicker", p.Pillar.PRODUCTION),
    ("cpclean", p.Pillar.TRAIN),
    ("market", p.Pillar.POOL),
    ("ci", p.Pillar.TEST),
}
GRANTS = {
    "modelpicker": APP.label_budget,
    "cpclean": APP.cleaning_budget,
    "market": APP.acquisition_budget,
    "ci": APP.test_label_budget,
}
"""What each asker may spend."""


def known(recording: Recording) -> Names:
    """Return the names of everything in the recording, by kind."""
    every = recording.events()
    of = lambda kind: [e.data for e in every if isinstance(e.data, kind)]  # noqa: E731
    return {
        "version": {v.version for v in of(p.DataVersion)},
        "algorithm": {a.algorithm for a in of(p.AlgorithmAnnounced)},
        "trial": {t.trial for t in of(p.TrialAssigned)},
        "model": {m.model for m in of(p.ModelPublished)},
        "passed": {v.model for v in of(p.Verdict) if v.signal},
        "question": {q.question for q in of(p.Question)},
        "annotator": {a.annotator for a in of(p.Annotation)},
        **{
            f"{pillar} row": {r for b in of(p.RelationBatch) if b.pillar is pillar for r in b.row_ids}
            for pillar in p.Pillar
        },
    }


def _model(data: Any, names: Names) -> bool:
    return data.model in names["model"] and data.baseline in {None, *names["passed"]}


CHECKS: dict[type, Callable[[Any, Names], bool]] = {
    p.TrialRequested: lambda d, n: d.data_version in n["version"] and set(d.costs) == n["algorithm"] and d.round > 0,
    p.TrialAssigned: lambda d, n: d.data_version in n["version"] and d.algorithm in n["algorithm"] and d.trial != "",
    p.TrialFinished: lambda d, n: d.trial in n["trial"] and d.algorithm in n["algorithm"] and d.model in n["model"],
    p.ModelPublished: lambda d, n: d.data_version in n["version"] and d.classes == CLASSES and d.sha256 in d.uri,
    p.PredictionBatch: lambda d, n: d.model in n["model"] and set(d.row_ids) <= n[f"{d.pillar} row"],
    p.Verdict: _model,
    p.VerdictDetail: _model,
    p.TestSetOpened: lambda d, n: d.epoch == 1 and LABELLED < d.examples <= len(n["test row"]),
    p.TestSetExhausted: lambda d, _: d.epoch == 1,
    p.TestSetNeeded: lambda d, _: d.epoch == 2 and d.examples > 0,
    p.Question: lambda d, n: (
        d.row_id in n[f"{d.pillar} row"]
        and (d.asked_by, d.pillar) in ASKERS
        and truth_of(d.row_id, d.column) in d.candidates
        # CI has no belief about a label: what it expects of an answer must not decide what it asks
        and (d.probabilities.sum() == pytest.approx(1) or (d.asked_by == "ci" and not d.probabilities.size))
    ),
    p.ModelPicked: lambda d, n: d.model in n["passed"] and set(d.posterior) <= n["passed"],
    p.Answer: lambda d, n: (
        d.question in n["question"] and d.text == truth_of(d.row_id, d.column) and (d.asked_by, d.pillar) in ASKERS
    ),
    p.Budget: lambda d, _: 0 <= d.spent <= d.granted == GRANTS[d.asker],
    p.RelationBatch: lambda d, n: d.version in {*n["version"], ACQUIRED} and len(d.row_ids) > 0,
    p.DataVersion: lambda d, n: set(d.parents) <= n["version"] and d.rows > 0 and len(d.content_hash) == 64,
    p.OperatorRun: lambda d, n: (
        {o.name.split("/")[-1] for o in d.outputs} <= n["version"] and d.job == "datamagic.upload"
    ),
    p.FeasibilityReport: lambda d, n: (
        d.version in n["version"] and d.rows <= len(n["train row"]) and d.interval_low <= d.interval_high
    ),
    p.CleaningReport: lambda d, n: (
        d.version in n["version"] and d.rows <= len(n["train row"]) and d.certain <= d.validation_rows
    ),
    p.ValuesReport: lambda d, n: (
        d.version in n["version"]
        and set(d.harmful_rows) <= n["train row"]
        and set(d.valuable_rows) <= n["pool row"]
        and set(d.suggested) <= set(CLASSES)
    ),
    p.Advice: lambda d, n: (
        d.version in n["version"]
        and d.model in {None, *n["model"]}
        and all(set(step.rows) <= n["train row"] | n["production row"] for step in d.steps)
    ),
    p.AuditRecord: lambda d, n: d.subject in n["question"] and d.actor in n["annotator"],
}
"""Payload type -> whether its references are sound."""


def test_what_a_service_says_refers_to_what_was_said(room, recording):
    names = known(recording)
    said = [e.data for e in recording.events() if e.source == f"easeml/{room}"]
    assert said
    for data in said:
        assert data.app == APP.app
        assert CHECKS[type(data)](data, names), data


def test_every_payload_that_services_write_is_checked():
    written = {
        kind for topic in CATALOGUE for kind in topic.payloads if set(topic.produced_by) - {"user", "supervisor"}
    }
    rare = {p.TrialProgress, p.ModelRetired, p.Annotation, p.TestLabels, p.Upload, p.CandidateBatch}
    rare |= {p.MeterReading}  # an app must want it
    assert written - rare == set(CHECKS)


@pytest.mark.parametrize("kind", CHECKS)
def test_nothing_refers_to_the_future(kind, recording):
    """A message never comes before the model, trial or question that it names."""
    seen: set[str] = set()
    makes = {p.ModelPublished: "model", p.TrialAssigned: "trial", p.Question: "question"}
    for event in recording.events():
        for owner, field in makes.items():
            if isinstance(event.data, owner):
                seen.add(getattr(event.data, field))
            elif isinstance(event.data, kind) and getattr(event.data, field, None):
                assert getattr(event.data, field) in seen
