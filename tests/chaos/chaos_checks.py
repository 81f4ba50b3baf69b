"""Whether what the broker took had its effect, once: in the words of queue checkers.

*Lost*: what an acknowledged message must bring is not there. *Unseen*: a service never came to a message. *Duplicate*:
the same output under the same id again, which is harmless. *Duplicate effect*: one id with two contents, an output that
its cause does not account for, or the same thing said under two ids.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from chaos_faults import BROADCAST, INPUTS
from chaos_house import PARTITIONS, ChaosHouse
from house import ROOMS, comparable

from easeml.ids import EventId
from easeml.stream import envelope
from easeml.stream.bulk import Place
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.payloads import (
    Annotation,
    Answer,
    AppDeleted,
    AuditRecord,
    Budget,
    ModelPublished,
    RelationBatch,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    Upload,
    Verdict,
    VerdictDetail,
)
from easeml.stream.poison import EVERY_SERVICE
from easeml.stream.topics import BY_NAME, TICKS, UPLOADS

_CONTRACT = {name: make("memory://none").contract for name, make in ROOMS.items()}


@dataclass
class Verdicts:
    """What was found; each list names what is wrong."""

    acked: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    lost: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Invariants that do not hold."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.unseen or self.twice or self.broken)


class Evidence:
    """What was said, in the order of each partition; an id that comes again counts once.

    Parameters
    ----------
    records, letters : iterable of Record
        All messages of the topics and of their dead letters.
    positions : dict
        Last applied offset of each input, by service.
    ends : dict
        End offset of each partition.
    """

    def __init__(
        self,
        records: Iterable[Record],
        letters: Iterable[Record] = (),
        positions: Mapping[str, Mapping[Place, int]] | None = None,
        ends: Mapping[Place, int] | None = None,
    ) -> None:
        self.letters = list(letters)
        self.positions = positions or {}
        self.ends = ends or {}
        self.events: list[Event[Any]] = []
        self.contents: dict[str, set[bytes]] = defaultdict(set)
        """Event id -> digests of its contents, times and offsets of work that was repeated apart."""
        self.count = self.repeated = 0
        for record in records:
            self.count += 1
            self._take(record)

    @classmethod
    def of_house(cls, house: ChaosHouse) -> Evidence:
        """Read everything of a house that is at rest."""
        positions = {name: house.positions(name) for name in INPUTS}
        letters = house.records(topic.dead_letters for topic in BY_NAME.values())
        return cls(house.records(BY_NAME), letters, positions, house.ends(BY_NAME))

    def _take(self, record: Record) -> None:
        if record.value is None or "ce_id" not in dict(record.headers):
            return
        event = envelope.parse(record)
        known = self.contents[event.id]
        if known:
            self.repeated += 1
        else:
            self.events.append(event)
        known.add(hashlib.blake2b(comparable(record), digest_size=16).digest())

    def of(self, kind: type, source: str = "") -> list[Event[Any]]:
        """Return the first message of each id with such a payload."""
        return [e for e in self.events if isinstance(e.data, kind) and (not source or e.source == f"easeml/{source}")]


def check(
    evidence: Evidence,
    corrupted: AbstractSet[tuple[str, int, int]] = frozenset(),
    forgotten: AbstractSet[tuple[str, int, int]] = frozenset(),
) -> Verdicts:
    """Return what is to be said about everything on the topics, predictions apart.

    Of the corrupted messages, those that are ``forgotten`` speak of a deleted app: who has not given one up when the
    app goes says nothing about it any more.
    """
    found = Verdicts(acked=evidence.count, duplicates=evidence.repeated)
    for judge in (_seen, _ids, _labels, _trials, _uploads, _verdicts):
        judge(evidence, found)
    _letters(evidence, corrupted, forgotten, found)
    return found


def _seen(evidence: Evidence, found: Verdicts) -> None:
    """Check that every service has applied every message of its inputs."""
    for name, positions in evidence.positions.items():
        for topic in INPUTS[name]:
            if topic == TICKS.name:
                continue  # they go on while we look
            for number in range(PARTITIONS):
                applied, end = positions.get((topic, number), -1), evidence.ends[topic, number]
                if applied + 1 != end:
                    found.unseen.append(f"{name}: {topic}[{number}] applied to {applied} of {end}")


def _ids(evidence: Evidence, found: Verdicts) -> None:
    """Check that one id has one content, and that the outputs of a cause are the ones its service numbers."""
    found.twice += [f"id {name} has {len(each)} contents" for name, each in evidence.contents.items() if len(each) > 1]
    outputs: dict[tuple[str, str, str], list[Event[Any]]] = defaultdict(list)
    for event in evidence.events:
        service = event.source.removeprefix("easeml/")
        if service in ROOMS and event.cause is not None:
            outputs[service, event.cause, event.app].append(event)
    for (service, cause, app), said in outputs.items():
        ids = {event.id for event in said}
        scopes = [
            {EventId.derive(service, _CONTRACT[service], cause, *scope, index) for index in range(len(ids))}
            for scope in ((), (app,))
        ]
        if ids not in scopes:
            kinds = sorted({type(event.data).__name__ for event in said})
            found.twice.append(f"{service} on {cause}: {len(ids)} outputs ({', '.join(kinds)}) are not its first ones")


def _letters(
    evidence: Evidence,
    corrupted: AbstractSet[tuple[str, int, int]],
    forgotten: AbstractSet[tuple[str, int, int]],
    found: Verdicts,
) -> None:
    """Check that each corrupt message was given up by each of its readers, under one id, and nothing else was."""
    wanted = {}
    for place in corrupted:
        readers = [EVERY_SERVICE] if place[0] in BROADCAST else [name for name in INPUTS if place[0] in INPUTS[name]]
        wanted |= {EventId.derive("dlq", name, *place, ""): (name, place) for name in readers}
    written = Counter(dict(letter.headers)["easeml.dlq.id"].decode() for letter in evidence.letters)
    found.dead_letters = len(written)
    found.duplicates += sum(written.values()) - len(written)
    found.unseen += [
        f"{name} did not give up {place}"
        for key, (name, place) in wanted.items()
        if key not in written and place not in forgotten
    ]
    for letter in evidence.letters:
        context = {name: value.decode() for name, value in letter.headers if name.startswith("easeml.dlq.")}
        if context["easeml.dlq.id"] not in wanted:
            words = f"{context['easeml.dlq.topic']}: {context['easeml.dlq.message']}"
            found.lost.append(f"{context['easeml.dlq.service']} gave up a good message of {words}")


def _labels(evidence: Evidence, found: Verdicts) -> None:
    """Check that each annotation was judged once, each question answered once at most, and no budget exceeded."""
    said = Counter((event.app, event.data.annotator, event.data.question) for event in evidence.of(Annotation))
    # An annotation that was faster than its question is judged when that comes, so the cause tells nothing.
    judged = Counter((e.app, e.data.actor, e.data.subject) for e in evidence.of(AuditRecord, "labels"))
    for name, count in said.items():
        if judged[name] != count:
            wrong = found.twice if judged[name] > count else found.lost
            wrong.append(f"annotation of {name}: {count} came, {judged[name]} were judged")
    answers = Counter((event.app, event.data.question) for event in evidence.of(Answer))
    found.twice += [f"question {question} answered {count} times" for question, count in answers.items() if count > 1]
    for event in evidence.of(Budget):
        if event.data.spent > event.data.granted + 1e-9:
            found.broken.append(f"{event.app}: {event.data.asker} spent {event.data.spent} of {event.data.granted}")


def _trials(evidence: Evidence, found: Verdicts) -> None:
    """Check that each trial ended, unless its app is gone, and that each trained one published its model once.

    Its trainer ends it once; the scheduler may too, which gives up a trainer that it does not hear for the length of a
    lease, and takes its late result all the same.
    """
    ended = Counter((event.data.trial, event.source) for event in evidence.of(TrialFinished))
    found.twice += [f"trial {trial} ended {count} times by {by}" for (trial, by), count in ended.items() if count > 1]
    over = {trial for trial, _ in ended}
    deleted = {event.app for event in evidence.of(AppDeleted)}
    assigned = {event.data.trial for event in evidence.of(TrialAssigned) if event.app not in deleted}
    found.lost += [f"trial {trial} did not end" for trial in sorted(assigned - over)]
    models = Counter((event.app, event.data.model) for event in evidence.of(ModelPublished))
    found.twice += [f"model {model} published {count} times" for model, count in models.items() if count > 1]
    for event in evidence.of(TrialFinished):
        if event.data.outcome is TrialOutcome.TRAINED and not models[event.app, event.data.model]:
            found.lost.append(f"trial {event.data.trial} ended without its model")


def _uploads(evidence: Evidence, found: Verdicts) -> None:
    """Check that the rows of each file came once."""
    rows = Counter((e.app, row) for e in evidence.of(RelationBatch, "datamagic") for row in e.data.row_ids)
    for event in evidence.of(Upload):
        if event.source == "easeml/chaos" and event.topic == UPLOADS.name:
            for line in event.data.content.decode().splitlines()[1:]:
                name = line.partition(",")[0]
                if rows[event.app, name] != 1:
                    (found.twice if rows[event.app, name] else found.lost).append(
                        f"row {name} of {event.data.upload} came {rows[event.app, name]} times"
                    )


def _verdicts(evidence: Evidence, found: Verdicts) -> None:
    """Check that each model has one verdict at most, and that each verdict tells the bit of its details."""
    verdicts = Counter((event.app, event.data.model) for event in evidence.of(Verdict))
    found.twice += [f"model {model} judged {count} times" for model, count in verdicts.items() if count > 1]
    details = {(event.app, event.data.model): event.data.signal for event in evidence.of(VerdictDetail)}
    for event in evidence.of(Verdict):
        if event.data.guaranteed and details.get((event.app, event.data.model)) is not event.data.signal:
            found.broken.append(f"the verdict on {event.data.model} is not that of its details")
