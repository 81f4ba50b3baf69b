"""Questions about test rows: asked in the order of the ledger, and taken back when the verdict needs them no more."""

from __future__ import annotations

from dataclasses import replace

from easeml.stream.payloads import Pillar, Question, QuestionKind

ASKER = "ci"


def question(
    app: str, row: str, classes: tuple[str, ...], *, life: str, turn: tuple[int, int, int], planned: int
) -> Question:
    """Return the question for the label of a test row.

    Its gain is about the verdict, not about predictions as that of other askers, so it is no bit of their scale: a
    verdict is one bit at most, which ``planned`` labels tell together, by the chain rule ``1 / planned`` each. That
    ranks it behind the others in one list. It is the same for all: their order is fixed by the ledger and must not
    follow what is expected of them, or the test would not be valid. Names sort in that order, so that lists keep it.

    Parameters
    ----------
    app, row : str
    classes : tuple of str
        Candidates.
    life : str
        Tells the app from a deleted one of the same name.
    turn : tuple of int
        Test set, step, and place in the order of the ledger.
    planned : int
        Labels that the evaluation takes at worst; positive.
    """
    epoch, step, place = turn
    return Question(
        app=app,
        question=f"ci-{life}-{epoch:04}-{step:05}-{place:08}",
        kind=QuestionKind.LABEL,
        pillar=Pillar.TEST,
        row_id=row,
        candidates=classes,
        information_gain=1 / planned,
        asked_by=ASKER,
    )


def taken_back(asked: Question, now: float) -> Question:
    """Return what takes a question back: the same one, asked until ``now`` (seconds since 1970 UTC)."""
    return replace(asked, expires_at=now)
