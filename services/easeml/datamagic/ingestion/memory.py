"""What DataMagic remembers of an app beside its views, and its storable form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.ingestion.assignment import side_of
from easeml.datamagic.ingestion.slices import Place
from easeml.datamagic.ingestion.tasks import TOLD, Made
from easeml.datamagic.versions.keeper import Said, Watch
from easeml.datamagic.versions.past import Past
from easeml.stream.payloads import Pillar, Upload
from easeml.stream.service import Packed

DONE = 1000
"""Uploads remembered as done; older ones would be done again, under the same row ids."""
MOST_GROUPS = 30_000
"""Groups remembered of an app, a quarter of a megabyte. When more come, new ones follow their hash, which nobody need
remember, and a row that can neither follow it nor be remembered is left out: no group is ever split."""
MOST_WAITING = 100
"""Uploads of an app that may wait while a large one is read."""


@dataclass
class Running:
    """An upload whose rows are on their way: one slice after the other, or all of them until they are counted.

    Parameters
    ----------
    upload : Upload
        Without content.
    place : Place
        Where the next slice begins.
    slices : int
        Slices done.
    total : int
        Rows of the whole file, about.
    rows : dict of Pillar to int
        Rows so far.
    before : dict of Pillar to int
        Batches that uploads had sent when it began.
    rejected, clashes, candidates : int
        As ``uploads.Made``.
    told : list of str
        The first rows and cells that did not fit.
    failure : str
        Why the file could not be read to its end; empty: it could.
    """

    upload: Upload
    place: Place = field(default_factory=Place)
    slices: int = 0
    total: int = 0
    rows: dict[Pillar, int] = field(default_factory=dict)
    before: dict[Pillar, int] = field(default_factory=dict)
    rejected: int = 0
    clashes: int = 0
    candidates: int = 0
    told: list[str] = field(default_factory=list)
    failure: str = ""

    def count(self, made: Made) -> None:
        """Add what a slice has found."""
        self.rejected += made.rejected
        self.clashes += made.clashes
        self.candidates += made.candidates
        self.told = [*self.told, *made.told][:TOLD]

    def troubles(self) -> str:
        """Return what did not fit, for people; empty when all did."""
        parts = []
        if self.rejected:
            parts.append(f"{self.rejected:,} rows rejected")
        if self.clashes:
            parts.append(f"{self.clashes:,} cells made missing")
        return f"; {', '.join(parts)}, first {self.told[0]}" if parts else ""


@dataclass
class DataMagicState:
    """What DataMagic remembers of one app.

    Parameters
    ----------
    done : dict of str to None
        Keys of the uploads that are done, oldest first.
    running : dict of str to Running
        The large upload under way, by name.
    closing : Running or None
        The upload whose last rows are on their way back: its versions are announced when they are counted.
    waiting : list of Upload
        Uploads that came while a large one was under way, oldest first, each at a URI.
    sent : dict of Pillar to int
        Batches that uploads have sent: what is known is complete when all of them have come back.
    said, watched : dict of Pillar
        The keeper's last version and the change it watches.
    looked : dict of Pillar to int
        Messages of candidates whose rows have been looked for.
    groups : dict of Pillar to uint64[n]
        Groups of earlier uploads, at most ``MOST_GROUPS``.
    crowded : bool
        Whether there were more.
    past : Past
        What the ledger of production has let go.
    """

    done: dict[str, None] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    closing: Running | None = None
    waiting: list[Upload] = field(default_factory=list)
    sent: dict[Pillar, int] = field(default_factory=dict)
    said: dict[Pillar, Said] = field(default_factory=dict)
    watched: dict[Pillar, Watch] = field(default_factory=dict)
    looked: dict[Pillar, int] = field(default_factory=dict)
    groups: dict[Pillar, NDArray[np.uint64]] = field(default_factory=dict)
    crowded: bool = False
    past: Past = field(default_factory=Past)

    def finish(self, key: str) -> None:
        """Remember that an upload is done."""
        self.done[key] = None
        while len(self.done) > DONE:
            del self.done[next(iter(self.done))]

    @property
    def room(self) -> int:
        """Groups that can still be remembered; none once there were too many: new ones may be where their hash says."""
        return 0 if self.crowded else max(0, MOST_GROUPS - sum(map(len, self.groups.values())))

    def add_groups(self, made: Made) -> None:
        """Remember where groups are; once there are too many, only those that are not where their hash says."""
        self.crowded |= made.crowded
        for pillar, groups in made.groups.items():
            own = self.groups.get(pillar, np.empty(0, np.uint64))
            new = np.setdiff1d(groups, own)
            if self.crowded:
                new = new[side_of(new) != pillar]
            if len(new):
                self.groups[pillar] = np.concatenate([own, new])


def pack(state: DataMagicState) -> Packed:
    """Return the storable form of a state."""
    document = {
        "done": list(state.done),
        "running": {name: _running(one) for name, one in state.running.items()},
        "said": {pillar: asdict(said) for pillar, said in state.said.items()},
        "watched": {pillar: asdict(watch) for pillar, watch in state.watched.items()},
        "closing": None if state.closing is None else _running(state.closing),
        "waiting": [_upload(upload) for upload in state.waiting],
        "sent": dict(state.sent),
        "looked": dict(state.looked),
        "crowded": state.crowded,
        "past": state.past.document(),
    }
    return Packed(document, {f"groups.{pillar}": groups for pillar, groups in state.groups.items()})


def _upload(upload: Upload) -> dict[str, object]:
    return {name: value for name, value in asdict(upload).items() if name != "content"}


def _running(running: Running) -> dict[str, object]:
    return asdict(running) | {"upload": _upload(running.upload)}


def unpack(packed: Packed) -> DataMagicState:
    """Return the state that ``pack`` stored."""
    document = packed.document
    return DataMagicState(
        done=dict.fromkeys(document["done"]),
        running={name: _run_of(dict(one)) for name, one in document["running"].items()},
        said={Pillar(pillar): Said(**said) for pillar, said in document["said"].items()},
        watched={Pillar(pillar): Watch(**watch) for pillar, watch in document["watched"].items()},
        closing=None if document["closing"] is None else _run_of(dict(document["closing"])),
        waiting=[Upload(**one) for one in document["waiting"]],
        sent={Pillar(pillar): count for pillar, count in document["sent"].items()},
        looked={Pillar(pillar): count for pillar, count in document["looked"].items()},
        crowded=document["crowded"],
        past=Past.of(document["past"]),
        groups={Pillar(name.removeprefix("groups.")): groups for name, groups in packed.arrays.items()},
    )


def _run_of(one: dict[str, object]) -> Running:
    tables = {name: {Pillar(p): n for p, n in one[name].items()} for name in ("rows", "before")}  # type: ignore[attr-defined]
    upload, place = Upload(**one["upload"]), Place(**one["place"])  # type: ignore[arg-type]
    return Running(**(one | tables | {"upload": upload, "place": place}))  # type: ignore[arg-type]
