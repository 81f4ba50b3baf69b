"""A publication, planned without a broker: what goes to which pillar, and why not.

Everything that can be refused is refused here, before the first message: a refused publication leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.definition import plan_of, with_schema
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.ids import EventId
from easeml.relation import Relation, row_digests
from easeml.relation.columns import RowNames
from easeml.relation.splitting import (
    LARGEST_TEST_SHARE,
    chance_overlap,
    shares_with,
    split_for_test,
    split_pillars,
)
from easeml.stream.payloads import AppDefined, Pillar

JUDGING = (Pillar.TRAIN, Pillar.VALIDATION, Pillar.TEST)
"""Pillars that must not share rows."""
_TOLERATED = 0.01
"""Share of a publication that may equal rows of another pillar beyond what chance explains."""
_OURS = re.compile(r"v([0-9a-f]*)-[0-9a-f]{12}")

Known = Mapping[Pillar, Mapping[str, Mapping[str, int]]]
"""Pillar, version and row id -> row digest of rows on the stream."""


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
    new : bool
        Whether anything was published; False: all of it was there already.
    schema_fixed : bool
        Whether this publication gave the app its columns and classes.
    unseen : tuple of (int, str, str)
        Place of the row, column and value of each unknown category in production rows; it was taken for missing.
    """

    app: str
    version: str
    rows: Mapping[Pillar, int]
    row_ids: Mapping[Pillar, tuple[str, ...]]
    new: bool = True
    schema_fixed: bool = False
    unseen: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A publication that fits its app, not yet compared with what is on the stream.

    Parameters
    ----------
    app : AppDefined
        The app, with columns and classes.
    schema_fixed : bool
        Whether they are this frame's.
    version, content : str
        Name of the version and SHA-256 of what was asked for.
    relation : Relation
        All rows.
    places : mapping of Pillar to int64[rows of the pillar]
        Places of each pillar's rows among them.
    names : RowNames
        How errors name rows.
    """

    app: AppDefined
    schema_fixed: bool
    version: str
    content: str
    relation: Relation
    places: Mapping[Pillar, NDArray[np.int64]]
    names: RowNames

    def part(self, pillar: Pillar) -> Relation:
        """Return the rows of one pillar."""
        return self.relation.take(self.places[pillar])

    def publication(self, *, new: bool) -> Publication:
        """Return what the user is told."""
        ids = self.relation.row_ids
        return Publication(
            self.app.app,
            self.version,
            {pillar: len(places) for pillar, places in self.places.items()},
            {pillar: tuple(ids[place] for place in places) for pillar, places in self.places.items()},
            new,
            self.schema_fixed and new,
            self.relation.unseen,
        )

    def check_training(self) -> None:
        """Refuse first training rows of a single class: every trial would fail.

        Raises
        ------
        InvalidDataError
        """
        found = np.unique(self.relation.labels[self.places[Pillar.TRAIN]])
        if len(found) < 2:
            raise InvalidDataError(
                f"All training rows are of class {self.relation.classes[found[0]]!r}; there is nothing to learn.",
                mend="Publish training rows of at least two classes.",
            )

    def check_overlap(self, known: Known) -> None:
        """Refuse rows that another pillar has, and test rows that an earlier test set has.

        As many equal rows as chance explains are fine: data of few columns with few values has many.

        Raises
        ------
        InvalidDataError
            Names the pillars, how many rows they share and the first of them.
        """
        digests = row_digests(self.relation.block)
        for pillar, places in self.places.items():
            if pillar not in JUDGING:
                continue
            own = digests[places]
            versions = [own, *(_array(rows) for others in known.values() for rows in others.values())]
            for other, others in known.items():
                if other is pillar is not Pillar.TEST:
                    continue
                rows = [rows for version, rows in others.items() if version != self.version or other is not pillar]
                if other is not pillar:
                    self._check_ids(places, other, rows)
                theirs = np.concatenate([np.empty(0, np.uint64), *map(_array, rows)])
                shared = np.isin(own, theirs)
                if shared.mean() > chance_overlap(versions, len(own), len(theirs)) + _TOLERATED:
                    raise _shared(pillar, other, int(shared.sum()), len(own), self.names[places[np.argmax(shared)]])

    def _check_ids(self, places: NDArray[np.int64], other: Pillar, versions: list[Mapping[str, int]]) -> None:
        for place in places.tolist():
            row_id = self.relation.row_ids[place]
            if any(row_id in rows for rows in versions):
                raise InvalidDataError(
                    f"Row {row_id!r} is already in {other.value}.",
                    mend="Row ids are unique in an app: publish each row to one pillar.",
                )


def _array(rows: Mapping[str, int]) -> NDArray[np.uint64]:
    return np.fromiter(rows.values(), np.uint64, len(rows))


def _shared(pillar: Pillar, other: Pillar, shared: int, total: int, first: str) -> InvalidDataError:
    if other is pillar:
        why = "A test set judges once; after that its answers are known."
        mend = "Publish fresh test rows."
    else:
        why = "Models must be judged by rows that they have not learned from."
        mend = "Publish rows that no other pillar has, e.g. only the new rows of the file, without naming a pillar."
    return InvalidDataError(
        f"{shared:,} of {total:,} {pillar.value} rows are already in {other.value}; the first is {first}. {why}",
        mend=mend,
        reason="shared_rows",
    )


def of_life(app: AppDefined, version: str) -> bool:
    """Whether a version may be of this life of the app; versions with names of other makers may."""
    ours = _OURS.fullmatch(version)
    return ours is None or ours[1] == app.life


def rows_needed(app: AppDefined) -> int:
    """Return how many rows an automatic split needs so that its test set can pay the CI plan."""
    return math.ceil(plan_of(app).unlabelled / LARGEST_TEST_SHARE)


def draft(
    app: AppDefined,
    frame: pd.DataFrame,
    pillar: Pillar | str | None,
    *,
    shares: Mapping[Pillar, float] | None,
    test_share: float | None,
    row_ids: Iterable[str] | None,
    seed: int,
    again: bool,
) -> Draft:
    """Return the plan of a publication; arguments and errors as in ``Client.publish``."""
    wanted = None if pillar is None else pillar_of(pillar)
    _check_arguments(frame, wanted, shares, test_share, again=again)
    fixes = not app.columns
    if fixes:
        if app.label not in map(str, frame.columns):
            raise InvalidDataError(
                f"No label column {app.label!r}, and app {app.app!r} has no columns and classes yet.",
                mend="Publish labelled rows first; they bring both.",
            )
        app = with_schema(app, frame)
    given = None if row_ids is None else tuple(map(str, row_ids))
    relation = _relation(app, frame, wanted, given)
    asked = (wanted, given, *((seed, shares, test_share) if wanted is None else ()), *([EventId.random()] * again))
    content = _content_hash(app, relation, asked)
    if given is None:
        ids = tuple(f"{content[:12]}-{place}" for place in range(len(relation)))
        block = replace(relation.block, row_ids=ids)
        relation = Relation(block, label=relation.label, classes=relation.classes, unseen=relation.unseen)
    places = _places(app, relation, wanted, shares, test_share, seed)
    if Pillar.TEST in places:
        _check_test_size(app, len(places[Pillar.TEST]), len(relation), split=wanted is None)
    names = RowNames(given, frame.index)
    return Draft(app, fixes, f"v{app.life}-{content[:12]}", content, relation, places, names)


def _check_arguments(
    frame: pd.DataFrame,
    pillar: Pillar | None,
    shares: Mapping[Pillar, float] | None,
    test_share: float | None,
    *,
    again: bool,
) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise InvalidDataError(
            f"The rows are a {type(frame).__name__}, not a data frame.", mend="Give a pandas DataFrame, one row each."
        )
    if frame.empty:
        raise InvalidDataError("The frame has no rows.", mend="Publish at least one.")
    if pillar is None and again:
        raise InvalidDataError(
            "Rows that are split again would move from training to test.",
            mend="Name the pillar that shall have them once more.",
        )
    if test_share is not None and (pillar is not None or shares is not None):
        raise InvalidDataError(
            "A test share is for automatic splits alone.",
            mend="Leave out the pillar and the shares, or the test share.",
        )


def _places(
    app: AppDefined,
    relation: Relation,
    pillar: Pillar | None,
    shares: Mapping[Pillar, float] | None,
    test_share: float | None,
    seed: int,
) -> dict[Pillar, NDArray[np.int64]]:
    if pillar is not None:
        return {pillar: np.arange(len(relation))}
    digests = row_digests(relation.block)
    if shares is None and test_share is None:
        assigned = split_for_test(digests, relation.labels, plan_of(app).unlabelled, seed=seed)
    else:
        chosen = shares if shares is not None else shares_with(test_share or 0.0)
        assigned = split_pillars(digests, relation.labels, chosen, rng=np.random.default_rng(seed))
    return {part: np.flatnonzero(assigned == part) for part in shares or JUDGING if (assigned == part).any()}


def _check_test_size(app: AppDefined, test: int, rows: int, *, split: bool) -> None:
    needed = plan_of(app).unlabelled
    if test >= needed:
        return
    possible = int(rows * LARGEST_TEST_SHARE) if split else test
    affordable = next(
        (s for s in range(app.steps - 1, 0, -1) if plan_of(replace(app, steps=s)).unlabelled <= possible), 0
    )
    mends = ["publish more test rows"]
    if split:
        enough = rows >= rows_needed(app)
        mends = ["leave the shares to us" if enough else f"publish at least {rows_needed(app):,} rows at once"]
    mends.append("give the condition a larger tolerance")
    if affordable:
        mends.append(f"lower the app's steps to {affordable} (easeml apps update --steps {affordable})")
    mend = ", or ".join([", ".join(mends[:-1]), mends[-1]])
    of = f" of {rows:,} rows in all" if split else ""
    raise BudgetExhaustedError(
        f"The condition {app.condition!r} with reliability {app.reliability:g} over {app.steps} steps needs "
        f"{needed:,} test rows; there are {test:,}{of}.",
        mend=f"{mend[0].upper()}{mend[1:]}.",
    )


def _relation(app: AppDefined, frame: pd.DataFrame, pillar: Pillar | None, ids: tuple[str, ...] | None) -> Relation:
    """Return the rows as the app wants them; unlabelled rows are refused where labels are the point."""
    label: str | None = app.label
    if pillar is Pillar.PRODUCTION:
        frame, label = frame.drop(columns=app.label, errors="ignore"), None
    elif pillar is Pillar.POOL or (_asks(app, pillar) and app.label not in map(str, frame.columns)):
        frame = frame.assign(**{app.label: None})
    return Relation.from_frame(
        frame,
        label=label,
        classes=app.classes if label else None,
        columns=app.columns,
        row_ids=ids if ids is not None else tuple(map(str, range(len(frame)))),
        ids_generated=ids is None,
        require_labels=pillar not in {Pillar.POOL, Pillar.PRODUCTION} and not _asks(app, pillar),
        # A new value in production must not stop predictions; in training it would teach that it is missing.
        unseen="missing" if pillar is Pillar.PRODUCTION else "refuse",
    )


def _asks(app: AppDefined, pillar: Pillar | None) -> bool:
    """Whether the labels that rows lack are asked for one by one: test rows of an app that pays for that."""
    return pillar is Pillar.TEST and app.test_label_budget > 0


def pillar_of(value: Pillar | str) -> Pillar:
    """Return the pillar of a name.

    Raises
    ------
    InvalidDataError
        When there is none of this name.
    """
    try:
        return Pillar(value)
    except ValueError:
        known = ", ".join(p.value for p in Pillar)
        raise InvalidDataError(f"{value!r} is not a pillar.", mend=f"Choose one of {known}.") from None


def _content_hash(app: AppDefined, relation: Relation, asked: tuple[object, ...]) -> str:
    """Return the SHA-256 of the rows, the app's life and what was asked for: the same again is one version."""
    digest = hashlib.sha256("\x1f".join((app.app, app.life, *map(repr, asked))).encode("utf-8", "surrogatepass"))
    digest.update(row_digests(relation.block).tobytes())
    names = np.array([*relation.classes, ""], object)
    digest.update(pd.util.hash_array(names[relation.labels]).tobytes())
    return digest.hexdigest()
