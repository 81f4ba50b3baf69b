"""The Python SDK: create apps, publish data frames, follow events, predict.

>>> from easeml import Client                                     # doctest: +SKIP
>>> client = Client()                                             # doctest: +SKIP
>>> client.create_app("churn", label="churned", target=0.85)      # doctest: +SKIP
>>> client.publish("churn", frame)                                # doctest: +SKIP
>>> for event in client.events("churn"): print(event.data)        # doctest: +SKIP
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd

from easeml import ci, definition, pillars, publication, upload_states, uploading
from easeml.errors import InvalidDataError, NotFoundError, PermissionDeniedError
from easeml.ids import EventId
from easeml.publication import Draft, Publication
from easeml.relation import Relation
from easeml.stream import admin
from easeml.stream.events import Event
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    AppDeleted,
    AuditRecord,
    DataVersion,
    Pillar,
    RelationBatch,
    TestLabels,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ALGORITHMS,
    APPS,
    AUDIT,
    BY_NAME,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    PILLAR_TOPICS,
    Topic,
)
from easeml.supervisor.stack import connected

_ROWS_PER_BATCH = 500
_FILLED = 0.9
"""Share of the largest message that rows may fill."""

_Letter = tuple[Topic, RelationBatch | TestLabels, EventId]


class Client(AbstractContextManager["Client"]):
    """Connection of a user to Ease.ML.

    Parameters
    ----------
    bootstrap_servers : str, optional
        Kafka cluster; by default ``EASEML_BOOTSTRAP_SERVERS``, else the house that runs in ``home``.
    home : path, optional
        Folder of the house that ``easeml up`` started.

    Raises
    ------
    UnavailableError
        When no house runs there, or no broker answers.
    ConfigurationError
        When the cluster has another number of partitions than the settings; names the right one.
    """

    def __init__(self, bootstrap_servers: str = "", *, home: str | Path | None = None) -> None:
        overrides: dict[str, Any] = {"bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
        if home is not None:
            overrides["home"] = Path(home)
        settings = Settings.load(**overrides)
        self.settings = connected(settings)
        if settings.bootstrap_servers:  # a house tells its partitions itself
            admin.check_partitions(settings, APPS.name, admin.existing(settings).get(APPS.name))
        self.publisher = EventPublisher(self.settings, "client")
        """For what no method says."""

    def apps(self) -> dict[str, AppDefined]:
        """Return every app by name."""
        found: dict[str, AppDefined] = {}
        for event in self._replay(APPS.name):
            if isinstance(event.data, AppDefined):
                found[event.data.app] = event.data
            else:
                found.pop(event.app, None)
        return found

    def app(self, name: str) -> AppDefined:
        """Return the definition of an app.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        apps = self.apps()
        if name not in apps:
            raise NotFoundError(
                f"There is no app {name!r} (known: {', '.join(sorted(apps)) or 'none'}).",
                mend=f"Create it: easeml apps create {name} --label COLUMN",
            )
        return apps[name]

    def create_app(self, name: str, *, label: str, frame: pd.DataFrame | None = None, **options: Any) -> AppDefined:
        """Create an app.

        Parameters
        ----------
        name : str
            Its name.
        label : str
            Label column.
        frame : DataFrame, optional
            Example rows that fix columns and classes; else the first publication fixes them.
        **options
            Fields of AppDefined, e.g. ``target``, ``condition``, ``reliability``, ``steps``, ``label_budget``.

        Raises
        ------
        ConditionError, ConfigurationError
            When the condition does not parse or cannot be planned.
        InvalidDataError
            When an option is unknown, the app exists already or the frame has fewer than two classes.
        """
        app = definition.defined(name, label, options)
        if name in self.apps():
            raise InvalidDataError(
                f"App {name!r} exists already.", mend="Choose another name, change it (update), or delete it first."
            )
        if frame is not None:
            app = definition.with_schema(app, frame)
        self.publisher.publish(APPS, app)
        return app

    def update_app(
        self,
        name: str,
        *,
        add_classes: Iterable[str] = (),
        add_categories: Mapping[str, Iterable[str]] | None = None,
        **options: Any,
    ) -> AppDefined:
        """Change an app that exists; None leaves a field as it is.

        Parameters
        ----------
        name : str
            The app.
        add_classes : iterable of str
            Further classes; appended, so the codes in use keep their meaning.
        add_categories : mapping of str to iterable of str, optional
            Further categories by column; appended likewise.
        **options
            Fields of AppDefined: ``definition.CHANGEABLE``.

        Returns
        -------
        AppDefined
            The app from now on.

        Raises
        ------
        NotFoundError
            When there is no such app.
        ConditionError, ConfigurationError, InvalidDataError
            When the condition cannot be planned, or an option, number, class or column is not possible.
        """
        before = self.app(name)
        after = definition.changed(before, options, add_classes, add_categories or {})
        if after != before:
            self.publisher.publish(APPS, after)
        return after

    def delete_app(self, name: str, *, actor: str = "") -> None:
        """Delete an app: services forget it; the audit tells who wanted it, by default the user of this process."""
        known = self.apps()
        if name not in known:
            raise NotFoundError(
                f"There is no app {name!r} to delete.", mend=f"Known are: {', '.join(sorted(known)) or 'none'}."
            )
        self.publisher.publish(APPS, AppDeleted(name))
        self.publisher.publish(AUDIT, AuditRecord(name, actor or getpass.getuser(), "DeleteApp", name, "ok"))

    @staticmethod
    def plan(app: AppDefined) -> ci.Plan:
        """Return the CI plan of an app: how many test labels its condition costs."""
        return definition.plan_of(app)

    @staticmethod
    def rows_needed(app: AppDefined) -> int:
        """Return how many rows must be published at once so that an automatic split can pay the CI plan."""
        return publication.rows_needed(app)

    def algorithms(self) -> dict[str, AlgorithmAnnounced]:
        """Return every announced algorithm by id."""
        return {event.data.algorithm: event.data for event in self._replay(ALGORITHMS.name)}

    def announce(self, algorithms: Iterable[AlgorithmAnnounced]) -> None:
        """Announce algorithms: every app is reconsidered."""
        for algorithm in algorithms:
            self.publisher.send(
                ALGORITHMS, algorithm, event_id=EventId.derive("algorithm", algorithm.algorithm, algorithm.parameters)
            )
        self.publisher.flush()

    def publish(
        self,
        name: str,
        frame: pd.DataFrame,
        pillar: Pillar | str | None = None,
        *,
        test_share: float | None = None,
        shares: Mapping[Pillar, float] | None = None,
        row_ids: Iterable[str] | None = None,
        seed: int = 0,
        again: bool = False,
    ) -> Publication:
        """Publish the rows of a data frame, all of them or, when something is wrong, none.

        Publishing the same frame twice changes nothing, unless ``again``: ids come from the content.

        Parameters
        ----------
        name : str
            The app.
        frame : DataFrame
            Feature columns and, except for pool and production, the label column.
        pillar : Pillar, optional
            Where the rows go; None splits them into train, validation and test.
        test_share : float, optional
            Share of the test set in that split; by default 0.25, and up to 0.5 where the CI plan needs it.
        shares : mapping of Pillar to float, optional
            Shares of all pillars of that split.
        row_ids : iterable of str, optional
            Identity of each row, unique in the app; by default made from the content. Errors then name rows by the
            frame's index.
        seed : int
            Seed of that split.
        again : bool
            Append the same rows to a pillar once more.

        Returns
        -------
        Publication
            Its ``new`` is False when all of it was there already.

        Raises
        ------
        NotFoundError
            When the app does not exist.
        InvalidDataError
            When columns, types, values or labels do not fit the app, or another pillar has the same rows.
        BudgetExhaustedError
            When the test rows cannot pay the CI plan; says what would fit.

        Notes
        -----
        Rows for train, validation and test are compared with those the app has in the other pillars, so these are
        read back from its partition: the time grows with what was published to that partition before.
        """
        app = self.app(name)
        draft = publication.draft(
            app, frame, pillar, shares=shares, test_share=test_share, row_ids=row_ids, seed=seed, again=again
        )
        history = self._versions(app)
        there = {(version.pillar, version.version) for version in history}
        missing = [part for part in draft.places if (part, draft.version) not in there]
        if not missing:
            return draft.publication(new=False)
        if Pillar.TRAIN in missing and all(version.pillar is not Pillar.TRAIN for version in history):
            draft.check_training()
        draft.check_overlap(self._known(draft, history))
        messages = {part: self._messages(draft, part) for part in missing}
        if draft.schema_fixed:
            self.publisher.publish(APPS, draft.app)
        for part, letters in messages.items():
            self._send(draft, part, letters, [version for version in history if version.pillar is part])
        return draft.publication(new=True)

    def upload(
        self,
        name: str,
        source: str | Path | bytes | pd.DataFrame,
        pillar: Pillar | str | None = None,
        *,
        wait: float = 0.0,
        **wish: Any,
    ) -> str:
        """Send a file to DataMagic, which makes it rows with candidates; return the name of the upload.

        Parameters
        ----------
        name : str
            The app; the file's first rows fix its columns and classes if it has none.
        source : path, URL, bytes or DataFrame
            The file.
        pillar : Pillar, optional
            Where the rows go; None: they are split.
        wait : float
            Seconds to wait for the end; 0: do not.
        **wish
            ``id_column``, ``group_column``, ``seed`` (0), ``test_share`` (0: as needed), ``repairs`` (5), ``again``,
            ``format``, ``file_name`` as in ``Upload``; options as in ``datamagic.read``, and ``progress``.

        Raises
        ------
        NotFoundError, InvalidDataError
            When there is no such app or file, the file does not fit, or DataMagic gave it up (with ``wait``).
        UnavailableError
            When the store cannot be written, or the end does not come in time.
        """
        return uploading.upload(self, self.publisher, name, source, pillar, wait, wish)

    def uploads(self, name: str) -> dict[str, upload_states.UploadState]:
        """Return the uploads of an app, by name: running, done or given up, and what became of their rows."""
        return upload_states.states(self.app(name), self.settings)

    def relation(self, name: str, pillar: Pillar | str = Pillar.TRAIN) -> Relation:
        """Return a pillar of an app as it is now: rows, candidates of every tool, answers applied.

        Raises
        ------
        NotFoundError
            When there is no such app, or the pillar holds no rows.
        InvalidDataError
            When the pillar is none.
        """
        return pillars.relation_of(self.settings, self.app(name), publication.pillar_of(pillar))

    def propose(self, name: str, relation: Relation, source: str, pillar: Pillar | str = Pillar.TRAIN) -> int:
        """Tell the services what a tool thinks of the rows of a pillar.

        Parameters
        ----------
        name : str
            The app.
        relation : Relation
            What ``relation`` returned, with candidates of ``source`` merged.
        source : str
            The tool and its version; what it said about these cells before is replaced.
        pillar : Pillar
            Whose rows they are.

        Returns
        -------
        int
            Messages sent.

        Raises
        ------
        NotFoundError
            When there is no such app, or no candidate of that source.
        InvalidDataError
            When the candidates do not fit the app.
        """
        where = publication.pillar_of(pillar)
        return pillars.propose(self.publisher, self.settings, self.app(name), where, relation, source)

    def events(
        self,
        name: str | None = None,
        *topics: str,
        from_beginning: bool = True,
        follow: bool = True,
        restricted: bool = False,
    ) -> Iterator[Event[Any]]:
        """Iterate over events as they come.

        Parameters
        ----------
        name : str, optional
            Only events of this app.
        *topics : str
            Topic names; all unrestricted topics but the clock by default.
        from_beginning : bool
            Begin with the oldest event.
        follow : bool
            Wait for new events for ever, or stop at the present end.
        restricted : bool
            Allow topics that only the owner of the test set may read.

        Raises
        ------
        PermissionDeniedError
            When a topic, or the topic whose dead letters it holds, is restricted and ``restricted`` is False.

        Notes
        -----
        Whoever sees test labels or verdict details can fit models to the test set. A cluster's ACLs protect these
        topics, and so does the embedded broker where it has accounts; without, this refusal is all that guards them.
        """
        guarded = {label for t in BY_NAME.values() if t.restricted for label in (t.name, t.dead_letters)}
        for topic in topics:
            if topic in guarded and not restricted:
                raise PermissionDeniedError(
                    f"Topic {topic} is restricted to the owner of the test set.",
                    mend="Pass restricted=True if that is you.",
                )
        chosen = topics or tuple(t.name for t in BY_NAME.values() if not t.restricted and t.noun != "ticks")
        return self._events(name, chosen, from_beginning=from_beginning, follow=follow)

    def _events(
        self, name: str | None, chosen: tuple[str, ...], *, from_beginning: bool, follow: bool
    ) -> Iterator[Event[Any]]:
        reader = TopicReader(self.settings, chosen, from_beginning=from_beginning)
        try:
            if not follow:
                yield from (event for event in reader.replay() if name in {None, event.app})
                return
            while True:
                yield from (event for event in reader.events() if name in {None, event.app})
        finally:
            reader.close()

    def close(self) -> None:
        """Wait until everything published is on the broker."""
        self.publisher.flush()

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _replay(self, *topics: str) -> Iterator[Event[Any]]:
        reader = TopicReader(self.settings, topics)
        try:
            yield from reader.replay()
        finally:
            reader.close()

    def _versions(self, app: AppDefined) -> list[DataVersion]:
        """Return what was published in this life of the app, in order."""
        found = (event.data for event in self._replay(DATA_VERSIONS.name) if event.app == app.app)
        return [version for version in found if publication.of_life(app, version.version)]

    def _known(self, draft: Draft, history: list[DataVersion]) -> publication.Known:
        """Return the rows on the stream that the draft must not share."""
        earlier = {version.pillar for version in history if version.version != draft.version}
        judging = [part for part in draft.places if part in publication.JUDGING]
        compared = [
            other
            for other in publication.JUDGING
            if other in earlier and any(other is not part or part is Pillar.TEST for part in judging)
        ]
        return pillars.known_rows(self.settings, draft.app, compared)

    def _messages(self, draft: Draft, pillar: Pillar) -> list[_Letter]:
        """Return what a pillar's rows are on the stream; whatever is too large for it is refused here."""
        app, version, content = draft.app.app, draft.version, draft.content
        part, room = draft.part(pillar), int(self.settings.max_message_bytes * _FILLED)
        labels = part.test_labels(app, version, max_bytes=room) if pillar is Pillar.TEST else []
        batches = part.to_batches(app, pillar, version, rows_per_batch=_ROWS_PER_BATCH, max_bytes=room)
        return [
            *(
                (DATA_TEST_LABELS, message, EventId.derive("test-labels", app, version, index, content))
                for index, message in enumerate(labels)
            ),
            *(
                (PILLAR_TOPICS[pillar], batch, EventId.derive("rows", app, version, pillar, index, content))
                for index, batch in enumerate(batches)
            ),
        ]

    def _send(self, draft: Draft, pillar: Pillar, letters: list[_Letter], history: list[DataVersion]) -> None:
        app, version, content = draft.app.app, draft.version, draft.content
        rows = len(draft.places[pillar])
        for topic, message, identity in letters:
            self.publisher.send(topic, message, event_id=identity)
        self.publisher.flush()  # a version is announced when its rows are on the broker, not before
        announced = DataVersion(
            app,
            pillar,
            version,
            rows + (history[-1].rows if history else 0),
            content,
            f"{rows} rows published",
            (history[-1].version,) if history else (),
        )
        self.publisher.publish(DATA_VERSIONS, announced, event_id=EventId.derive("version", app, pillar, version))
