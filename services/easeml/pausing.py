"""Pausing an app: it asks for nothing and judges nothing until it is resumed; its pick is served all the while.

An app is paused when its budgets for questions and its gate to CI are closed, so every service that heeds them knows of
it without a message of its own. Trials that are asked for already run to their end. What the app was before stands in
the audit record of the pause, and resuming puts that back where nobody has changed it meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from easeml.errors import ConflictError
from easeml.stream.payloads import AppDefined, AuditRecord
from easeml.stream.topics import APPS, AUDIT

if TYPE_CHECKING:
    from easeml.client import Client

CLOSED = ("gate_per_day", "label_budget", "cleaning_budget", "acquisition_budget")
"""What a pause sets to 0. Labels of test rows are not among them: the plan of the test set rests on their number."""
PAUSE, RESUME = "PauseApp", "ResumeApp"


def is_paused(app: AppDefined) -> bool:
    """Return whether an app is paused.

    >>> app = AppDefined("churn", "churned", (), ())
    >>> is_paused(app), is_paused(paused(app))
    (False, True)
    """
    return not any(getattr(app, field) for field in CLOSED)


def paused(app: AppDefined) -> AppDefined:
    """Return an app as it is while it pauses."""
    closed: dict[str, Any] = dict.fromkeys(CLOSED, 0)
    return replace(app, **closed)


def pause(client: Client, name: str, actor: str) -> AppDefined:
    """Pause an app and return what it is from now on.

    Parameters
    ----------
    client : Client
        Connection to the house.
    name : str
        The app.
    actor : str
        Who wants it, for the audit.

    Raises
    ------
    NotFoundError
        When there is no such app.
    ConflictError
        When it is paused already.
    """
    app = client.app(name)
    if is_paused(app):
        raise ConflictError(f"App {name!r} is paused already.", mend=f"'easeml apps resume {name}' lets it go on.")
    before = json.dumps({"life": app.life} | {field: getattr(app, field) for field in CLOSED})
    # The record first: a pause whose past nobody knows could not be undone.
    client.publisher.publish(AUDIT, AuditRecord(name, actor, PAUSE, before, "ok"))
    after = paused(app)
    client.publisher.publish(APPS, after)
    return after


def resume(client: Client, name: str, actor: str) -> AppDefined:
    """Let a paused app go on and return what it is from now on; arguments as for ``pause``.

    Raises
    ------
    NotFoundError
        When there is no such app.
    ConflictError
        When it is not paused, or no pause of it is recorded.
    """
    app = client.app(name)
    before = _before(client, app)
    if app.gate_per_day or not before:
        raise ConflictError(
            f"App {name!r} was not paused.",
            mend="'easeml apps update' sets its budgets; 'easeml apps show' tells them.",
        )
    budgets: dict[str, Any] = {field: getattr(app, field) or before[field] for field in CLOSED}
    after = replace(app, **budgets)
    client.publisher.publish(APPS, after)
    client.publisher.publish(AUDIT, AuditRecord(name, actor, RESUME, name, "ok"))
    return after


def _before(client: Client, app: AppDefined) -> dict[str, int]:
    """Return what the app was before its last pause in this life; empty: it never paused."""
    found: dict[str, int] = {}
    for event in client.events(app.app, AUDIT.name, follow=False):
        if event.data.action == PAUSE:
            told = json.loads(event.data.subject)
            found = told if told.pop("life") == app.life else {}
    return found
