"""Which open questions are offered to whom, in which order, on which page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from easeml.errors import InvalidDataError
from easeml.labels.queue import Closed, OpenQuestion, Queue
from easeml.stream.payloads import QuestionKind

DEFAULT_PAGE = 50
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """What a caller wants to see.

    Parameters
    ----------
    app : str
        Only this app; empty: all.
    kind : QuestionKind or None
        Only this kind; None: all.
    annotator : str
        Leave out what this annotator has skipped or answered and what enough others hold; empty: leave out nothing.
    """

    app: str = ""
    kind: QuestionKind | None = None
    annotator: str = ""

    def key(self) -> str:
        """Return a digest: a page token is only good for the filter it was made with."""
        text = json.dumps([self.app, self.kind, self.annotator])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Selection:
    """Questions that match a filter now.

    Parameters
    ----------
    offered : tuple of OpenQuestion
        Those that can be answered, best first.
    withheld : tuple of OpenQuestion
        Those that the rest of the budget cannot pay.
    """

    offered: tuple[OpenQuestion, ...]
    withheld: tuple[OpenQuestion, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a selection.

    Parameters
    ----------
    questions : tuple of OpenQuestion
        The part.
    next_token : str
        Token of the next page; empty: this was the last one.
    """

    questions: tuple[OpenQuestion, ...]
    next_token: str


def payable(queue: Queue) -> Selection:
    """Divide the unexpired questions of an app into those its budgets can pay, best first, and the rest."""
    left: dict[str, float] = {}
    offered, withheld = [], []
    for entry in sorted(queue.open.values(), key=lambda entry: entry.rank):
        if entry.expired(queue.now):
            continue
        asker = entry.question.asked_by
        rest = left.get(asker, queue.left(asker)) - entry.question.cost
        if rest < -1e-9:
            withheld.append(entry)
        else:
            left[asker] = rest
            offered.append(entry)
    return Selection(tuple(offered), tuple(withheld))


def room(queue: Queue, entry: OpenQuestion, annotator: str, holders: Iterable[str]) -> bool:
    """Whether one more annotator may work on a question: no more people are asked than it needs.

    Parameters
    ----------
    queue : Queue
        Says how many people a question needs.
    entry : OpenQuestion
        The question.
    annotator : str
        Who would answer it.
    holders : iterable of str
        Who has claimed it.

    Examples
    --------
    >>> from types import SimpleNamespace as Some
    >>> queue, entry = Some(redundancy=3), Some(votes={"ada": 1}, skipped_by=["dee"])
    >>> [room(queue, entry, "bob", held) for held in (("ada", "cy", "dee"), ("bob", "cy"), ("cy", "eve"))]
    [True, True, False]
    """
    others = {*holders} - {annotator, *entry.votes, *entry.skipped_by}
    # Where enough people have answered and it is open, they disagree: one more is asked.
    return len(others) < max(queue.redundancy - len(entry.votes), 1)


def select(queues: Iterable[Queue], wanted: Filter, holders: Callable[[str, str], Iterable[str]]) -> Selection:
    """Return what a caller is offered.

    Parameters
    ----------
    queues : iterable of Queue
        Apps that the caller may see.
    wanted : Filter
        What it asks for.
    holders : callable
        App and question to the annotators who have claimed it.
    """
    offered: list[OpenQuestion] = []
    withheld: list[OpenQuestion] = []
    for queue in queues:
        if wanted.app in {"", queue.app}:
            selection = payable(queue)
            offered += [entry for entry in selection.offered if _fits(queue, entry, wanted, holders)]
            withheld += [entry for entry in selection.withheld if _fits(queue, entry, wanted, holders)]
    return Selection(tuple(sorted(offered, key=lambda entry: entry.rank)), tuple(withheld))


def paginate(offered: Sequence[OpenQuestion], wanted: Filter, size: int, token: str) -> Page:
    """Return one page; questions that open or close between pages neither repeat nor hide others.

    One whose information gain changes between pages may be on both or on neither.

    Raises
    ------
    InvalidDataError
        When the size is negative, or the token is none or belongs to another filter.
    """
    if size < 0:
        raise InvalidDataError(f"page_size is {size}.", mend="Send 0 (the default) to 1000.", reason="page_size")
    size = min(size or DEFAULT_PAGE, MAX_PAGE)
    after = _open_token(token, wanted) if token else None
    rest = [entry for entry in offered if after is None or entry.rank > after]
    page = tuple(rest[:size])
    return Page(page, _seal_token(page[-1], wanted) if len(rest) > size else "")


def why_gone(queue: Queue | None, question: str) -> str:
    """Return why a question that was offered is not any more: a name of ``QuestionClosed.Reason``."""
    if queue is None:
        return Closed.WITHDRAWN.name
    why = queue.why_closed(question)
    if why is not None:
        return why.name
    entry = queue.open.get(question)
    if entry is None:
        return Closed.WITHDRAWN.name
    if entry.expired(queue.now):
        return Closed.EXPIRED.name
    return "BUDGET_EXHAUSTED" if entry in payable(queue).withheld else "HELD"


def _fits(queue: Queue, entry: OpenQuestion, wanted: Filter, holders: Callable[[str, str], Iterable[str]]) -> bool:
    asked, annotator = entry.question, wanted.annotator
    if wanted.kind is not None and asked.kind is not wanted.kind:
        return False
    if not annotator:
        return True
    heard = annotator in entry.skipped_by or annotator in entry.votes
    return not heard and room(queue, entry, annotator, holders(asked.app, asked.question))


def _seal_token(last: OpenQuestion, wanted: Filter) -> str:
    negative_rate, app, question = last.rank
    return base64.urlsafe_b64encode(json.dumps([wanted.key(), negative_rate.hex(), app, question]).encode()).decode()


def _open_token(token: str, wanted: Filter) -> tuple[float, str, str]:
    try:
        key, negative_rate, app, question = json.loads(base64.urlsafe_b64decode(token.encode()))
        after = (float.fromhex(negative_rate), str(app), str(question))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidDataError(
            "page_token is none that ListQuestions returned.",
            mend="Start again without a page_token.",
            reason="page_token",
        ) from error
    if key != wanted.key():
        raise InvalidDataError(
            "page_token belongs to a call with another filter.",
            mend="Repeat app, kind and annotator of that call, or start again without a page_token.",
            reason="page_token",
        )
    return after
