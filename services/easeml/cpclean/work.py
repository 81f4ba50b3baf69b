"""What a worker process does for the service: it keeps the rows being cleaned, and says what to ask next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from easeml.cpclean.cleaning import Cleaning, Figures, Material
from easeml.cpclean.questions import Asking
from easeml.errors import InvalidDataError
from easeml.relation import Relation

_KEPT = 8
"""Apps that a worker process keeps; one more is studied anew at each answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found out.

    Parameters
    ----------
    study : str
        Names the study that the process may hold.
    heard : int
        News that it has taken in before.
    news : Material, Relation or None
        Everything, to begin the study; a row about which more is known; nothing new.
    pending : tuple of (str, str or None)
        Row and column (None: label) of each open question.
    most : int
        Questions wanted at most.
    potential : bool
        Whether to say what cleaning can reach, which takes some seconds.
    """

    study: str
    heard: int
    news: Material | Relation | None
    pending: tuple[tuple[str, str | None], ...]
    most: int
    potential: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a study says.

    Parameters
    ----------
    study : str
        Which one.
    heard : int
        News that it had taken in.
    askings : tuple of Asking
        What to ask next, the best first.
    pending : tuple of Asking
        The open questions as they are to be asked now, but for those about which nothing is uncertain any more.
    figures : Figures
        How far cleaning has come.
    potential : float or None
        What cleaning can reach; None: not asked for.
    """

    study: str
    heard: int
    askings: tuple[Asking, ...]
    pending: tuple[Asking, ...]
    figures: Figures
    potential: float | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The process does not hold the study, or not in that state: begin it anew."""


_studies: OrderedDict[str, tuple[Cleaning, int]] = OrderedDict()


def work(task: Task) -> Found | Lost | InvalidDataError:
    """Return what a study says after the news, that it is not here, or why there is none."""
    held = _studies.pop(task.study, None)
    if isinstance(task.news, Material):
        try:
            held = Cleaning(task.news), 0
        except InvalidDataError as error:
            return error
    elif held is None or held[1] != task.heard:
        return Lost()
    cleaning, heard = held
    if isinstance(task.news, Relation):
        if task.news.row_ids[0] not in cleaning:
            return Lost()
        cleaning.learn(task.news)
        heard += 1
    _studies[task.study] = cleaning, heard
    while len(_studies) > _KEPT:
        _studies.popitem(last=False)
    potential = cleaning.potential() if task.potential else None
    rows = tuple(row_id for row_id, _ in task.pending)
    pending = tuple(asking for variable in task.pending if (asking := cleaning.asked(*variable)) is not None)
    return Found(task.study, heard, cleaning.ask(rows, task.most), pending, cleaning.figures(), potential)
