"""The pages and what they ask for: static files, JSON, and a stream of what has changed."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from easeml.dashboard import (
    asking,
    browsing,
    feasibility,
    journey,
    learning,
    letters,
    managing,
    operations,
    registry,
    verdicts,
)
from easeml.dashboard.access import SESSION_SECONDS, Gate, UnknownCallerError, cookie_of, require, require_app
from easeml.dashboard.changes import Changes, News
from easeml.dashboard.house import APPS_PART, House
from easeml.dashboard.letters import Letters
from easeml.dashboard.replies import Doorkeeper, body_of, on_error, refusal, reply
from easeml.dashboard.views import DATA, AppView
from easeml.errors import EaseMLError, InvalidDataError, NotFoundError, UnavailableError
from easeml.stream import deadletters
from easeml.stream.deadletters import DeadLetter
from easeml.stream.settings import Settings
from easeml.tokens import Holder, Right

STATIC = Path(__file__).parent / "static"
_PAUSE = 0.25
"""Seconds between two pieces of news at least: what changes meanwhile is told once."""
_HEARTBEAT = 15.0
_LISTENERS = 200
_DIGITS = 9
_LONGEST = 1000
_MENDS: dict[str, Callable[[Settings, list[DeadLetter]], object]] = {
    "redrive": deadletters.redrive,
    "discard": deadletters.discard,
}

Page = Callable[[AppView, float], Any]
Paged = Callable[[AppView, float, int], Any]


class Web:
    """Answers browsers.

    Parameters
    ----------
    settings : Settings
        Tokens, and where the label service is.
    house, dead : House, Letters
        What is shown.
    changes : Changes
        What has changed.
    clock : callable
        Seconds since 1970 UTC.
    """

    def __init__(
        self,
        settings: Settings,
        house: House,
        dead: Letters,
        changes: Changes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._house = house
        self._letters = dead
        self._changes = changes
        self._clock = clock
        self._gate = Gate(settings)
        self._desk = asking.Desk(settings)
        self._shelf = browsing.Shelf(settings, lambda app: changes.note({(app, DATA)}))
        self._rounds = operations.Rounds(settings)
        self._listeners = 0
        self._stopping = False

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        routes = [
            Route("/", self._index),
            Route("/api/session", self._session, methods=["GET"]),
            Route("/api/session", self._enter, methods=["POST"]),
            Route("/api/session", self._leave, methods=["DELETE"]),
            Route("/api/changes", self._news),
            Route("/api/apps", self._apps),
            Route("/api/apps/{app}", self._manage, methods=["POST"]),
            Route("/api/apps/{app}/journey", self._page(self._journey)),
            Route("/api/apps/{app}/models", self._paged(learning.models_page)),
            Route("/api/apps/{app}/picker", self._paged(learning.picker_page)),
            Route("/api/apps/{app}/feasibility", self._page(feasibility.feasibility)),
            Route("/api/apps/{app}/ci", self._ci),
            Route("/api/apps/{app}/rows/{pillar}", self._rows),
            Route("/api/apps/{app}/questions", self._questions),
            Route("/api/apps/{app}/questions/{question:path}", self._act, methods=["POST"]),
            Route("/api/operations", self._operations),
            Route("/api/letters", self._dead),
            Route("/api/letters/{letter}", self._letter),
            Route("/api/letters/{letter}", self._mend, methods=["POST"]),
            *registry.routes(),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        handlers = {EaseMLError: on_error, ClientDisconnect: _gone, HTTPException: _absent, Exception: on_error}
        return Doorkeeper(Starlette(routes=routes, exception_handlers=handlers), self._gate)

    def stop(self) -> None:
        """End every stream."""
        self._stopping = True
        self._changes.wake()
        self._desk.close()

    # -- who is there ----------------------------------------------------------------------------------------------

    async def _index(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _session(self, request: Request) -> Response:
        try:
            holder = self._gate.caller(request)
        except UnknownCallerError:
            return reply({"known": False})
        return reply(self._told(holder))

    async def _enter(self, request: Request) -> Response:
        token = str((await body_of(request)).get("token", "")).strip()
        holder = self._gate.holder(token)
        if holder is None:
            raise UnknownCallerError("This token is not known here.", mend="Check that it is whole.")
        response = reply(self._told(holder))
        secure = bool(self._settings.tls_certificate)
        name, value = cookie_of(request.headers), self._gate.begin(token)
        response.set_cookie(name, value, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return response

    async def _leave(self, request: Request) -> Response:
        self._gate.end(request)
        response = reply({"known": False})
        response.delete_cookie(cookie_of(request.headers), httponly=True, samesite="strict")
        return response

    def _told(self, holder: Holder) -> dict[str, Any]:
        rights = [right.value for right in Right if right in holder.rights]
        house = holder.apps is None
        return {"known": True, "name": holder.name, "rights": rights, "house": house, "open": self._gate.open}

    # -- what has changed ------------------------------------------------------------------------------------------

    async def _news(self, request: Request) -> Response:
        holder = self._gate.caller(request)
        if self._listeners >= _LISTENERS:
            raise UnavailableError("Too many browsers listen.", mend="Close some of them.", reason="listeners")
        app = request.query_params.get("app", "")
        last = request.headers.get("last-event-id") or self._changes.now
        return StreamingResponse(self._listen(request, holder, app, last), media_type="text/event-stream")

    async def _listen(self, request: Request, holder: Holder, app: str, last: str) -> AsyncIterator[str]:
        self._listeners += 1
        try:
            yield _event(News(last), [])
            while not self._stopping:
                news = await self._changes.wait(last, _HEARTBEAT)
                try:
                    holder = self._gate.caller(request)  # a token may have been taken away meanwhile
                except EaseMLError:
                    return
                if news is None:
                    yield ":\n\n"
                    continue
                last = news.id
                found = [c for c in news.changes if holder.sees(c[0]) and (c[0] in {app, ""} or c[1] == APPS_PART)]
                if found or news.reset:
                    yield _event(news, found)
                await asyncio.sleep(_PAUSE)
        finally:
            self._listeners -= 1

    # -- pages -----------------------------------------------------------------------------------------------------

    async def _apps(self, request: Request) -> Response:
        holder = self._gate.caller(request)
        names = sorted(name for name in self._house.apps if holder.sees(name))
        return reply({"apps": names})

    def _view(self, request: Request) -> tuple[Holder, AppView]:
        holder, app = self._gate.caller(request), request.path_params["app"]
        require_app(holder, app, self._house.apps)
        return holder, self._house.apps[app]

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            _, view = self._view(request)
            return reply(page(view, self._clock()))

        return answer

    def _paged(self, page: Paged) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            _, view = self._view(request)
            return reply(page(view, self._clock(), _number(request, "start")))

        return answer

    def _journey(self, view: AppView, now: float) -> dict[str, Any]:
        lines = self._house.recent(view.app.app)
        return journey.journey(view, now) | {"recent": [{"at": line.at, "text": line.text} for line in lines]}

    async def _ci(self, request: Request) -> Response:
        holder, view = self._view(request)
        wanted = request.query_params.get("details") == "1"
        if wanted:
            require(holder, Right.DETAILS)
        plan = await asyncio.to_thread(verdicts.plan, view.app)
        return reply(verdicts.verdicts_page(view, _number(request, "start"), details=wanted) | {"plan": plan})

    async def _rows(self, request: Request) -> Response:
        holder, view = self._view(request)
        require(holder, Right.MESSAGES)
        wanted = browsing.Wanted(
            browsing.pillar_of(request.path_params["pillar"]),
            _number(request, "start"),
            request.query_params.get("uncertain") == "1",
            request.query_params.get("from", "")[:_LONGEST],
        )
        return reply(await self._shelf.page(view, wanted, self._clock()))

    async def _questions(self, request: Request) -> Response:
        holder, view = self._view(request)
        now, app = self._clock(), view.app.app
        told: dict[str, Any] = {"progress": asking.progress(view, now), "questions": []}
        if Right.ANSWER in holder.rights:
            annotator = holder.name or request.query_params.get("annotator", "")
            owner = self._gate.token(request) if Right.DETAILS in holder.rights else None
            told["questions"] = await asyncio.to_thread(self._desk.questions, app, annotator, owner=owner)
        return reply(told)

    async def _act(self, request: Request) -> Response:
        holder, view = self._view(request)
        require(holder, Right.ANSWER)
        body = await body_of(request)
        action, question = body.get("action"), request.path_params["question"]
        owner = None
        if not view.asks(question):
            require(holder, Right.DETAILS)
            owner = self._gate.token(request)
        if action not in asking.ACTIONS:
            raise NotFoundError("There is nothing here.", mend="Send answer, skip, claim or release as action.")
        annotator = holder.name or str(body.get("annotator") or "")
        told = await asyncio.to_thread(self._desk.act, action, view.app.app, question, annotator, body, owner=owner)
        return reply(told)

    async def _manage(self, request: Request) -> Response:
        holder, view = self._view(request)
        require(holder, Right.MANAGE)
        body, name = await body_of(request), view.app.app
        action = body.get("action")
        if action not in managing.ACTIONS:
            raise NotFoundError("There is nothing here.", mend="Send pause, resume or erase as action.")
        if action == "erase" and body.get("confirm") != name:
            raise InvalidDataError("That is not the name of the app.", mend=f"Type {name}.", reason="confirm")
        actor = holder.name or getpass.getuser()
        return reply(await asyncio.to_thread(managing.act, self._settings, action, name, actor))

    # -- the house -------------------------------------------------------------------------------------------------

    def _keeper(self, request: Request, *rights: Right) -> Holder:
        """Return the caller, who sees all apps and has these rights; for others there is nothing here."""
        holder = self._gate.caller(request)
        if holder.apps is not None:
            raise NotFoundError("There is nothing here.", mend="Ask for a token that sees all apps.")
        for right in rights:
            require(holder, right)
        return holder

    async def _operations(self, request: Request) -> Response:
        holder = self._keeper(request)
        told = await self._rounds.told()
        return reply(told if Right.DETAILS in holder.rights else operations.without_counts(told))

    async def _dead(self, request: Request) -> Response:
        holder = self._keeper(request)
        start = _number(request, "start")
        closed = request.query_params.get("all") == "1"
        texts = Right.MESSAGES in holder.rights
        return reply(self._letters.page(closed=closed, start=start, texts=texts))

    async def _letter(self, request: Request) -> Response:
        name = request.path_params["letter"]
        self._keeper(request, Right.MESSAGES, *((Right.DETAILS,) if letters.holds_labels(name) else ()))
        return reply(letters.view(await self._fetched(name)))

    async def _mend(self, request: Request) -> Response:
        self._keeper(request, Right.REDRIVE)
        action = _MENDS.get(str((await body_of(request)).get("action")))
        if action is None:
            raise NotFoundError("There is nothing here.", mend="Send redrive or discard as action.")
        letter = await self._fetched(request.path_params["letter"])
        await asyncio.to_thread(action, self._settings, [letter])
        return reply({"letter": letter.letter})

    async def _fetched(self, name: str) -> DeadLetter:
        return await asyncio.to_thread(letters.fetch, self._settings, self._letters.find(name))


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        raise InvalidDataError(f"{name} is no number.", mend="Send how many to leave out.", reason="page")
    return int(text)


def _event(news: News, changes: list[tuple[str, str]]) -> str:
    content = json.dumps({"reset": news.reset, "changes": changes})
    return f"id: {news.id}\ndata: {content}\n\n"


async def _gone(_request: Request, _error: Exception) -> Response:
    """Return what nobody reads: the caller hung up in the middle of the request."""
    return Response(status_code=400)


async def _absent(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    missing = NotFoundError("There is nothing here.", mend="Begin at the front page.")
    response = refusal(missing)
    response.status_code = status
    return response
