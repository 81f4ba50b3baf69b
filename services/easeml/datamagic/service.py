"""DataMagic on the stream: uploads become rows with candidates, and every change of a pillar a data version.

Event in: Upload, RelationBatch, CandidateBatch, Answer, DataVersion, Tick. Event out: RelationBatch, TestLabels,
DataVersion, OperatorRun; Upload to itself, one for each further slice of a large file.
Reading, repairs and splitting run in a worker process (``uploads``); what a pillar holds is a set digest (``ledger``).
One upload of an app goes on at a time, and each step of it waits until all rows sent before have come back: so what is
known of other rows does not depend on timing. An upload's version is announced when its rows have come back; its row
count and content hash are the pillar's then, with candidates and answers, as in the keeper's own versions.
The same file again changes nothing; rows equal to known ones stay in their pillar (PVLDB 14(3), 2021; CIDR 2021, 3).
An upload that cannot be read is a dead letter that names row and column; rows of one that do not fit are left out and
told by its COMPLETE event and its versions; a large file that breaks in the middle ends with FAIL, its rows stay.
Candidates of rows that do not come are told by a FAIL event of ``datamagic.candidates``, row by row, and go on waiting.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.ingestion import uploads
from easeml.datamagic.ingestion.assignment import JUDGING
from easeml.datamagic.ingestion.chunks import Chunks
from easeml.datamagic.ingestion.memory import MOST_WAITING, DataMagicState, Running, pack, unpack
from easeml.datamagic.ingestion.queueing import Queued, store
from easeml.datamagic.ingestion.shelf import Mark, Shelf
from easeml.datamagic.ingestion.sources import Sources
from easeml.datamagic.ingestion.tasks import TOLD, Made, Task
from easeml.datamagic.versions import candidate_checks, contents, keeper
from easeml.datamagic.versions.ledger import KEPT_ROWS, Ledger, Rows
from easeml.datamagic.versions.past import Past
from easeml.errors import Busy, Poison
from easeml.ids import EventId
from easeml.relation import check_pillar, validate_batch
from easeml.relation.validation import UNLABELLED, check_batch
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import (
    Answer,
    CandidateBatch,
    DataVersion,
    LineageDataset,
    OperatorRun,
    Pillar,
    RelationBatch,
    RunState,
    Tick,
    Upload,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.topics import (
    ANSWERS,
    CANDIDATES,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    LINEAGE,
    PILLAR_TOPICS,
    TICKS,
    UPLOADS,
    UPLOADS_TEST,
    Topic,
    uploads_topic,
)

JOB = "datamagic.upload"
CANDIDATES_JOB = "datamagic.candidates"
PATIENCE = 10.0
"""Seconds that an upload waits for the columns of its app: their definition travels on another topic."""
MOST_SHELVED = 32
"""Apps whose workers read what is known from files; another one's turn makes the first begin anew."""
OWN_SOURCE = "easeml/datamagic"
_PILLARS = {topic.name: pillar for pillar, topic in PILLAR_TOPICS.items()}


class DataMagicService(Service[DataMagicState]):
    """Uploads to rows, changes to versions.

    Parameters
    ----------
    roots : sequence of str
        URIs of the folders that uploads may lie in.
    max_message_bytes : int
        Bytes that a message may have.
    """

    name = "datamagic"

    def __init__(self, roots: Sequence[str], max_message_bytes: int = 1_000_000) -> None:
        self._roots = tuple(roots)
        self._store = Sources(self._roots)
        self._room = int(0.9 * max_message_bytes)
        self._chunks: dict[str, dict[str, Chunks]] = {}
        self._ledgers: dict[str, dict[Pillar, Ledger]] = {}
        self._shelves: dict[str, dict[str, Shelf[Rows]]] = {}
        self._pasts: dict[str, Past] = {}
        self._now = 0.0

    def table(self) -> tuple[On[DataMagicState], ...]:
        return (
            On(UPLOADS, Upload, fold=self._sent, prepare=self._prepare, handle=self._done),
            On(UPLOADS_TEST, Upload, fold=self._sent, prepare=self._prepare, handle=self._done),
            *(On(topic, RelationBatch, fold=self._arrived, handle=self._judge) for topic in PILLAR_TOPICS.values()),
            On(CANDIDATES, CandidateBatch, fold=self._proposed, handle=self._check),
            On(ANSWERS, Answer, fold=self._answered),
            On(DATA_VERSIONS, DataVersion, fold=self._announced),
            On(TICKS, Tick, fold=self._ticked, handle=self._keep),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (*PILLAR_TOPICS.values(), DATA_TEST_LABELS, DATA_VERSIONS, LINEAGE, UPLOADS, UPLOADS_TEST)

    def new_state(self, app: str) -> DataMagicState:
        del app
        return DataMagicState()

    def pack(self, state: DataMagicState) -> Packed:
        return pack(state)

    def unpack(self, app: str, packed: Packed) -> DataMagicState:
        state = unpack(packed)
        self._pasts[app] = state.past
        return state

    def needed(self, app: str, state: DataMagicState | None) -> Needs:
        ledger = self._ledgers.get(app, {}).get(Pillar.PRODUCTION)
        past = Past() if state is None else state.past
        return {PILLAR_TOPICS[Pillar.PRODUCTION].name: [] if ledger is None else ledger.needed(past)}

    def forget(self, app: str) -> None:
        self._pasts.pop(app, None)
        self._chunks.pop(app, None)
        self._ledgers.pop(app, None)
        self._shelves.pop(app, None)

    # -- views ---------------------------------------------------------------------------------------------------

    def _ledger(self, app: str, pillar: Pillar) -> Ledger:
        ledgers = self._ledgers.setdefault(app, {})
        if pillar not in ledgers:
            endless = pillar is Pillar.PRODUCTION
            ledgers[pillar] = Ledger(
                features=pillar in JUDGING,
                keep_last=KEPT_ROWS if endless else None,
                past=self._pasts.get(app, Past()) if endless else Past(),
            )
        return ledgers[pillar]

    def _sent(self, event: Event[Upload]) -> None:
        if event.source != OWN_SOURCE:
            _check_pillar(event)
            self._chunks.setdefault(event.app, {}).setdefault(event.topic, Chunks()).fold(event.data, event.time)

    def _arrived(self, event: Event[RelationBatch]) -> None:
        batch, pillar = event.data, _PILLARS[event.topic]
        check_pillar(batch, pillar)
        check_batch(batch)
        if pillar in UNLABELLED and (len(batch.classes) or (batch.candidate_column < 0).any()):
            return  # its handler says why
        if batch.row_ids:
            self._ledger(event.app, pillar).rows(event.id, batch, event.offset, own=event.source == OWN_SOURCE)

    def _proposed(self, event: Event[CandidateBatch]) -> None:
        candidate_checks.check_whole(event.data)
        self._ledger(event.app, event.data.pillar).tell(event.id, event.data, event.time)

    def _answered(self, event: Event[Answer]) -> None:
        self._ledger(event.app, event.data.pillar).tell(event.id, event.data, event.time)

    def _announced(self, event: Event[DataVersion]) -> None:
        self._ledger(event.app, event.data.pillar).announce(event.id, event.data)

    def _ticked(self, event: Event[Tick]) -> None:
        self._now = max(self._now, event.time)

    # -- rows and candidates -------------------------------------------------------------------------------------

    def _judge(self, state: DataMagicState, event: Event[RelationBatch], ctx: Context) -> Iterable[Output]:
        validate_batch(event.data, ctx.app)
        yield from self._closed(state, ctx)
        if event.data.pillar is Pillar.PRODUCTION and not state.running and state.closing is None:
            # The ids of an upload under way are still looked at one by one.
            state.past = self._ledger(ctx.app.app, Pillar.PRODUCTION).past

    def _check(self, state: DataMagicState, event: Event[CandidateBatch], ctx: Context) -> Iterable[Output]:
        del state
        candidate_checks.check_fit(event.data, ctx.app)
        return ()

    def _keep(self, state: DataMagicState, event: Event[Tick], ctx: Context) -> Iterator[Output]:
        yield from self._closed(state, ctx)
        for pillar in Pillar:
            ledger = self._ledgers.get(ctx.app.app, {}).get(pillar)
            if ledger is None:
                continue
            yield from _strange(ledger, state, pillar, ctx)
            version, said, watch = keeper.decide(
                ledger.content(ctx.app), state.said.get(pillar), state.watched.get(pillar), pillar, ctx.app, event.time
            )
            _put(state.said, pillar, said)
            _put(state.watched, pillar, watch)
            if version is not None:
                yield Output(DATA_VERSIONS, version)

    # -- uploads -------------------------------------------------------------------------------------------------

    def _prepare(self, state: DataMagicState, event: Event[Upload], ctx: Context) -> Job | None:
        upload = event.data
        if event.source == OWN_SOURCE and upload.chunk:
            running = state.running.get(upload.upload)
            if running is None or upload.chunk != running.slices:
                return self._discarded(state, upload)  # done
            self._check_complete(state, upload, ctx)
            return Job(uploads.go_on, (self._task(state, running.upload, ctx, running),))
        content = None
        if not upload.uri:
            chunks = self._chunks.get(event.app, {}).get(event.topic)
            content = chunks.whole(upload) if chunks is not None else None
            if content is None:
                return None  # chunks are missing
        if self._is_repeated(state, upload, ctx):
            return self._discarded(state, upload)
        if not ctx.app.columns:
            if self._now <= event.time + PATIENCE:
                raise Busy(f"{uploads.named(upload)} waits for the columns of {event.app}.")
            raise Poison(
                f"{uploads.named(upload)}: app {event.app!r} has no columns and classes yet.",
                mend="Upload with 'easeml upload' or the SDK, which fix them, or publish a first frame.",
                reason="no_schema",
            )
        bare = replace(upload, content=b"", chunk=0, chunks=1)
        if state.running:
            # Its next slice comes behind this message, so waiting here would be for ever.
            _check_room(state, upload)
            return Job(store, (bare, content, self._roots))
        self._check_complete(state, upload, ctx)
        return Job(uploads.begin, (self._task(state, bare, ctx, None), content))

    def _discarded(self, state: DataMagicState, upload: Upload) -> Job | None:
        """Return the job that removes the copy of an upload which is done, None where somebody still reads it."""
        read = [*(one.upload.uri for one in state.running.values()), *(one.uri for one in state.waiting)]
        if upload.uri in read or not self._store.is_copy(upload.uri):
            return None
        return Job(uploads.discard, (upload, self._roots))

    def _is_repeated(self, state: DataMagicState, upload: Upload, ctx: Context) -> bool:
        key = uploads.work_key(upload, ctx.app)
        closing = () if state.closing is None else (state.closing.upload,)
        for other in (*(one.upload for one in state.running.values()), *closing, *state.waiting):
            if other.upload != upload.upload:
                continue
            if uploads.work_key(other, ctx.app) != key:
                raise Poison(
                    f"{uploads.named(upload)}: another file or wish of this name, {other.name}, is still under way.",
                    mend="Give every upload its own name.",
                    reason="conflict",
                )
            return True
        return key in state.done

    def _has_all(self, state: DataMagicState, ctx: Context) -> bool:
        """Whether all rows that uploads have sent came back, so that the ledgers know them."""
        ledgers = self._ledgers.get(ctx.app.app, {})
        return all(
            pillar in ledgers and len(ledgers[pillar].own(ctx.app)) >= sent for pillar, sent in state.sent.items()
        )

    def _check_complete(self, state: DataMagicState, upload: Upload, ctx: Context) -> None:
        if state.closing is not None or not self._has_all(state, ctx):
            raise Busy(f"{uploads.named(upload)} waits for the rows of {ctx.app.app} that were sent before it.")

    def _task(self, state: DataMagicState, upload: Upload, ctx: Context, running: Running | None) -> Task:
        return Task(
            upload,
            ctx.app,
            self._marks(running, ctx, given=bool(upload.id_column)),
            dict(state.groups),
            state.room,
            state.crowded,
            self._roots,
            self._room,
            *((running.place, running.total) if running else ()),
        )

    def _marks(self, running: Running | None, ctx: Context, *, given: bool) -> dict[str, Mark]:
        """Return where the worker reads what is known; an app had no other upload since the running one began."""
        ledgers = self._ledgers.get(ctx.app.app, {})
        shelves = self._shelves[ctx.app.app] = self._shelves.pop(ctx.app.app, {})
        while len(self._shelves) > MOST_SHELVED:  # each holds some files open
            del self._shelves[next(iter(self._shelves))]
        marks = {}

        def put(name: str, digests: Callable[[Rows], NDArray[np.uint64]], batches: list[Rows], since: int = 0) -> None:
            shelf = shelves.setdefault(name, Shelf(digests))
            marks[name] = shelf.mark(batches, since)

        for pillar in JUDGING:
            if pillar in ledgers:
                put(f"rows.{pillar}", lambda rows: rows.features, ledgers[pillar].batches(ctx.app))
                put(f"ids.{pillar}", lambda rows: rows.ids, ledgers[pillar].batches(ctx.app))
        if running is not None and given:
            for pillar in running.rows:
                own, since = ledgers[pillar].own(ctx.app), running.before.get(pillar, 0)
                put(f"given.{pillar}", lambda rows: rows.ids, own, since)
        return marks

    def _done(self, state: DataMagicState, event: Event[Upload], ctx: Context) -> Iterable[Output]:
        made, upload = ctx.result, event.data
        if made is None:
            return ()
        if isinstance(made, Queued):
            state.waiting.append(made.upload)
            return ()
        assert isinstance(made, Made)
        former = state.running.get(upload.upload) if event.source == OWN_SOURCE and upload.chunk else None
        bare = replace(upload, content=b"", chunk=0, chunks=1, uri=made.uri or upload.uri)
        running = former or Running(bare, before=dict(state.sent))
        return self._told(state, running, made, ctx, first=former is None)

    def _told(
        self, state: DataMagicState, running: Running, made: Made, ctx: Context, *, first: bool
    ) -> Iterator[Output]:
        upload = running.upload
        if first:
            yield Output(LINEAGE, _run(running, ctx, RunState.START))
        for labels in made.labels:
            yield Output(DATA_TEST_LABELS, labels)
        for pillar, batches in made.batches.items():
            for batch in batches:
                running.rows[pillar] = running.rows.get(pillar, 0) + len(batch.row_ids)
                yield Output(PILLAR_TOPICS[pillar], batch)
            state.sent[pillar] = state.sent.get(pillar, 0) + len(batches)
        state.add_groups(made)
        running.count(made)
        if made.next is not None and not made.failure:
            running.place, running.total, running.slices = made.next, made.total, running.slices + 1
            state.running[upload.upload] = running
            yield Output(uploads_topic(upload.pillar), replace(upload, chunk=running.slices, chunks=running.slices + 1))
            return
        state.running.pop(upload.upload, None)
        self._shelves.pop(ctx.app.app, None)  # gone between uploads, so that only those under way hold files
        running.failure = made.failure
        if not made.failure:
            state.finish(uploads.work_key(upload, ctx.app))
        state.closing = running
        yield from self._closed(state, ctx)
        # Each is judged anew: the first large one of them makes the others wait again.
        for waiting in state.waiting:
            yield Output(uploads_topic(waiting.pillar), waiting)
        state.waiting = []
        if self._store.is_copy(upload.uri):
            # Comes back when the end of the upload is stored: only then is its copy removed.
            end = replace(upload, chunk=running.slices + 1, chunks=running.slices + 2)
            yield Output(uploads_topic(upload.pillar), end)

    def _closed(self, state: DataMagicState, ctx: Context) -> Iterator[Output]:
        """Announce the versions of the upload whose rows have all come back."""
        running = state.closing
        if running is None or not self._has_all(state, ctx):
            return
        state.closing = None
        versions = list(self._versions(running, ctx))
        for version in versions:
            yield Output(DATA_VERSIONS, version)
        end = RunState.FAIL if running.failure else RunState.COMPLETE
        yield Output(LINEAGE, _run(running, ctx, end, versions, running.failure))

    def _versions(self, running: Running, ctx: Context) -> Iterator[DataVersion]:
        name = uploads.version_of(running.upload, ctx.app)
        for pillar, rows in running.rows.items():
            content = self._ledger(ctx.app.app, pillar).content(ctx.app)
            yield DataVersion(
                ctx.app.app,
                pillar,
                name,
                content.rows,
                contents.hexadecimal(content.digest),
                f"{rows:,} rows of {running.upload.name} uploaded{running.troubles()}",
                (content.parent,) if content.parent and content.parent != name else (),
            )


def _check_room(state: DataMagicState, upload: Upload) -> None:
    if len(state.waiting) >= MOST_WAITING:
        raise Poison(
            f"{uploads.named(upload)}: {MOST_WAITING} uploads of this app already wait for a large one.",
            mend="Upload it again when they are done.",
            reason="too_many_uploads",
        )


def _strange(ledger: Ledger, state: DataMagicState, pillar: Pillar, ctx: Context) -> Iterator[Output]:
    """Tell of candidates whose rows have not come, each message once."""
    before = state.looked.get(pillar, 0)
    looked, found = ledger.strangers(ctx.app, before, ctx.now)
    if looked == before:
        return
    state.looked[pillar] = looked
    if found:
        told = [*found[:TOLD], *([f"and {len(found) - TOLD:,} more"] if len(found) > TOLD else [])]
        name, run = ctx.app.app, EventId.derive("candidates", ctx.app.app, pillar, before)
        message = "\n".join(told)
        yield Output(LINEAGE, OperatorRun(name, run, CANDIDATES_JOB, RunState.FAIL, producer(), message=message))


def _put(table: dict[Pillar, keeper.Said] | dict[Pillar, keeper.Watch], pillar: Pillar, value: object) -> None:
    if value is None:
        table.pop(pillar, None)
    else:
        table[pillar] = value  # type: ignore[assignment]


def _check_pillar(event: Event[Upload]) -> None:
    upload, wanted = event.data, uploads_topic(event.data.pillar)
    if upload.pillar and upload.pillar not in set(Pillar):
        raise Poison(
            f"{uploads.named(upload)}: {upload.pillar!r} is not a pillar.",
            mend=f"Name one of {', '.join(Pillar)}, or none for a split.",
            reason="bad_upload",
        )
    if event.topic != wanted.name:
        raise Poison(
            f"{uploads.named(upload)} for {upload.pillar or 'a split'} came on {event.topic}.",
            mend=f"Send it on {wanted.name}: files that may hold test rows are apart from all others.",
            reason="wrong_topic",
        )


def producer() -> str:
    """Return software and version, as lineage events name it."""
    try:
        return f"easeml/{importlib.metadata.version('easeml-streaming')}"
    except importlib.metadata.PackageNotFoundError:  # used from a source tree
        return "easeml"


def _run(
    running: Running, ctx: Context, state: RunState, versions: Sequence[DataVersion] = (), failure: str = ""
) -> OperatorRun:
    upload, app = running.upload, ctx.app.app
    wish = {
        "format": upload.format,
        "pillar": upload.pillar,
        "id_column": upload.id_column,
        "group_column": upload.group_column,
        "seed": upload.seed,
        "test_rows": upload.test_rows,
        "test_share": upload.test_share,
        "repairs": upload.repairs,
        "again": upload.again,
    }
    counts = {
        **{f"rows.{pillar}": rows for pillar, rows in running.rows.items()},
        "rejected": running.rejected,
        "clashes": running.clashes,
        "candidates": running.candidates,
    }
    return OperatorRun(
        app=app,
        run=uploads.run_of(app, upload.upload),
        job=JOB,
        state=state,
        producer=producer(),
        inputs=(LineageDataset(f"{app}/uploads/{upload.name}", upload.sha256, -1),),
        outputs=tuple(
            LineageDataset(f"{app}/{v.pillar}/{v.version}", v.content_hash, running.rows[v.pillar]) for v in versions
        ),
        parameters={
            name: json.dumps(value) for name, value in {**wish, **({} if state is RunState.START else counts)}.items()
        },
        message="\n".join([failure, *running.told] if failure else running.told),
    )
