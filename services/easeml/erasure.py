"""Erasing an app: its messages, files and states, and the proof of what is gone and what is left.

Kafka takes messages from the head of a partition alone. An app's messages that lie behind the first one of another app
in the same partition stay until that one is erased and erasing is repeated; they are counted and told. The audit topic
stays: it tells who did what, this erasure among it. No reader gets a removed message any more; the broker frees its
room when its whole segment is removed, and that of what a compacted topic held before a tombstone when it is compacted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from easeml.artifacts import ArtifactStore
from easeml.errors import ArtifactError, NotFoundError, PermissionDeniedError, SchemaError, UnavailableError
from easeml.stream import admin, codec, deadletters
from easeml.stream.bulk import BulkReader, Place
from easeml.stream.changelog import Writer, changelog_topic
from easeml.stream.grants import HOUSE
from easeml.stream.messages import Message, Record
from easeml.stream.payloads import AuditRecord, ModelPublished, Upload
from easeml.stream.poison import PREFIX
from easeml.stream.sending import send
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ALGORITHMS,
    APPS,
    AUDIT,
    BUDGETS,
    CATALOGUE,
    MODELS,
    PICKS,
    TICKS,
    UPLOADS,
    UPLOADS_TEST,
    partition_of,
)
from easeml.supervisor.roster import SERVICES

if TYPE_CHECKING:
    from easeml.client import Client

_KEPT = (APPS, AUDIT, ALGORITHMS, TICKS)
"""Of no app, or what tells that the app is gone."""
_TOMBSTONED = {BUDGETS.name, PICKS.name}
_FILED = {MODELS.name, UPLOADS.name, UPLOADS_TEST.name}
_POLL_SECONDS = 0.5
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Erased:
    """What became of an app.

    Parameters
    ----------
    app : str
        Its name.
    removed : dict of str to int
        Messages per topic that no reader gets any more; on a compacted topic, keys that are tombstones now.
    left : dict of str to int
        Messages per topic that lie behind those of other apps.
    files : tuple of str
        Model files and stored uploads that were deleted.
    shared : tuple of str
        Those that another app has too, byte for byte; they stay.
    forgotten, waiting : tuple of str
        Services that hold no state of the app, and those that did not say so in time: they forget it when they run.
    """

    app: str
    removed: dict[str, int]
    left: dict[str, int]
    files: tuple[str, ...]
    shared: tuple[str, ...]
    forgotten: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing of the app is left that could be removed."""
        return not self.left and not self.waiting

    def __str__(self) -> str:
        told = f"{sum(self.removed.values())} messages and {len(self.files)} files removed"
        told += f", {len(self.forgotten)} services hold nothing of it"
        told += f"; {sum(self.left.values())} messages left behind those of other apps" if self.left else ""
        return told + (f"; {', '.join(self.waiting)} did not answer" if self.waiting else "")


def erase(client: Client, name: str, actor: str, wait: float = 30.0) -> Erased:
    """Delete an app and erase what the house holds of it; one that is deleted already is erased further.

    Parameters
    ----------
    client, name, actor
        As for ``pausing.pause``.
    wait : float
        Seconds to wait for services to forget the app.

    Returns
    -------
    Erased
        The proof.

    Raises
    ------
    NotFoundError
        When there is no such app, and nothing of it on any topic.
    PermissionDeniedError
        When the account does not see all topics or may not remove messages; the app is as it was.
    UnavailableError
        When the broker or the store does not do what it is asked.
    """
    settings, lives = client.settings, name in client.apps()
    _check_rights(settings, name)
    if lives:
        client.delete_app(name, actor=actor)
    waiting = _waiting(settings, name, wait if lives else 0.0)
    findings = _read(settings, name)
    if not lives and not findings.own:
        raise NotFoundError(f"There is nothing left of an app {name!r}.", mend="'easeml apps list' shows the apps.")
    files = _delete_files(settings, findings.files - findings.others_files)
    _cut(settings, {place: head.end for place, head in findings.heads.items() if head.before})
    send(settings, [Message(topic, number, key, None) for topic, number, key in findings.keys])
    removed = Counter({place[0]: head.before for place, head in findings.heads.items() if head.before})
    removed.update(topic for topic, _, _ in findings.keys)
    erased = Erased(
        name,
        dict(sorted(removed.items())),
        {place[0]: head.behind for place, head in sorted(findings.heads.items()) if head.behind},
        tuple(files),
        tuple(sorted(findings.files & findings.others_files)),
        tuple(service for service in SERVICES if service not in waiting),
        tuple(waiting),
    )
    client.publisher.publish(AUDIT, AuditRecord(name, actor, "EraseApp", str(erased), "ok"))
    return erased


@dataclass(slots=True)
class _Head:
    """How far a partition may be cut."""

    end: int
    before: int = 0
    behind: int = 0
    met: bool = False

    def take(self, offset: int, *, own: bool) -> None:
        if own and self.met:
            self.behind += 1
        elif own:
            self.before += 1
        elif not self.met:
            self.met, self.end = True, offset


@dataclass
class _Findings:
    """What lies on the topics of an app's partition, and which files the apps of all partitions have."""

    heads: dict[Place, _Head] = field(default_factory=dict)
    keys: set[tuple[str, int, bytes]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    others_files: set[str] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)

    @property
    def own(self) -> bool:
        return bool(self.keys) or any(head.before or head.behind for head in self.heads.values())

    def take(self, record: Record, name: str) -> None:
        """Take a message in."""
        headers = deadletters.headers_of(record)
        mark = headers.get(deadletters.MARKED)
        own = mark in self.letters if mark is not None else _app_of(record, headers) == name
        if own and record.topic.endswith(".dlq"):
            self.letters.add(headers.get(f"{PREFIX}id", ""))
        if record.topic in _FILED:
            (self.files if own else self.others_files).update(_files_of(record))
        if record.topic in _TOMBSTONED:
            if own and record.key is not None:
                change = self.keys.discard if record.value is None else self.keys.add
                change((record.topic, record.partition, record.key))
        elif (head := self.heads.get((record.topic, record.partition))) is not None:
            head.take(record.offset, own=own)


def _check_rights(settings: Settings, name: str) -> None:
    """Refuse what would end half-way: a topic that an account may not see is to it as if it were not there."""
    hidden = sorted(admin.wanted_configs(settings, SERVICES).keys() - admin.existing(settings).keys())
    if hidden:
        raise PermissionDeniedError(
            f"{len(hidden)} topics are missing or hidden from this account, {hidden[0]} among them; what they hold of "
            f"{name} would stay.",
            mend=f"Erase it with the account {HOUSE!r}. If they are missing, make them: easeml.supervisor.topics.",
        )
    places = [place for place in _places(settings, name) if place[0] not in _TOMBSTONED]
    reader = BulkReader(settings)
    try:
        bounds = reader.bounds(places)
    finally:
        reader.close()
    _cut(settings, {place: low for place, (low, _) in bounds.items()})


def _places(settings: Settings, name: str) -> list[Place]:
    """Return the partitions that may hold messages of an app."""
    number = partition_of(name, settings.partitions)
    names = [topic.name for topic in CATALOGUE if topic not in _KEPT] + [topic.dead_letters for topic in CATALOGUE]
    return [(topic, number) for topic in names]


def _read(settings: Settings, name: str) -> _Findings:
    number, places = partition_of(name, settings.partitions), _places(settings, name)
    filed = [(topic, other) for topic in sorted(_FILED) for other in range(settings.partitions) if other != number]
    reader = BulkReader(settings)
    try:
        bounds = reader.bounds([*places, *filed])
        findings = _Findings({place: _Head(bounds[place][1]) for place in places if place[0] not in _TOMBSTONED})
        reader.begin(bounds)
        while records := reader.chunk():
            for record in records:
                findings.take(record, name)
    finally:
        reader.close()
    return findings


def _app_of(record: Record, headers: dict[str, str]) -> str:
    """Return the app of a message; empty: it says none, and so it is taken for another's."""
    if "partitionkey" in headers:
        return headers["partitionkey"]
    if record.value is None:
        return (record.key or b"").decode(errors="replace").partition("/")[0]
    try:
        return str(getattr(codec.decode(record.value), "app", ""))
    except SchemaError:
        return ""


def _files_of(record: Record) -> Iterable[str]:
    try:
        said = codec.decode(record.value or b"")
    except SchemaError:
        return []
    return [said.uri] if isinstance(said, ModelPublished | Upload) and said.uri else []


def _delete_files(settings: Settings, uris: Iterable[str]) -> list[str]:
    """Delete files of the house's own store and return which there were; what lies elsewhere is not ours."""
    store = ArtifactStore(settings.store_uri, settings.max_artifact_bytes)
    deleted = []
    for uri in sorted(uris):
        try:
            if store.delete(uri):
                deleted.append(uri)
        except ArtifactError:
            continue  # it lies in another's store
    return deleted


def _cut(settings: Settings, ends: dict[Place, int]) -> None:
    """Remove what lies before an offset of each partition."""
    if not ends:
        return
    handle = admin.client(settings)
    asked = handle.delete_records([TopicPartition(*place, end) for place, end in ends.items()])
    for place, future in asked.items():
        try:
            future.result(_TIMEOUT)
        except KafkaException as error:
            told = f"The broker does not remove messages of {place.topic}: {error.args[0].str()}."
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise PermissionDeniedError(told, mend=f"Erase the app with the account {HOUSE!r}.") from error
            raise UnavailableError(told, mend="Erase the app again.") from error


def _waiting(settings: Settings, name: str, seconds: float) -> list[str]:
    """Return the services that hold a state of the app after so many seconds: the last word of their changelogs."""
    number, until = partition_of(name, settings.partitions), time.monotonic() + seconds
    services = {changelog_topic(service): service for service in SERVICES}
    places = [(topic, number) for topic in services]
    keys = {topic: Writer(service, number).tombstone(name).key for topic, service in services.items()}
    holding: dict[str, bool] = {}
    read = dict.fromkeys(places, 0)
    reader = BulkReader(settings)
    try:
        while True:
            bounds = reader.bounds(places)
            reader.begin({place: (max(read[place], low), high) for place, (low, high) in bounds.items()})
            while records := reader.chunk():
                holding.update((one.topic, one.value is not None) for one in records if one.key == keys[one.topic])
            read = {place: high for place, (_, high) in bounds.items()}
            left = [services[topic] for topic, _ in places if holding.get(topic)]
            if not left or time.monotonic() > until:
                return left
            time.sleep(_POLL_SECONDS)
    finally:
        reader.close()
