"""The keeper of data versions: when what a pillar holds is worth a new version.

In: what a pillar holds, and what the last look left. Out: DataVersion. A version's name and content hash follow from
the set of things the pillar holds (``ledger``), so two replays of the same events end with the same last version
however their topics were interleaved. Rows whose publication announces its own version (the SDK's and the uploads')
wait for that; rows of others count after ``PATIENCE``.
"""

from __future__ import annotations

from dataclasses import dataclass

from easeml.datamagic.versions import contents
from easeml.datamagic.versions.ledger import Content
from easeml.datamagic.versions.naming import name_of
from easeml.stream.payloads import AppDefined, DataVersion, Pillar

PATIENCE = 5.0
"""Seconds after which a pillar that never rests gets a version, and rows that nobody announces."""
STREAMING_PATIENCE = 60.0
"""The same for production, whose rows come all the time."""


@dataclass(frozen=True, slots=True)
class Said:
    """The keeper's last version: the content's digests, and the announcement of others that came before it."""

    digest: str
    known: str
    after: str


@dataclass(frozen=True, slots=True)
class Watch:
    """A change that has no version yet: when it was first seen, and the content of the last look."""

    since: float
    digest: str


def decide(
    content: Content, said: Said | None, watch: Watch | None, pillar: Pillar, app: AppDefined, now: float
) -> tuple[DataVersion | None, Said | None, Watch | None]:
    """Look at a pillar once a second.

    Parameters
    ----------
    content : Content
        What it holds now.
    said, watch : Said, Watch or None
        What the last look left.
    pillar : Pillar
        The pillar.
    app : AppDefined
        The app.
    now : float
        Seconds since 1970 UTC.

    Returns
    -------
    DataVersion or None
        What to announce.
    Said, Watch or None
        For the next look.
    """
    digest, known = contents.hexadecimal(content.digest), contents.hexadecimal(content.known)
    wanted = Said(digest, known, content.after)
    if not content.known and not content.unannounced:
        return _covered(content, said)
    if said == wanted:
        return None, said, None
    watch = watch or Watch(now, "")
    rests = watch.digest == digest and (said is None or known != said.known) and content.known != 0
    patience = STREAMING_PATIENCE if pillar is Pillar.PRODUCTION else PATIENCE
    if not rests and now - watch.since < patience:
        return None, said, Watch(watch.since, digest)
    version = DataVersion(
        app.app,
        pillar,
        name_of(app, digest),
        content.rows,
        digest,
        f"{content.rows:,} rows, {content.cells:,} with candidates, {content.answers:,} answers",
        (content.parent,) if content.parent and content.parent != name_of(app, digest) else (),
    )
    return version, wanted, None


def _covered(content: Content, said: Said | None) -> tuple[DataVersion | None, Said | None, Watch | None]:
    """All that a pillar holds was announced by others; a version of ours in between is taken back by theirs."""
    if said is None or content.newest is None:
        return None, said, None
    return content.newest, None, None
