"""Questions as the page shows them, and the label service that answers go through."""

from __future__ import annotations

import getpass
import json
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from easeml.cli.doors import address
from easeml.dashboard.journey import spending
from easeml.dashboard.views import AppView
from easeml.errors import InvalidDataError, UnavailableError
from easeml.labels.budgets import raising
from easeml.labels.client import AskedQuestion, LabelClient
from easeml.stream.payloads import Pillar
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.tokens import house_token

SHOWN = 20
ROOM = 2**18
"""Bytes of questions after which no other is sent: pictures and long texts are large."""
_PATIENCE = 3.0
"""Seconds a label service may be away: somebody is waiting."""
_PIXELS = 256
_TEXT = 20_000
_MOST = 2**31


class Desk:
    """The label service of the house, called from threads; connections are kept while its address stays.

    It is called in the name of the house, and where test rows are concerned in that of the test set's owner, with the
    token that the owner showed: whether that opens them is for the label service to say.

    Parameters
    ----------
    settings : Settings
        Address, home and token.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._clients: dict[str | None, LabelClient] = {}
        self._target = ""

    def questions(self, app: str, annotator: str, *, owner: str | None = None) -> list[dict[str, Any]]:
        """Return the open questions that tell most per cost; to the owner of the test set also those about its rows.

        Parameters
        ----------
        app, annotator : str
        owner : str or None
            Token of the owner of the test set, empty where nobody needs one; None: somebody else asks.
        """
        asked = self._call(owner).questions(app, annotator=annotator)
        if owner is None:
            return list(_some(one for one in asked if one.pillar != Pillar.TEST))
        # those about test rows tell least per cost and come last, but a verdict waits for them
        known = list(asked)
        return [
            *_some(one for one in known if one.pillar != Pillar.TEST),
            *_some(one for one in known if one.pillar == Pillar.TEST),
        ]

    def act(
        self,
        action: str,
        app: str,
        question: str,
        annotator: str,
        body: dict[str, Any],
        *,
        owner: str | None = None,
    ) -> dict[str, Any]:
        """Answer, skip, claim or release a question; return the identity of the annotation or the question claimed.

        ``owner`` is as for ``questions``.

        Raises
        ------
        EaseMLError
            As the label service raised it; InvalidDataError also when the body does not fit.
        """
        who: dict[str, Any] = {"app": app, "annotator": annotator or getpass.getuser()}
        client = self._call(owner)
        if action == "answer":
            return {"id": client.answer(question, **who, **_answer(body))}
        if action == "skip":
            return {"id": client.skip(question, **who, request_id=_request_id(body))}
        if action == "claim":
            return {"question": shown(client.claim(question, **who))}
        client.release(question, **who)
        return {}

    def _call(self, owner: str | None) -> LabelClient:
        running = read_run_file(self._settings.home, "labels") or {}
        port = running.get("ports", {}).get("labels", self._settings.labels_port)
        if not port:
            raise UnavailableError("The label service does not run.", mend="'easeml status' tells why.")
        target = address(self._settings, port)
        with self._lock:
            if target != self._target:
                self.close()
                self._clients, self._target = {}, target
            if owner not in self._clients:
                token = partial(house_token, self._settings) if owner is None else owner
                self._clients[owner] = LabelClient(
                    target, token, tls=self._settings, owner=owner is not None, patience=_PATIENCE
                )
            return self._clients[owner]

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


ACTIONS = ("answer", "skip", "claim", "release")


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    value, other = body.get("value"), body.get("other")
    if value is not None and (type(value) is not int or not 0 <= value < _MOST):
        raise InvalidDataError("value is no number.", mend="Send the index of a candidate.", reason="invalid_value")
    if other is not None and not isinstance(other, str):
        raise InvalidDataError("other is no text.", mend="Send the other value as text.", reason="invalid_value")
    return {"value": value, "other": other, "request_id": _request_id(body)}


def _request_id(body: dict[str, Any]) -> str:
    name = body.get("request_id")
    if not isinstance(name, str) or not name:
        raise InvalidDataError("request_id is missing.", mend="Send a fresh UUID per answer.", reason="invalid_name")
    return name


def _some(asked: Iterable[AskedQuestion]) -> Iterator[dict[str, Any]]:
    """Yield the first few questions, fewer of large ones; who has answered them asks for more."""
    room = ROOM
    for told in map(shown, islice(asked, SHOWN)):
        yield told
        room -= len(json.dumps(told))
        if room <= 0:
            return


def shown(question: AskedQuestion) -> dict[str, Any]:
    """Return a question as plain data."""
    return {
        "app": question.app,
        "question": question.question,
        "kind": question.kind,
        "pillar": question.pillar,
        "row_id": question.row_id,
        "column": question.column,
        "candidates": list(question.candidates),
        "probabilities": list(question.probabilities),
        "bits": question.information_gain,
        "cost": question.cost,
        "asked_by": question.asked_by,
        "context": question.context,
        "row": [{"column": name, **cell(value)} for name, value in question.row.items()],
        "expires_at": question.expires_at,
        "claimed_by": question.claimed_by,
        "heard": question.heard,
    }


def cell(value: Any) -> dict[str, Any]:
    """Return one value with the way in which it is shown.

    Examples
    --------
    >>> cell(None), cell(2.5), cell([[0.0, 1.0], [1.0, 0.0]])["kind"]
    ({'kind': 'missing'}, {'kind': 'number', 'value': 2.5}, 'image')
    """
    if value is None:
        return {"kind": "missing"}
    if isinstance(value, bool):
        return {"kind": "text", "value": "yes" if value else "no"}
    if isinstance(value, float):
        return {"kind": "number", "value": value}
    if isinstance(value, datetime):
        return {"kind": "text", "value": f"{value:%Y-%m-%d %H:%M:%S}"}
    if isinstance(value, list):
        return _tensor(value)
    return {"kind": "text", "value": str(value)[:_TEXT]}


def _tensor(value: list[Any]) -> dict[str, Any]:
    shape = _shape(value)
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) in {2, 3} and channels in {1, 3, 4} and min(shape[:2]) > 1 and max(shape[:2]) <= _PIXELS:
        flat = [number for line in value for pixel in line for number in (pixel if len(shape) == 3 else [pixel])]
        return {"kind": "image", "height": shape[0], "width": shape[1], "channels": channels, "values": flat}
    if len(shape) == 1:
        return {"kind": "numbers", "value": value[:_PIXELS], "shape": list(shape)}
    return {"kind": "text", "value": f"{' x '.join(map(str, shape))} numbers"}


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *(_shape(value[0]) if value else ())) if isinstance(value, list) else ()


def progress(view: AppView, now: float) -> list[dict[str, Any]]:
    """Return per asker what was asked, answered, learnt and spent, as plain data."""
    found = []
    for asker, asked in sorted(view.asked.items()):
        spent, granted = spending(view, asker)
        found.append(
            {
                "asked_by": asker,
                "open": asked.waiting(now),
                "answered": asked.answers,
                "bits": asked.bits,
                "spent": spent,
                "granted": granted,
                "raise": raising(view.app.app, asker) if spent >= granted else "",
            }
        )
    return found
