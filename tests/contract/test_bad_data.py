"""Sound bytes, bad data: either accepted by design or given up with a reason, never a crash.

The table says for every payload type and every service that reads it what becomes of bad data. Data that is given up
leaves no trace: states and outputs are those of a life without it.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import APP, CLASSES, HERE, ROOMS, Alone, event, lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easeml.stream import codec
from easeml.stream import payloads as p
from easeml.stream.changelog import Stored
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS, Topic

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))

from payload_strategies import strategy

NAN, INF = float("nan"), float("inf")
Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """Bad data.

    Parameters
    ----------
    name : str
        What is bad.
    change : callable
        Sound payload -> bad payload.
    reasons : dict of str to str
        Service, or service and noun of the topic -> reason under which it gives the data up; a service that is not
        named accepts it by design.
    before, after : bool
        Whether it comes before the sound payload, and after everything: what is closed is beyond harm.
    """

    name: str
    change: Change
    reasons: dict[str, str]
    before: bool = True
    after: bool = True


def _set(**values: Any) -> Change:
    return lambda data: replace(data, **values)


def _item(field: str, index: int, value: float) -> Change:
    def change(data: Any) -> Any:
        array = getattr(data, field).copy()
        array[index] = value
        return replace(data, **{field: array})

    return change


def _short(field: str) -> Change:
    return lambda data: replace(data, **{field: getattr(data, field)[:-1]})


def _every(reason: str, *rooms: str) -> dict[str, str]:
    return dict.fromkeys(rooms, reason)


def _empty(batch: Any) -> Any:
    numbers = {f.name: getattr(batch, f.name)[:0] for f in dataclasses.fields(batch) if f.name in _PER_ROW}
    return replace(batch, row_ids=(), **numbers)


_PER_ROW = {"labels", "numeric", "probabilities", "candidate_ptr"}


def _same_row(batch: Any) -> Any:
    return replace(batch, row_ids=batch.row_ids[:1] * len(batch.row_ids))


def _odd_row(batch: Any) -> Any:
    return replace(batch, row_ids=("a\nb", *batch.row_ids[1:]))


def _no_file(model: Any) -> Any:
    return replace(model, model="m", uri=model.uri.replace(model.sha256, "a" * 64))


def _beliefs(value: float) -> Change:
    return _set(question="x", probabilities=np.full(3, value))


def _labelled(code: int) -> Change:
    return lambda batch: replace(batch, classes=CLASSES, labels=np.full(len(batch.row_ids), code, np.int32))


def _other_pillar(batch: p.RelationBatch) -> p.RelationBatch:
    return replace(batch, pillar=p.Pillar.TRAIN if batch.pillar is p.Pillar.POOL else p.Pillar.POOL)


def _candidate(probability: float) -> Change:
    def change(batch: p.RelationBatch) -> p.RelationBatch:
        pointer = np.ones(len(batch.row_ids) + 1, np.int32)
        pointer[0] = 0
        zero = np.zeros(1, np.int32)
        return replace(
            batch,
            sources=("cleaner",),
            candidate_ptr=pointer,
            candidate_column=zero,
            candidate_source=zero,
            candidate_value=np.array([1.0]),
            candidate_probability=np.array([probability]),
        )

    return change


_UNLABELLED = ("datamagic data.test", "datamagic data.production", "advisor data.production")
_NO_LABELS = {"datamagic": "bad_upload", "datamagic uploads.test": "wrong_topic"}
_FORBIDDEN = {"datamagic": "forbidden_uri"}
_CANDIDATES = {"datamagic": "bad_candidates"}
USERS = ("advisor", "snoopy", "cpclean", "market", "trainer", "serving", "datamagic", "ci")
READERS = (*USERS, "labels")

CASES: dict[type, tuple[Case, ...]] = {
    p.RelationBatch: (
        Case("infinite", _item("numeric", 0, INF), _every("not_finite", *USERS)),  # people may see it
        Case("no rows", _empty, {}),
        Case("a cell too few", _short("numeric"), _every("wrong_width", *READERS)),
        Case("a text too many", _set(texts=("x",)), _every("wrong_width", *READERS)),
        Case(
            "foreign column",
            lambda d: replace(d, columns=(replace(d.columns[0], name="x"), *d.columns[1:])),
            _every("unknown_column", *USERS),
        ),
        Case(
            "missing column",
            lambda d: replace(d, columns=d.columns[1:], numeric=d.numeric.reshape(-1, 4)[:, 1:].ravel()),
            _every("missing_column", *USERS),
        ),
        Case(
            "other kind",
            lambda d: replace(d, columns=tuple(replace(c, kind=p.ColumnKind.DATETIME) for c in d.columns)),
            _every("wrong_kind", *USERS),
        ),
        Case("foreign class", _set(classes=("martian",)), _every("unknown_class", *USERS)),
        Case("class code 7", _labelled(7), _every("unknown_class", *USERS)),
        Case("class code -7", _labelled(-7), _every("unknown_class", *USERS)),
        Case("labels where none belong", _labelled(0), _every("labels_not_allowed", "serving", "ci", *_UNLABELLED)),
        Case(
            "a row twice", lambda d: replace(d, row_ids=d.row_ids[:1] * len(d.row_ids)), _every("duplicate_row", *USERS)
        ),
        Case(
            "row id with a line feed",
            lambda d: replace(d, row_ids=("a\nb", *d.row_ids[1:])),
            _every("bad_row_id", *USERS),
        ),
        Case("prior 0.4 alone", _candidate(0.4), _every("bad_candidates", *USERS)),
        Case("prior NaN", _candidate(NAN), _every("bad_candidates", *USERS)),
        Case("another pillar's", _other_pillar, _every("wrong_pillar", *READERS)),
    ),
    p.Upload: (
        Case("no name", _set(upload=""), {"datamagic": "bad_upload"}),
        Case("chunk 5 of 1", _set(upload="x", chunk=5), {"datamagic": "bad_upload"}),
        Case("no chunks", _set(upload="x", chunks=0), {"datamagic": "bad_upload"}),
        Case("other digest", _set(upload="x", sha256="0" * 64), {"datamagic": "wrong_digest"}),
        Case("digest that is none", _set(upload="x", sha256="x"), {"datamagic": "bad_upload"}),
        Case("foreign pillar", _set(upload="x", pillar="cellar"), {"datamagic": "bad_upload"}),
        Case("labels that are not there", _set(upload="x", pillar="train"), _NO_LABELS),
        Case(
            "file of the server", _set(upload="x", sha256="1" * 64, uri="file:///etc/passwd", content=b""), _FORBIDDEN
        ),
        Case("URI and content", _set(upload="x", uri="memory://x"), {"datamagic": "bad_upload"}),
        Case("test share NaN", _set(upload="x", test_share=NAN), {"datamagic": "bad_upload"}),
    ),
    p.CandidateBatch: (
        Case("priors sum to 0.5", lambda d: replace(d, probability=d.probability / 2), _CANDIDATES),
        Case("prior NaN", lambda d: replace(d, probability=d.probability * NAN), _CANDIDATES),
        Case("a value too few", _set(values=("5.0",)), _CANDIDATES),
        Case("a word", lambda d: replace(d, values=("many", *d.values[1:])), _CANDIDATES),
        Case(
            "foreign column",
            lambda d: replace(d, columns=("x", *d.columns[1:])),
            {"datamagic": "unknown_column"},
        ),
        Case("row beyond", _item("row", 0, 7), _CANDIDATES),
        Case("no source", _set(source=""), _CANDIDATES),
        Case("unknown rows", lambda d: replace(d, row_ids=tuple(f"?{row}" for row in d.row_ids)), {}),
        Case("another pillar's", _set(pillar=p.Pillar.POOL), {}),
    ),
    p.TestLabels: (
        Case("a label too few", _short("labels"), {"ci": "width"}),
        Case("class code 9", _item("labels", 0, 9), {"ci": "unknown_class"}),
        Case("class code -1", _item("labels", 0, -1), {"ci": "unknown_class"}),
        Case("foreign classes", _set(classes=("a", "b", "c")), {"ci": "unknown_class"}),
        Case("a row twice", _same_row, {"ci": "duplicate_row"}),
        Case("other labels", lambda d: replace(d, labels=(d.labels + 1) % 3), {"ci": "conflict"}, before=False),
        Case("no rows", _empty, {}),
    ),
    p.DataVersion: (
        Case("no rows", _set(rows=0), {"automl": "empty_version"}),
        Case("fewer than no rows", _set(rows=-5), {"automl": "empty_version"}),
        Case("another pillar's", _set(pillar=p.Pillar.PRODUCTION), {}),
    ),
    p.TrialProgress: (
        Case("share NaN", _set(fraction=NAN), {}),
        Case("unknown trial", _set(trial="nobody's"), {}),
    ),
    p.TrialAssigned: (
        # a training that fails is an outcome, not a bad message
        Case("foreign family", _set(trial="x", family="quantum"), {}),
        Case("parameters that are no JSON", _set(trial="x", parameters="{"), {}),
        Case("parameters that are no object", _set(trial="x", parameters="[1]"), {}),
        Case("parameter of another type", _set(trial="x", parameters='{"max_depth": "deep"}'), {}),
        Case("lease NaN", _set(trial="x", lease_seconds=NAN), {}),
        Case("lease infinite", _set(trial="x", lease_seconds=INF), {}),
        Case("endless", _set(trial="x", cpu_seconds=INF), {}),
        Case("no memory", _set(trial="x", memory_bytes=-1), {}),
        Case("the last turn of all", _set(trial="x", turn=2**63 - 1), {}),
        Case("a partition that is none", _set(trial="x", seen={"cellar": 7}), {}),
        Case("no rows", _set(trial="x", train_rows=0), {"trainer": "invalid_data"}),
        Case("fewer than no rows", _set(trial="x", train_rows=-3), {"trainer": "invalid_data"}),
    ),
    p.TrialFinished: (
        Case("unknown trial", _set(trial="nobody's"), {}),
        Case("quality NaN", _set(quality=NAN), {"automl": "invalid_data"}),
        Case("quality infinite", _set(quality=INF), {"automl": "invalid_data"}),
        Case("quality 7", _set(quality=7.0), {"automl": "invalid_data"}),
        Case("quality -3", _set(quality=-3.0), {"automl": "invalid_data"}),
        Case("cost NaN", _set(cost_seconds=NAN), {"automl": "invalid_data"}),
        Case("cost -1", _set(cost_seconds=-1.0), {"automl": "invalid_data"}),
    ),
    p.ModelPublished: (
        # CI never opens a model file: it judges predictions, and a model without any just waits
        Case("file outside the store", _set(model="m", uri="file:///etc/passwd"), {"serving": "artifact"}),
        Case(
            "no such file",
            _no_file,
            {"serving": "artifact"},
        ),
        Case("other digest", _set(model="m", sha256="0" * 64), {"serving": "artifact"}),
        Case("digest that is none", _set(model="m", sha256="x"), {"serving": "artifact"}),
        Case("other size", _set(model="m", size=3), {"serving": "artifact"}),
        Case("other format", _set(model="m", format="onnx"), {"serving": "artifact"}),
        Case("foreign column", _set(model="m", columns=("x",)), {"serving": "signature"}),
        Case("no column", _set(model="m", columns=()), {"serving": "signature"}),
        Case("foreign class", _set(model="m", classes=("x",)), {"serving": "signature"}),
        Case("accuracy NaN", _set(model="m", metrics={"accuracy": NAN}), {}),
        Case("accuracy infinite", _set(model="m", metrics={"accuracy": INF}), {}),
        Case("no name", _set(model=""), {"serving": "invalid_data"}),
        Case("name with a line feed", _set(model="a\nb"), {"serving": "invalid_data"}),
    ),
    p.ModelRetired: (Case("unknown model", _set(model="nobody"), {}), Case("no name", _set(model=""), {})),
    p.PredictionBatch: (
        # only labels are read; what a model is not known for (yet) may come from an external model
        Case("a label too few", _short("labels"), _every("width", "ci", "modelpicker")),
        Case("class code 9", _item("labels", 0, 9), _every("unknown_class", "ci", "modelpicker")),
        Case("class code -5", _item("labels", 0, -5), {}),
        Case("unknown model", _set(model="nobody"), {}),
        Case("probabilities that sum to 2", lambda d: replace(d, probabilities=d.probabilities * 2), {}),
        Case("probabilities NaN", lambda d: replace(d, probabilities=d.probabilities * NAN), {}),
        Case("a probability too few", _short("probabilities"), {}),
        Case("a row twice", lambda d: replace(_same_row(d), model="x"), {}),
        Case(
            "unknown rows", lambda d: replace(d, model="x", row_ids=tuple(f"?{r}" for r in d.row_ids)), {}, before=False
        ),
        Case("another pillar's", _set(pillar=p.Pillar.TRAIN), {}),
        Case("no rows", _empty, {}),
    ),
    p.Verdict: (Case("unknown model", _set(model="nobody", signal=True), {}, before=False),),
    p.Answer: (
        Case("row nobody asked about", _set(row_id="x"), {"modelpicker": "not_asked"}),
        Case("class code 9", _set(value=9), {"modelpicker": "invalid_data", "ci": "unknown_class"}),
        Case("class code -1", _set(value=-1), {"modelpicker": "invalid_data", "ci": "unknown_class"}),
        Case(
            "other answer",
            lambda d: replace(d, value=(d.value + 1) % 3),
            {"modelpicker": "conflict", "ci": "unknown_class"},
            before=False,
        ),
        Case("somebody else's", _set(asked_by="market", value=9), {}),
        Case("about a cell", _set(kind=p.QuestionKind.CELL, value=9), {}),
    ),
    p.ModelPicked: (
        Case("unknown model", _set(model="nobody"), {}),
        Case("belief NaN", _set(posterior={"x": NAN}), {}),
    ),
    p.FeasibilityReport: (
        # a report is what Snoopy believes; only the running study's own leads to the next one
        Case("target NaN", _set(target_accuracy=NAN), {}),
        Case("of no study", _set(rows=0, final=False), {}),
    ),
    p.CleaningReport: (
        # a belief of CPClean; only the running study's own leads to the next one
        Case("accuracy NaN", _set(expected=NAN, potential=NAN), {}),
        Case("more certain rows than rows", _set(certain=99, validation_rows=3), {}),
        Case("of no study", _set(rows=0, begun_at=NAN, final=False), {}),
    ),
    p.ValuesReport: (
        Case("harm NaN", _set(harm=NAN), {}),
        Case("of no study", _set(rows=0, final=False), {}),
    ),
    p.TestSetNeeded: (Case("fewer than no examples", _set(examples=-1), {}),),
    p.TestSetOpened: (Case("of another epoch", _set(epoch=7), {}),),
    p.TestSetExhausted: (Case("of another epoch", _set(epoch=7), {}),),
    p.Question: (
        Case(
            "beliefs that sum to 2.7",
            _beliefs(0.9),
            {"labels": "invalid_probabilities"},
        ),
        Case("beliefs NaN", _beliefs(NAN), {"labels": "invalid_probabilities"}),
        Case("gain NaN", _set(question="x", information_gain=NAN), {"labels": "invalid_number"}),
        Case("for nothing", _set(question="x", cost=0.0), {"labels": "invalid_number"}),
        Case("for ever and ever", _set(question="x", expires_at=INF), {"labels": "invalid_number"}),
        Case("foreign classes", _set(question="x", candidates=("a", "b", "c")), {"labels": "unknown_class"}),
        Case("no choice", _set(question="x", candidates=CLASSES[:1]), {"labels": "invalid_candidates"}),
        Case("about a test row", _set(question="x", pillar=p.Pillar.TEST), {"labels questions": "restricted_pillar"}),
        Case(
            "about a cell of no column",
            _set(question="x", kind=p.QuestionKind.CELL),
            {"labels": "no_column", "labels ci.questions": "restricted_pillar"},
        ),
        Case("no name", _set(question=""), {"labels": "invalid_name"}),
        Case("endless", _set(question="x", context={"x": "y" * 50_000}), {"labels": "too_large"}),
    ),
    p.Annotation: (
        Case("value 9", _set(request_id="x", value=9), {"labels": "invalid_value"}, after=False),
        Case("value -2", _set(request_id="x", value=-2), {"labels": "invalid_value"}),
        Case("nobody's", _set(request_id="x", annotator=""), {"labels": "invalid_name"}),
        Case("no request id", _set(request_id=""), {"labels": "invalid_name"}),
        Case("unknown question", _set(request_id="x", question="?"), {}),
    ),
}


def test_the_table_has_every_payload_that_services_read():
    assert {payload for name in ROOMS for _, payload in lines(name)} == set(CASES)


HINTS = {payload: typing.get_type_hints(payload, include_extras=True) for payload in CASES}
RUNS = [
    pytest.param(name, topic, payload, case, id=f"{name}-{topic.noun}-{payload.__name__}-{case.name}")
    for name in ROOMS
    for topic, payload in lines(name)
    for case in CASES[payload]
]


def specimen(life: Alone, topic: Topic, payload: type) -> tuple[int, Any]:
    """Return place and payload of the first input that matters to the service."""
    for place, record in enumerate(life.inputs):
        data = event(record).data
        if life.name == "modelpicker" and isinstance(data, p.PredictionBatch) and data.pillar is p.Pillar.TEST:
            continue
        if (record.topic, type(data)) == (topic.name, payload):
            return place, data
    raise LookupError(f"The recording has no {payload.__name__} for {life.name}.")


@pytest.fixture(scope="module")
def one_by_one(alone: Callable[..., Alone]) -> Callable[[str], tuple[Any, ...]]:
    """Return how a service ends that hears its inputs one by one."""
    ends: dict[str, tuple[Any, ...]] = {}

    def end(name: str) -> tuple[Any, ...]:
        if name not in ends:
            ends[name] = alone(name).live(1).end()
        return ends[name]

    return end


@pytest.mark.parametrize(("name", "topic", "payload", "case"), RUNS)
def test_bad_data(name, topic, payload, case, alone, one_by_one):
    life = alone(name)
    first, data = specimen(life, topic, payload)
    bad = case.change(data)
    for place, record in enumerate(life.inputs):
        if case.before and place == first:
            life.say(topic, bad, "bad-before")
        life.put([record])
        life.cluster.run()
    if case.after:
        life.say(topic, bad, "bad-after")
        life.cluster.run()
    assert life.cluster.restarts == 0
    reason = case.reasons.get(f"{name} {topic.noun}", case.reasons.get(name))
    letters = life.letters()
    assert [letter.reason for letter in letters] == ([reason] * (case.before + case.after) if reason else [])
    if reason:
        assert all(len(letter.message) > 30 for letter in letters)
        assert life.end() == one_by_one(name)
    before = life.state()
    life.cluster.restart(name)
    life.cluster.run()
    assert life.state() == before


def test_a_tick_of_no_time_is_given_up(room, alone, one_by_one):
    life = alone(room)
    ticks = [record for record in life.inputs if record.topic == TICKS.name]
    for place, record in enumerate(life.inputs):
        if ticks and place in (0, len(life.inputs) // 2):
            for time in (NAN, INF, -INF):
                value = codec.encode(p.Tick(place, time))
                life.put([replace(ticks[0], value=value, partition=HERE)], identity=f"tick-{place}-{time}")
        life.put([record])
        life.cluster.run()
    assert [letter.reason for letter in life.letters()] == ["not_finite"] * (6 if ticks else 0)
    assert life.end() == one_by_one(room)


@settings(max_examples=8, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_field_of_anything_never_crashes(room, alone, data):
    """Whatever stands in one field of a sound payload: no crash, and the state can be stored and read back."""
    life = alone(room, settings=Settings.load(fuse=10_000))
    choices = lines(room)
    for place, record in enumerate(life.inputs):
        if place % 2 == 0:
            topic, payload = data.draw(st.sampled_from(choices))
            field = data.draw(st.sampled_from([f.name for f in dataclasses.fields(payload) if f.name != "app"]))
            value = data.draw(strategy(HINTS[payload][field]))
            life.say(topic, replace(specimen(life, topic, payload)[1], **{field: value}), f"any-{place}")
        life.put([record])
        life.cluster.run()
        assert life.cluster.restarts == 0
    before = life.state()
    assert before is not None
    again = Stored.freeze(life.service.pack(life.service.unpack(APP.app, before.thaw())))
    assert again == before
    life.cluster.restart(room)
    life.cluster.run()
    assert life.state() == before
