"""What the pillars of an app hold on the stream: read back for comparisons, for notebooks and for tools."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from easeml import publication
from easeml.errors import InvalidDataError, NotFoundError, Poison, SchemaError
from easeml.ids import EventId
from easeml.relation import Block, Relation, RelationView, row_digests, validate_batch
from easeml.relation.proposals import batch_of, validate_candidates
from easeml.stream import codec, envelope
from easeml.stream.bulk import BulkReader, Place
from easeml.stream.messages import Record
from easeml.stream.payloads import Answer, AppDefined, CandidateBatch, Pillar, RelationBatch
from easeml.stream.publisher import EventPublisher
from easeml.stream.settings import Settings
from easeml.stream.topics import ANSWERS, CANDIDATES, PILLAR_TOPICS, Topic, partition_of

log = logging.getLogger(__name__)
_FILLED = 0.9
"""Share of the largest message that candidates may fill."""


def known_rows(
    settings: Settings, app: AppDefined, pillars: Iterable[Pillar]
) -> dict[Pillar, dict[str, dict[str, int]]]:
    """Return the digest of every row of some pillars, by pillar, version and row id."""
    known: dict[Pillar, dict[str, dict[str, int]]] = {pillar: {} for pillar in pillars}
    for record in _records(settings, app, [PILLAR_TOPICS[pillar] for pillar in known], {}):
        batch = _batch(record, app)
        if batch is not None:
            rows = known[batch.pillar].setdefault(batch.version, {})
            rows.update(zip(batch.row_ids, row_digests(Block.from_batch(batch)).tolist(), strict=True))
    return known


def relation_of(settings: Settings, app: AppDefined, pillar: Pillar) -> Relation:
    """Return a pillar's rows with every candidate and answer that is on the stream now.

    Raises
    ------
    NotFoundError
        When the pillar holds no rows.
    """
    return Follower(settings, app, pillar).relation()


class Follower:
    """The rows of a pillar for who asks again and again: only what has come since is read from the topics.

    Parameters
    ----------
    settings : Settings
        Cluster to read from.
    app : AppDefined
        Definition in force; another definition asks for another follower.
    pillar : Pillar
        Whose rows.
    """

    def __init__(self, settings: Settings, app: AppDefined, pillar: Pillar) -> None:
        self._settings = settings
        self.app = app
        self._pillar = pillar
        self._view = RelationView(app.label, app.classes, app.columns)
        self._reached: dict[Place, int] = {}

    def relation(self) -> Relation:
        """Return the rows with every candidate and answer that is on the stream now.

        Raises
        ------
        NotFoundError
            When the pillar holds no rows.
        """
        rows = PILLAR_TOPICS[self._pillar]
        for record in _records(self._settings, self.app, [rows, CANDIDATES, ANSWERS], self._reached):
            self._take(record)
            self._reached[record.topic, record.partition] = record.offset + 1
        if not len(self._view):
            raise NotFoundError(
                f"The {self._pillar} pillar of {self.app.app!r} holds no rows.", mend="Publish or upload some."
            )
        return self._view.relation()

    def _take(self, record: Record) -> None:
        own = record.topic == PILLAR_TOPICS[self._pillar].name
        said = _batch(record, self.app) if own else _opinion(record, self.app, self._pillar)
        if said is None:
            return
        try:
            self._view.fold(said)
        except InvalidDataError as error:  # the service that refuses it says so with a dead letter
            log.warning("%s[%d]@%d says nothing here: %s", record.topic, record.partition, record.offset, error)


def propose(
    publisher: EventPublisher, settings: Settings, app: AppDefined, pillar: Pillar, relation: Relation, source: str
) -> int:
    """Send what a tool says about the rows of a pillar, and return how many messages that took.

    Raises
    ------
    NotFoundError
        When the relation has no candidates of that source.
    InvalidDataError
        When they do not fit the app.
    """
    room = int(settings.max_message_bytes * _FILLED)
    batches = batch_of(relation, source, app.app, pillar, max_bytes=room)
    for batch in batches:
        validate_candidates(batch, app)
    for batch in batches:
        publisher.send(CANDIDATES, batch, event_id=EventId.derive("candidates", codec.encode(batch).hex()))
    publisher.flush()
    return len(batches)


def _records(
    settings: Settings, app: AppDefined, topics: Iterable[Topic], reached: Mapping[Place, int]
) -> Iterator[Record]:
    """Yield what lies in an app's partition of some topics, from the beginning or from where one has come to."""
    partition = partition_of(app.app, settings.partitions)
    places = [(topic.name, partition) for topic in topics]
    if not places:
        return
    reader = BulkReader(settings)
    try:
        bounds = reader.bounds(places).items()
        reader.begin({place: (max(low, reached.get(place, low)), high) for place, (low, high) in bounds})
        while records := reader.chunk():
            yield from records
    finally:
        reader.close()


def _batch(record: Record, app: AppDefined) -> RelationBatch | None:
    """Return the rows of a message when they are of this life of the app."""
    try:
        batch = envelope.parse(record).data
        if not isinstance(batch, RelationBatch) or batch.app != app.app or not publication.of_life(app, batch.version):
            return None
        validate_batch(batch, app)
    except (SchemaError, Poison):
        return None  # services give it up too, and say so: it is in no pillar
    return batch if PILLAR_TOPICS[batch.pillar].name == record.topic else None


def _opinion(record: Record, app: AppDefined, pillar: Pillar) -> CandidateBatch | Answer | None:
    """Return the candidates or the answer of a message about rows of this pillar."""
    try:
        said = envelope.parse(record).data
        if not isinstance(said, CandidateBatch | Answer) or (said.app, said.pillar) != (app.app, pillar):
            return None
        if isinstance(said, CandidateBatch):
            validate_candidates(said, app)
    except (SchemaError, Poison):
        return None
    return said
