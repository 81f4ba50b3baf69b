"""Whether a day came out right: what a batch says of the same messages, and what must hold however services decide.

Shared with the ledger of faults: nothing lost, unseen or done twice, labels, trials, uploads, verdicts, predictions
(``chaos_checks``, ``chaos_serving``). Here beside it: rows, versions and studies are those that a batch makes of the
whole topics; CI's verdicts are those of a ledger that is told the same labels at once; questions, answers and budgets
agree with each other; and every service that is built anew from its topics is the one it was, and says nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

import numpy as np
from chaos_checks import Evidence, Verdicts, check
from chaos_faults import INPUTS
from chaos_serving import check_serving
from house import ROOMS
from simulated_day import IRIS, LILY, SOURCE, Day

from easeml.ci.ledger import TestSetLedger
from easeml.cpclean.cleaning import Material
from easeml.cpclean.work import Found as Cleaned
from easeml.cpclean.work import Task
from easeml.cpclean.work import work as clean
from easeml.datamagic.versions import contents
from easeml.datamagic.versions.ledger import Ledger
from easeml.labels.queue import Closed
from easeml.labels.votes import SKIPPED
from easeml.market.study import Assignment, Findings, study
from easeml.relation import Relation
from easeml.snoopy.following import Following
from easeml.stream import envelope
from easeml.stream.changelog import Stored
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.payloads import (
    Advice,
    Annotation,
    Answer,
    AppDefined,
    AppDeleted,
    Budget,
    CandidateBatch,
    CleaningReport,
    DataVersion,
    FeasibilityReport,
    ModelPublished,
    ModelRetired,
    Pillar,
    Question,
    QuestionKind,
    RelationBatch,
    TestLabels,
    ValuesReport,
    Verdict,
    VerdictDetail,
)
from easeml.stream.tenants import seed_of
from easeml.stream.topics import BY_NAME, CI_ANSWERS, PILLAR_TOPICS, TICKS

_BUDGETS = {
    "modelpicker": "label_budget",
    "cpclean": "cleaning_budget",
    "market": "acquisition_budget",
    "ci": "test_label_budget",
}
_VIEWS = {
    "snoopy": (Pillar.TRAIN,),
    "cpclean": (Pillar.TRAIN, Pillar.VALIDATION),
    "market": (Pillar.TRAIN, Pillar.POOL, Pillar.VALIDATION),
    "trainer": (Pillar.TRAIN, Pillar.VALIDATION),
    "advisor": (Pillar.TRAIN, Pillar.VALIDATION, Pillar.PRODUCTION),
}
"""Pillars whose rows a service keeps."""
_STUDIOUS = ("cpclean", "market")
"""Whose questions come from a worker process."""
_OPINIONS = (FeasibilityReport, Advice, CleaningReport, ValuesReport, ModelPublished)
"""What a worker process makes of the rows it was given, which others may have followed meanwhile: when a service is
killed between saying it and remembering that it did, it may say otherwise under the same id. Readers take the first.
"""


def judge(day: Day) -> list[str]:
    """Return what is wrong with a day that is over, one line each; empty: nothing."""
    records = _sound(day)
    letters = [record for record in day.cluster._order if record.topic.endswith(".dlq")]
    evidence = Evidence(records, letters, _positions(day), _ends(day))
    found = check(evidence, day.corrupted, _forgotten(day))
    check_serving(evidence, day.store, found)
    batch = Batch(evidence, day)
    for question in (_rows, _versions, _feasibility, _values, _cleaning, _verdicts, _questions, _answers, _budgets):
        found.broken += question(batch)
    found.broken += _deleted(day)
    found.broken += _rebuilt(day)
    return _told(evidence, found)


def _sound(day: Day) -> list[Record]:
    """Return the messages of the topics that nobody damaged."""
    records = (record for record in day.cluster._order if record.topic in BY_NAME)
    return [r for r in records if (r.topic, r.partition, r.offset) not in day.corrupted]


def _told(evidence: Evidence, found: Verdicts) -> list[str]:
    kinds = ("lost", "unseen", "twice", "broken")
    opinions = {event.id for kind in _OPINIONS for event in evidence.of(kind)}
    opinions |= {event.id for event in evidence.of(Question) if event.data.asked_by in _STUDIOUS}
    # Of two people who contradict each other about a test row, or one and the file with the labels, the first stands.
    late = tuple(
        f"ci gave up a good message of {CI_ANSWERS.name}: Test row {row!r}:"
        for row, said in _test_labels(evidence.of(TestLabels), evidence.of(Answer)).items()
        if len(said) > 1
    )
    return [
        f"{kind}: {line}"
        for kind in kinds
        for line in getattr(found, kind)
        if not (kind == "twice" and line.startswith("id ") and line.split()[1] in opinions)
        and not (kind == "lost" and late and line.startswith(late))
    ]


def _positions(day: Day) -> dict[str, dict[tuple[str, int], int]]:
    return {
        name: {
            (topic, number): lanes.processor.positions.get(topic, -1)
            for number, lanes in day.cluster._instances[name].lanes.items()
            for topic in INPUTS[name]
        }
        | {(topic, 1): -1 for topic in INPUTS[name] if day.partitions == 1}
        for name in ROOMS
    }


def _ends(day: Day) -> dict[tuple[str, int], int]:
    return {(topic, number): len(day.cluster._logs.get((topic, number), ())) for topic in BY_NAME for number in (0, 1)}


class Batch:
    """The topics of the first app as a batch sees them: whole, each message once.

    Parameters
    ----------
    evidence : Evidence
        Everything that was said.
    day : Day
        The day that is over.
    """

    def __init__(self, evidence: Evidence, day: Day) -> None:
        self.day = day
        self.app: AppDefined = day.cluster.broadcast.apps[IRIS.app]
        self.events = [event for event in evidence.events if event.app == IRIS.app]
        self.records: Iterable[Record] = day.cluster._order

    def of(self, kind: type) -> list[Event[Any]]:
        """Return the messages with such a payload."""
        return [event for event in self.events if isinstance(event.data, kind)]

    def last(self, kind: type) -> Event[Any] | None:
        return next(reversed(self.of(kind)), None)

    def state(self, service: str) -> Any:
        return self.day.cluster.state(service, IRIS.app)

    def service(self, name: str) -> Any:
        return self.day.cluster._instances[name].service

    def relation(self, pillar: Pillar, *, answers: bool = True) -> Relation | None:
        """Return the rows of a pillar: batches first, then every candidate, then every answer."""
        batches = [e.data for e in self.of(RelationBatch) if e.topic == PILLAR_TOPICS[pillar].name]
        if not batches:
            return None
        newest = {row: (batch, place) for batch in batches for place, row in enumerate(batch.row_ids)}
        parts = []
        for batch in batches:
            places = [place for place, row in enumerate(batch.row_ids) if newest[row] == (batch, place)]
            if places:
                parts += Relation.from_batches([batch]).take(np.array(places)).to_batches(self.app.app, pillar, "v1")
        rows = Relation.from_batches(parts, label=self.app.label)
        if rows.label is None:  # not one of the batches speaks of classes
            rows = Relation(rows.block, label=self.app.label, classes=self.app.classes)
        for event in self.of(CandidateBatch):
            if event.data.pillar is pillar:
                rows = rows.fold_candidates(event.data)
        if answers:
            told = {(e.data.row_id, e.data.column): e.data for e in self.of(Answer) if e.data.pillar is pillar}
            here = set(rows.row_ids)
            rows = rows.settle(
                (row, self.app.label if said.kind is QuestionKind.LABEL else column, said.text)
                for (row, column), said in told.items()
                if row in here
            )
        return rows


def _content(rows: Relation) -> tuple[Any, ...]:
    """Return everything that rows hold, whatever their order and that of those who proposed something."""
    rows = rows.take(np.argsort(np.array(rows.row_ids, object)))
    block, said = rows.block, rows.block.candidates
    sources = [said.sources[code] for code in said.source]
    told = sorted(
        zip(
            said.row.tolist(),
            said.column.tolist(),
            said.value.tolist(),
            said.probability.tolist(),
            sources,
            strict=True,
        )
    )
    labels = [rows.classes[code] if code >= 0 else "" for code in block.labels]
    return rows.row_ids, rows.columns, block.numeric.tobytes(), labels, told


def _rows(batch: Batch) -> Iterator[str]:
    """The rows that services hold are those of the topics, with all that was said of them."""
    for name, pillars in _VIEWS.items():
        views = batch.service(name)._rows
        for pillar in pillars:
            held, wanted = views.of(IRIS.app, pillar).relation(batch.app), batch.relation(pillar)
            if (held is None) != (wanted is None):
                yield f"{name} holds rows of {pillar}: {held is not None}"
            elif held is not None and wanted is not None and _content(held) != _content(wanted):
                yield f"{name} holds other rows of {pillar} than a batch makes"


def _versions(batch: Batch) -> Iterator[str]:
    """The last version of a pillar that people or answers changed tells its content."""
    for pillar in (Pillar.TRAIN, Pillar.POOL, Pillar.VALIDATION):
        ledger = Ledger()
        for event in batch.events:
            if isinstance(event.data, RelationBatch) and event.topic == PILLAR_TOPICS[pillar].name:
                ledger.rows(event.id, event.data)
        for event in batch.of(CandidateBatch) + batch.of(Answer):
            if event.data.pillar is pillar:
                ledger.tell(event.id, event.data, event.time)
        content = ledger.content(batch.app)
        announced = [e.data for e in batch.of(DataVersion) if e.data.pillar is pillar]
        if not content.known:
            continue
        if not announced:
            yield f"no version of {pillar} was announced"
        elif (announced[-1].content_hash, announced[-1].rows) != (contents.hexadecimal(content.digest), content.rows):
            yield f"the last version of {pillar} tells {announced[-1].rows} rows of other content than a batch"


# -- studies ---------------------------------------------------------------------------------------------------------


def _feasibility(batch: Batch) -> Iterator[str]:
    """The last report of Snoopy is that of a study of all rows at once."""
    state, last, rows = batch.state("snoopy"), batch.last(FeasibilityReport), batch.relation(Pillar.TRAIN)
    if rows is None or last is None or not last.data.final:
        yield f"Snoopy ended without a final report: {last and last.data}"
        return
    said, whole = last.data, Following(0)
    whole.follow(rows)
    while whole.reading:
        whole.read_on(1.0, lambda: 0.0)
    report = whole.report(batch.app.target, state.model_error)
    bounds = (report.bayes_error.lower, report.bayes_error.upper, *report.bayes_error.interval)
    told = (said.bayes_error, said.bayes_error_upper, said.interval_low, said.interval_high)
    # Rows that came in another order are summed in another order: the last bits may differ.
    same = np.allclose(told, bounds, rtol=1e-12, atol=0)
    if not same or (said.rows, said.signal) != (report.rows, report.signal):
        yield f"Snoopy says {said.rows} {said.signal} {told}, a batch {report.rows} {report.signal} {bounds}"


def _values(batch: Batch) -> Iterator[str]:
    """The last report of Market is that of a study of all rows at once, with the numbers drawn for its event."""
    last = batch.last(ValuesReport)
    if last is None or not last.data.final:
        yield f"Market ended without a final report: {last and last.data}"
        return
    settings = batch.day.cluster.settings
    train, pool, validation = (batch.relation(p) for p in (Pillar.TRAIN, Pillar.POOL, Pillar.VALIDATION))
    seed = seed_of(settings.epoch_seed.get_secret_value(), "market", IRIS.app, last.cause)
    arrived = batch.service("market")._rows
    ordered = [
        None if rows is None else _in_order(rows, arrived.of(IRIS.app, pillar).relation(batch.app))
        for rows, pillar in ((train, Pillar.TRAIN), (validation, Pillar.VALIDATION), (pool, Pillar.POOL))
    ]
    found = study(Assignment(*ordered, batch.app.classes, "", (), 0.0, 0, seed))
    if not isinstance(found, Findings):
        yield f"Market reports what a batch cannot: {found}"
        return
    said = last.data
    told = (said.rows, said.pool_rows, said.validation_rows, said.harmful_rows, said.suggested, said.valuable_rows)
    wanted = (
        found.rows, found.pool_rows, found.validation_rows, found.harmful_rows, found.suggested, found.valuable_rows,
    )  # fmt: skip
    if told != wanted or not np.array_equal(said.harmful_values, found.harmful_values):
        yield f"Market says {told}, a batch {wanted}"


def _in_order(rows: Relation, like: Relation) -> Relation:
    """Return the rows in the order in which they came to a service: with them numbers are drawn in another order."""
    places = {row: place for place, row in enumerate(rows.row_ids)}
    return rows.take(np.array([places[row] for row in like.row_ids]))


def _cleaning(batch: Batch) -> Iterator[str]:
    """The last report of CPClean tells the certain predictions of a study that knows every answer from the start."""
    last = batch.last(CleaningReport)
    if last is None or not last.data.final:
        yield f"CPClean ended without a final report: {last and last.data}"
        return
    train, proposed = batch.relation(Pillar.TRAIN), batch.relation(Pillar.TRAIN, answers=False)
    points = batch.relation(Pillar.VALIDATION)
    assert train is not None
    assert proposed is not None
    assert points is not None
    here = batch.service("cpclean")._rows.of(IRIS.app, Pillar.TRAIN)
    like = here.relation(batch.app)
    material = Material(_in_order(train, like), _in_order(proposed, like), here.answered(batch.app), points)
    found = clean(Task("batch", 0, material, (), 0, potential=False))
    if not isinstance(found, Cleaned):
        yield f"CPClean reports what a batch cannot: {found}"
        return
    said, wanted = last.data, found.figures
    told = (said.rows, said.uncertain_rows, said.validation_rows, said.certain)
    if told != (wanted.rows, wanted.uncertain_rows, wanted.validation_rows, wanted.certain):
        yield f"CPClean says {told}, a batch {wanted}"


# -- verdicts --------------------------------------------------------------------------------------------------------


def _verdicts(batch: Batch) -> Iterator[str]:
    """CI decides as a ledger that knows every label at once, in no more steps than delta was divided among."""
    gate = batch.state("ci")
    details = [e.data for e in batch.of(VerdictDetail)]
    judged = {e.data.model for e in batch.of(Verdict)} | {e.data.model for e in batch.of(ModelRetired)}
    if gate is None or gate.ledger is None:
        yield "CI opened no test set"
        return
    ledger = gate.ledger
    if ledger.steps_used > batch.app.steps or len(details) != ledger.steps_used - (gate.judged is not None):
        yield f"{len(details)} verdicts with guarantee, {ledger.steps_used} steps of {batch.app.steps} used"
    if gate.queue and not gate.used_up:
        yield f"models still wait to be judged: {[c.model for c in gate.queue]}, judged {judged}"
    if gate.judged is not None:
        yield f"the verdict on {gate.judged.model} is still open"
    again = _ledger_again(batch, gate, details)
    for said, wanted in zip(details, again.verdicts, strict=False):
        told = (said.model, said.outcome.value, said.signal, said.labels_used + said.labels_reused)
        if told != (wanted.model_id, wanted.outcome.lower(), wanted.signal, wanted.labels_used):
            yield f"CI says {told}, a ledger that is told all at once {wanted}"


def _ledger_again(batch: Batch, gate: Any, details: list[VerdictDetail]) -> TestSetLedger:
    """Return a ledger with the same order of labels that judged the same models, each told all labels at its start."""
    register = batch.service("ci")._register(IRIS.app)
    places, app, old = gate._places(), batch.app, gate.ledger
    again = TestSetLedger(
        old.n, condition=old.condition, reliability=app.reliability, steps=app.steps, adaptivity=app.adaptivity,
        mode=app.mode, passes=app.passes, rng=np.random.default_rng(0),
    )  # fmt: skip
    again._order = old.order
    again._setting = again._shared()
    given = _test_labels(batch.of(TestLabels), batch.of(Answer))
    first = next((e.data.model for e in batch.of(Verdict) if not e.data.guaranteed), None)
    if first is not None:
        again.set_baseline(first, register.predictions(first, places, len(app.classes)))
    for said in details:
        evaluation = again.propose(said.model, register.predictions(said.model, places, len(app.classes)))
        for index in evaluation:
            labels = {app.classes.index(text) for text in given[register.row(places[index])]}
            taken = int(old._labels[index])  # of several the one that came first, on whichever topic that was
            evaluation.observe(index, taken if taken in labels else labels.pop())
    return again


def _test_labels(files: Iterable[Event[Any]], answers: Iterable[Event[Any]]) -> dict[str, set[str]]:
    """Return every label that was given to a test row."""
    given: dict[str, set[str]] = {}
    for event in files:
        for row, code in zip(event.data.row_ids, event.data.labels.tolist(), strict=True):
            given.setdefault(row, set()).add(event.data.classes[code])
    for event in answers:
        if event.data.pillar is Pillar.TEST:
            given.setdefault(event.data.row_id, set()).add(event.data.text)
    return given


# -- questions -------------------------------------------------------------------------------------------------------


def _questions(batch: Batch) -> Iterator[str]:
    """Each question that was asked is open or closed, answered if and only if there is an answer, and paid."""
    state = batch.state("labels")
    answers = {e.data.question: e.data for e in batch.of(Answer)}
    for asked in {e.data.question: e.data for e in batch.of(Question)}.values():
        queue = state.test if asked.pillar is Pillar.TEST else state
        opened, closed = asked.question in queue.open, queue.why_closed(asked.question)
        if opened == (closed is not None):
            yield f"question {asked.question} of {asked.asked_by}: open {opened}, closed {closed}"
        if (closed is Closed.ANSWERED) != (asked.question in answers):
            yield f"question {asked.question}: closed {closed}, answered {asked.question in answers}"
        if opened and queue.affords(asked):
            yield f"question {asked.question} of {asked.asked_by} is open still, though it can be paid"
    unknown = set(answers) - {e.data.question for e in batch.of(Question)}
    if unknown:
        yield f"answers to questions that nobody asked: {unknown}"
    for name in ("market", "cpclean"):
        stale = {q for q in _open_at(batch, name) if q in answers}
        if stale:
            yield f"{name} still waits for answers that came: {stale}"


def _open_at(batch: Batch, name: str) -> set[str]:
    state = batch.state(name)
    if state is None:
        return set()
    if name == "cpclean":
        return set(state.open)
    return {e.data.question for e in batch.of(Question) if e.data.asked_by == name and e.data.row_id in state.open}


def _answers(batch: Batch) -> Iterator[str]:
    """An answer is what annotators said: of one asked alone the first vote, else one of the votes of enough people."""
    votes: dict[str, dict[str, tuple[int, str]]] = {}
    for event in batch.of(Annotation):
        said = event.data
        if said.value != SKIPPED:
            votes.setdefault(said.question, {}).setdefault(said.annotator, (said.value, said.text))
    for event in batch.of(Answer):
        answer, given = event.data, votes.get(event.data.question, {})
        people = 1 if answer.pillar is Pillar.TEST else batch.app.redundancy
        said = list(given.values())[: 1 if people == 1 else None]
        if (answer.value, answer.text) not in said and answer.value not in [v for v, _ in said if v >= 0]:
            yield f"the answer to {answer.question} is {answer.value} {answer.text!r}, said was {said}"
        if answer.annotators < people:
            yield f"{answer.annotators} of {people} people decided {answer.question}"


def _budgets(batch: Batch) -> Iterator[str]:
    """Every asker spent what its answers cost, never more than granted, and asked no more than it could pay."""
    asked = {e.data.question: e.data for e in batch.of(Question)}
    answers = {e.data.question for e in batch.of(Answer)}
    told = {e.data.asker: e.data for e in batch.of(Budget)}
    for asker, field in _BUDGETS.items():
        granted = getattr(batch.app, field)
        spent = sum(q.cost for name, q in asked.items() if q.asked_by == asker and name in answers)
        if spent > granted + 1e-9:
            yield f"{asker} spent {spent} of {granted}"
        if asker != "ci":
            count = sum(q.cost for q in asked.values() if q.asked_by == asker)
            if count > granted + 1e-9:
                yield f"{asker} asked for {count} labels of {granted}"
        last = told.get(asker)
        if last is not None and abs(last.spent - spent) > 1e-9:
            yield f"the last word on the budget of {asker} is {last.spent}, its answers cost {spent}"


# -- what is over, and what is built anew ------------------------------------------------------------------------------


def _forgotten(day: Day) -> set[tuple[str, int, int]]:
    """Return where the damaged messages of a deleted app are."""
    gone = {app.encode() for app in day.cluster.broadcast.deleted}
    return {
        (topic, number, offset)
        for topic, number, offset in day.corrupted
        if day.cluster._logs[topic, number][offset].key in gone
    }


def _deleted(day: Day) -> Iterator[str]:
    """Nobody remembers a deleted app, and no service says anything new about it once it is gone."""
    if LILY.app not in day.cluster.broadcast.deleted:
        return
    for name, instance in day.cluster._instances.items():
        if any(LILY.app in lanes.processor.apps for lanes in instance.lanes.values()):
            yield f"{name} has a state of the deleted app"
    known, gone = set(), False
    for record in _sound(day):
        event = envelope.parse(record)
        gone = gone or isinstance(event.data, AppDeleted)
        if gone and event.app == LILY.app and event.id not in known and event.source != SOURCE:
            yield f"{event.source} said {type(event.data).__name__} about the deleted app"
        known.add(event.id)


def _rebuilt(day: Day) -> Iterator[str]:
    """A service that is built anew from its topics is the one it was, and says nothing more."""
    before = {name: _stored(day, name) for name in ROOMS}
    count = len(day.cluster._order)
    for name in ROOMS:
        day.cluster.restart(name)
    day.cluster.run()
    for name in ROOMS:
        if _stored(day, name) != before[name]:
            yield f"{name}, built anew from its topics, is another"
    said = [record for record in day.cluster._order[count:] if record.topic in BY_NAME and record.topic != TICKS.name]
    for record in said:
        yield f"built anew, somebody said {type(envelope.parse(record).data).__name__} on {record.topic}"


def _stored(day: Day, name: str) -> Stored | None:
    state = day.cluster.state(name, IRIS.app)
    return None if state is None else Stored.freeze(day.cluster._instances[name].service.pack(state))
