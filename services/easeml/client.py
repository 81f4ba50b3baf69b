"""The Python SDK: create apps, publish data frames, follow events, predict.

>>> from easeml import Client                                     # doctest: +SKIP
>>> client = Client()                                             # doctest: +SKIP
>>> client.create_app("churn", label="churned", target=0.85)      # doctest: +SKIP
>>> client.publish("churn", frame)                                # doctest: +SKIP
>>> for event in client.events("churn"): print(event.data)        # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from easeml import ci
from easeml.errors import BudgetExhaustedError, InvalidDataError, NotFoundError
from easeml.ids import AppId, EventId
from easeml.relation import Relation
from easeml.relation.splitting import DEFAULT_SHARES, split_pillars
from easeml.stream.events import Event
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    AppDeleted,
    DataVersion,
    Pillar,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ALGORITHMS,
    APPS,
    BY_NAME,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    PILLAR_TOPICS,
)
from easeml.supervisor.stack import connected

_ROWS_PER_BATCH = 500


@dataclass(frozen=True, slots=True)
class Publication:
    """What ``publish`` put on the stream.

    Parameters
    ----------
    app : str
        The app.
    version : str
        Name of the data version.
    rows : mapping of Pillar to int
        Rows per pillar.
    row_ids : mapping of Pillar to tuple of str
        Their ids, in the order of the frame.
    """

    app: str
    version: str
    rows: Mapping[Pillar, int]
    row_ids: Mapping[Pillar, tuple[str, ...]]


class Client:
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
        When no house runs there.
    """

    def __init__(self, bootstrap_servers: str = "", *, home: str | Path | None = None) -> None:
        overrides: dict[str, Any] = {"bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
        if home is not None:
            overrides["home"] = Path(home)
        self.settings = connected(Settings.load(**overrides))
        self._publisher = EventPublisher(self.settings, "client")

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

    def create_app(
        self,
        name: str,
        *,
        label: str,
        frame: pd.DataFrame | None = None,
        replace_existing: bool = False,
        **options: Any,
    ) -> AppDefined:
        """Create an app.

        Parameters
        ----------
        name : str
            Its name.
        label : str
            Label column.
        frame : DataFrame, optional
            Example rows that fix columns and classes; else the first publication fixes them.
        replace_existing : bool
            Change an app that exists.
        **options
            Fields of AppDefined, e.g. ``target``, ``condition``, ``reliability``, ``steps``, ``label_budget``.

        Raises
        ------
        ConditionError
            When the condition does not parse or cannot be planned.
        InvalidDataError
            When an option is unknown or the app exists already.
        """
        try:
            app = AppDefined(AppId(name), label, (), (), **options)
        except TypeError as error:
            fields = ", ".join(f for f in AppDefined.__slots__ if f not in {"app", "label", "columns"})
            raise InvalidDataError(f"Unknown option of an app ({error}).", mend=f"Known are: {fields}.") from error
        self.plan(app)
        if not replace_existing and name in self.apps():
            raise InvalidDataError(f"App {name!r} exists already.", mend="Choose another name, or delete it first.")
        if frame is not None:
            app = self._with_schema(app, frame)
        self._publisher.publish(APPS, app)
        return app

    def delete_app(self, name: str) -> None:
        """Delete an app: services forget it."""
        self.app(name)
        self._publisher.publish(APPS, AppDeleted(name))

    @staticmethod
    def plan(app: AppDefined) -> ci.Plan:
        """Return the CI plan of an app: how many test labels its condition costs."""
        return ci.plan(
            ci.parse(app.condition),
            reliability=app.reliability,
            steps=app.steps,
            adaptivity=app.adaptivity,
            mode=app.mode,
        )

    def algorithms(self) -> dict[str, AlgorithmAnnounced]:
        """Return every announced algorithm by id."""
        return {event.data.algorithm: event.data for event in self._replay(ALGORITHMS.name)}

    def announce(self, algorithms: Iterable[AlgorithmAnnounced]) -> None:
        """Announce algorithms: every app is reconsidered."""
        for algorithm in algorithms:
            self._publisher.send(
                ALGORITHMS, algorithm, event_id=EventId.derive("algorithm", algorithm.algorithm, algorithm.parameters)
            )
        self._publisher.flush()

    def publish(
        self,
        name: str,
        frame: pd.DataFrame,
        pillar: Pillar | str | None = None,
        *,
        shares: Mapping[Pillar, float] = DEFAULT_SHARES,
        row_ids: Iterable[str] | None = None,
        seed: int = 0,
        again: bool = False,
    ) -> Publication:
        """Publish the rows of a data frame.

        Publishing the same frame twice changes nothing, unless ``again``: ids come from the content.

        Parameters
        ----------
        name : str
            The app.
        frame : DataFrame
            Feature columns and, except for pool and production, the label column.
        pillar : Pillar, optional
            Where the rows go; None splits them into train, validation and test.
        shares : mapping of Pillar to float
            Shares of that split.
        row_ids : iterable of str, optional
            Identity of each row, unique in the app; by default made from the content.
        seed : int
            Seed of that split.
        again : bool
            Append the same rows once more.

        Raises
        ------
        NotFoundError
            When the app does not exist.
        InvalidDataError
            When columns, types, values or labels do not fit the app.
        BudgetExhaustedError
            When the test rows cannot pay the CI plan; says what would fit.
        """
        app = self.app(name)
        if not app.columns:
            app = self._with_schema(app, frame)
            self._publisher.publish(APPS, app)
        wanted = None if pillar is None else _pillar(pillar)
        content = _content_hash(app, frame, wanted, again=again)
        version = f"v-{content[:12]}"
        ids = tuple(row_ids) if row_ids is not None else tuple(f"{version[2:]}-{i}" for i in range(len(frame)))
        relation = _relation(app, frame, wanted, ids)
        if wanted is not None:
            parts = {wanted: relation}
        else:
            assigned = split_pillars(relation.features(), relation.labels, shares, rng=np.random.default_rng(seed))
            parts = {part: relation.take(assigned == part) for part in shares}
        if Pillar.TEST in parts:
            self._check_test_size(app, len(parts[Pillar.TEST]))
        previous = self._versions(name)
        for part, rows in parts.items():
            self._send(app, rows, part, version, previous.get(part), content)
        return Publication(
            name,
            version,
            {part: len(rows) for part, rows in parts.items()},
            {part: rows.row_ids for part, rows in parts.items()},
        )

    def events(
        self, name: str | None = None, *topics: str, from_beginning: bool = True, follow: bool = True
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
        """
        chosen = topics or tuple(t.name for t in BY_NAME.values() if not t.restricted and t.noun != "ticks")
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
        self._publisher.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _replay(self, *topics: str) -> Iterator[Event[Any]]:
        reader = TopicReader(self.settings, topics)
        try:
            yield from reader.replay()
        finally:
            reader.close()

    def _versions(self, name: str) -> dict[Pillar, DataVersion]:
        return {e.data.pillar: e.data for e in self._replay(DATA_VERSIONS.name) if e.app == name}

    @staticmethod
    def _with_schema(app: AppDefined, frame: pd.DataFrame) -> AppDefined:
        relation = Relation.from_frame(frame, label=app.label, classes=app.classes or None)
        return replace(app, columns=relation.columns, classes=relation.classes)

    def _check_test_size(self, app: AppDefined, rows: int) -> None:
        needed = self.plan(app).unlabelled
        if rows >= needed:
            return
        affordable = next(
            (s for s in range(app.steps - 1, 0, -1) if self.plan(replace(app, steps=s)).unlabelled <= rows), 0
        )
        mend = "Publish more test rows, or create the app with a larger tolerance in its condition"
        mend += f", or with steps={affordable}." if affordable else "."
        raise BudgetExhaustedError(
            f"The condition {app.condition!r} with reliability {app.reliability:g} over {app.steps} steps needs "
            f"{needed:,} test rows; there are {rows:,}.",
            mend=mend,
        )

    def _send(
        self, app: AppDefined, rows: Relation, pillar: Pillar, version: str, previous: DataVersion | None, content: str
    ) -> None:
        if pillar is Pillar.TEST:
            for index, labels in enumerate(rows.test_labels(app.app, version)):
                identity = EventId.derive("test-labels", app.app, version, index, content)
                self._publisher.send(DATA_TEST_LABELS, labels, event_id=identity)
        for index, batch in enumerate(rows.to_batches(app.app, pillar, version, rows_per_batch=_ROWS_PER_BATCH)):
            identity = EventId.derive("rows", app.app, version, pillar, index, content)
            self._publisher.send(PILLAR_TOPICS[pillar], batch, event_id=identity)
        self._publisher.flush()  # a version is announced when its rows are on the broker, not before
        if previous is not None and previous.version == version:
            return
        announced = DataVersion(
            app.app,
            pillar,
            version,
            len(rows) + (previous.rows if previous else 0),
            content,
            f"{len(rows)} rows published",
            (previous.version,) if previous else (),
        )
        identity = EventId.derive("version", app.app, pillar, version)
        self._publisher.publish(DATA_VERSIONS, announced, event_id=identity)


def _relation(app: AppDefined, frame: pd.DataFrame, pillar: Pillar | None, ids: tuple[str, ...]) -> Relation:
    """Return the rows as the app wants them; unlabelled rows are refused where labels are the point."""
    label: str | None = app.label
    if pillar is Pillar.PRODUCTION:
        frame, label = frame.drop(columns=app.label, errors="ignore"), None
    elif pillar is Pillar.POOL:
        frame = frame.assign(**{app.label: None})
    return Relation.from_frame(
        frame,
        label=label,
        classes=app.classes if label else None,
        columns=app.columns,
        row_ids=ids,
        require_labels=pillar not in {Pillar.POOL, Pillar.PRODUCTION},
    )


def _pillar(value: Pillar | str) -> Pillar:
    try:
        return Pillar(value)
    except ValueError:
        known = ", ".join(p.value for p in Pillar)
        raise InvalidDataError(f"{value!r} is not a pillar.", mend=f"Choose one of {known}.") from None


def _content_hash(app: AppDefined, frame: pd.DataFrame, pillar: Pillar | None, *, again: bool) -> str:
    digest = hashlib.sha256(f"{app.app}\x1f{pillar}\x1f{list(frame.columns)}".encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    if again:
        digest.update(EventId.random().encode())
    return digest.hexdigest()
