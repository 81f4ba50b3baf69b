"""One app in a notebook: what it knows as cards, its rows as relations, its questions as buttons."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import Any

import pandas as pd

from easeml import repairing
from easeml.cli import history
from easeml.client import Client
from easeml.dashboard import feasibility, journey, learning, verdicts
from easeml.dashboard.house import House as Views
from easeml.dashboard.views import AppView
from easeml.demo.application import Application
from easeml.errors import InvalidDataError, UnavailableError
from easeml.notebook import cards
from easeml.notebook.answering import Deck
from easeml.notebook.cards import Card
from easeml.progress import bar
from easeml.publication import Publication
from easeml.relation import Relation
from easeml.stream.payloads import Pillar
from easeml.stream.reader import TopicReader
from easeml.supervisor import discover

_PAUSE = 0.5

Progress = tuple[int, int]
"""What is done, and of how much; 0: unknown."""


def _studied(view: AppView) -> Progress:
    report = None if view.feasibility is None else view.feasibility[1]
    if report is None:
        return 0, 0
    return (
        (1, 1)
        if report.final
        else (sum(arm.state.value in {"done", "dropped"} for arm in report.arms), len(report.arms))
    )


def _judged(view: AppView) -> Progress:
    there = [model for _, model, _ in view.published]
    done = sum(model.verdict is not None or model.retired is not None for model in there)
    return done, (len(there) + len(view.trials.running)) or 0


def _asked(view: AppView) -> Progress:
    return min(1, sum(asked.waiting(time.time()) for asked in view.asked.values())), 1


def _picked(view: AppView) -> Progress:
    return int(view.pick is not None), 1


def _advised(view: AppView) -> Progress:
    return int(view.advice is not None), 1


_AIMS: dict[str, tuple[str, Callable[[AppView], Progress]]] = {
    "studied": ("transformations studied", _studied),
    "asked": ("a question", _asked),
    "judged": ("models judged", _judged),
    "picked": ("a pick", _picked),
    "advised": ("advice", _advised),
}
"""What can be waited for, how it is called, and how far it is."""


class App:
    """One app.

    Parameters
    ----------
    name : str
        Its name.
    client : Client, optional
        Connection to the house; by default the one that the environment names.

    Raises
    ------
    NotFoundError
        When there is no such app.
    """

    def __init__(self, name: str, client: Client | None = None) -> None:
        self.client = Client() if client is None else client
        self.name = self.client.app(name).app
        self._views = Views()
        self._reader = TopicReader(self.client.settings, history.TOLD)

    # -- rows ------------------------------------------------------------------------------------------------------

    def publish(self, frame: pd.DataFrame, pillar: Pillar | str | None = None, **options: Any) -> Publication:
        """Publish rows; arguments and errors as for ``Client.publish``."""
        return self.client.publish(self.name, frame, pillar, **options)

    def propose_repairs(self, most: int = 5) -> dict[Pillar, int]:
        """Propose candidates for missing cells; return how many per pillar."""
        with bar("candidates") as progress:
            return repairing.propose(self.client, self.name, most, progress=progress)

    def relation(self, pillar: Pillar | str = Pillar.TRAIN) -> Relation:
        """Return the rows of a pillar as they are now, candidates and answers included; it draws itself."""
        return self.client.relation(self.name, pillar)

    def predict(self, rows: pd.DataFrame, row_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return the predictions of the present pick, and record the rows as production rows.

        Raises
        ------
        UnavailableError
            When no house runs here, or its predict service does not answer.
        """
        stack = discover(self.client.settings.home)
        if stack is None:
            raise UnavailableError("No Ease.ML runs here.", mend="Ask the predict service of your house over HTTP.")
        return Application(stack, self.client.settings, self.name).predict(rows, row_ids).labels

    # -- what is known -----------------------------------------------------------------------------------------------

    def journey(self) -> Card:
        """Return where each of the eight steps stands, and what is advised."""
        return cards.journey(journey.journey(self._view(), time.time()))

    def feasibility(self) -> Card:
        """Return the newest feasibility study."""
        return cards.feasibility(self.name, feasibility.feasibility(self._view(), time.time())["study"])

    def models(self) -> Card:
        """Return the models so far."""
        return cards.models(self.name, learning.models(self._view(), time.time()))

    def verdicts(self) -> Card:
        """Return the verdicts of CI: one bit per model, for nothing else may be told."""
        return cards.verdicts(self.name, verdicts.verdicts(self._view(), details=False))

    def picks(self) -> Card:
        """Return which model is served since when, and the belief in each."""
        return cards.picks(self.name, learning.picker(self._view(), time.time()))

    # -- what is asked, what is awaited --------------------------------------------------------------------------------

    def questions(self, annotator: str = "") -> Deck:
        """Return the open questions, the most telling first, with a button for each answer."""
        return Deck(self.client.settings, self.name, annotator or getpass.getuser())

    def wait(self, aim: str, seconds: float = 120.0) -> None:
        """Wait until the app is ``studied``, ``asked``, ``judged``, ``picked`` or ``advised``, and show how far it is.

        Raises
        ------
        InvalidDataError
            When there is no such aim.
        UnavailableError
            When it is not reached in time.
        """
        if aim not in _AIMS:
            raise InvalidDataError(f"{aim!r} cannot be waited for.", mend=f"Choose one of {', '.join(_AIMS)}.")
        what, measure = _AIMS[aim]
        until = time.monotonic() + seconds
        with bar(what) as progress:
            while True:
                done, total = measure(self._view())
                progress(done, total, what)
                if total and done >= total:
                    return
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"App {self.name!r} is not {aim} after {seconds:g} s.",
                        mend="app.journey() tells what it waits for.",
                    )
                time.sleep(_PAUSE)

    def _view(self) -> AppView:
        self._views.fold(event for event in self._reader.replay() if event.app == self.name)
        return self._views.apps[self.name]

    def __repr__(self) -> str:
        return repr(self.journey())

    def _repr_html_(self) -> str:
        return self.journey()._repr_html_()
