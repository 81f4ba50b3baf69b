"""HTTP predict: the current pick of an app, as JSON over HTTP.

::

    POST /v1/apps/churn/predict   {"rows": [{"age": 31, "city": "Zug"}], "record": true, "row_ids": ["r1"]}
      -> {"model": "...", "classes": ["no", "yes"], "labels": ["no"], "probabilities": [[0.9, 0.1]], "row_ids": ["r1"]}
    GET  /v1/apps/churn/pick      -> {"model": "...", "period": 3, "drift": false, ...}

A category that the app does not know is taken as missing, and ``warnings`` say so: a new city stops no predictions.
With ``record`` the rows are on the production topic before the answer is given; the same request again records
nothing new. A token of a person opens the apps it is for, and records with the right ``record``. Every refusal is
``{"error": {"reason", "message", "mend"}}``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pandas as pd
from aiohttp import web

from easeml.errors import ConfigurationError, EaseMLError, InvalidDataError, NotFoundError, PermissionDeniedError
from easeml.gate import Gate
from easeml.ids import EventId
from easeml.ports import free_port
from easeml.relation import Relation
from easeml.serving.live import Model
from easeml.serving.service import ServingService
from easeml.serving.state import ServingState
from easeml.stream import codec
from easeml.stream.payloads import ColumnKind, Payload, Pillar
from easeml.stream.settings import Settings
from easeml.stream.topics import DATA_PRODUCTION, Topic
from easeml.tokens import EVERYTHING, Holder, Right

log = logging.getLogger(__name__)

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 503,
}


class Publisher(Protocol):
    """What the server needs of the kernel's publisher."""

    async def publish(self, topic: Topic, data: Payload, *, id: EventId | None = None) -> None:  # noqa: A002
        """Return when the broker has the event; raises UnavailableError."""


class PredictServer:
    """The HTTP server; lives in the event loop of the serving service and reads its states.

    Parameters
    ----------
    service : ServingService
        Whose models and picks are served.
    settings : Settings
        Address, token, TLS and limits.
    """

    def __init__(self, service: ServingService, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._gate = Gate(settings)
        self._runner: web.AppRunner | None = None
        self._publisher: Publisher | None = None
        self.ports: dict[str, int] = {}
        """Name of the endpoint -> port it listens on."""

    async def start(self, publisher: Publisher) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            When the address is taken or a TLS file cannot be read.
        """
        self._publisher = publisher

        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            return await self._guard(request, handler)

        application = web.Application(middlewares=[guard], client_max_size=self._settings.max_message_bytes)
        application.router.add_post("/v1/apps/{app}/predict", self._predict)
        application.router.add_get("/v1/apps/{app}/pick", self._pick)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host = self._settings.host
        port = self._settings.serving_port or free_port(host)
        site = web.TCPSite(self._runner, host, port, ssl_context=_tls(self._settings))
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise ConfigurationError(
                f"EASEML_SERVING_PORT: {host}:{port} cannot be listened on: {error}.", mend="Choose another port or 0."
            ) from error
        self.ports = {"predict": int(self._runner.addresses[0][1])}

    async def stop(self) -> None:
        """Finish the requests under way and close."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            self._caller(request)  # whoever is nobody learns not even which addresses there are
            return await handler(request)
        except EaseMLError as error:
            return _refusal(_STATUS.get(error.grpc_code, 500), error.reason, error.message, error.mend)
        except web.HTTPRequestEntityTooLarge:
            limit = self._settings.max_message_bytes
            return _refusal(413, "too_large", f"The request has more than {limit} bytes.", "Send fewer rows at once.")
        except web.HTTPException as error:
            return _refusal(error.status, "http", error.reason, "POST /v1/apps/APP/predict or GET /v1/apps/APP/pick.")
        except Exception:
            log.exception("A predict request failed.")
            return _refusal(
                500, "internal", "The request met a defect of the server.", "Report it with the server's log."
            )

    def _caller(self, request: web.Request) -> Holder:
        self._gate.check_origin(request.method, request.headers)
        if self._gate.open:
            return EVERYTHING
        kind, _, token = ",".join(request.headers.getall("authorization", ())).partition(" ")  # two are none
        holder = self._gate.holder(token) if kind.lower() == "bearer" else None
        if holder is None:
            raise _UnauthenticatedError(
                "The bearer token is missing or wrong.", mend="Send 'Authorization: Bearer ...'."
            )
        return holder

    async def _pick(self, request: web.Request) -> web.Response:
        app = request.match_info["app"]
        state = self._state(app, self._caller(request))
        return web.json_response({"app": app, **_picked(app, state)})

    async def _predict(self, request: web.Request) -> web.Response:
        app = request.match_info["app"]
        state = self._state(app, self._caller(request))
        model = _picked_model(app, state)
        asked = _Request(await _body(request), state)
        if asked.record and Right.RECORD not in self._caller(request).rights:
            raise PermissionDeniedError(
                "This token does not allow rows to be recorded.",
                mend="'easeml tokens create NAME --may record' makes one.",
            )
        scores = self._service.live.score([model], asked.relation.features(), state.classes)
        if model.model in scores.failed:
            raise InvalidDataError(
                f"Model {model.model!r} cannot predict these rows: {scores.failed[model.model]}",
                mend="Send rows like those it was trained on.",
                reason="prediction",
            )
        if asked.record:
            await self._record(app, asked.relation)
        scored = scores.good[model.model]
        answer = {
            "model": model.model,
            "classes": state.classes,
            "labels": [state.classes[code] for code in scored.labels],
            "probabilities": [[round(p, 6) for p in row] for row in scored.probabilities.tolist()],
            "row_ids": asked.relation.row_ids,
        }
        return web.json_response(answer | ({"warnings": asked.warnings} if asked.warnings else {}))

    async def _record(self, app: str, relation: Relation) -> None:
        assert self._publisher is not None
        batches = relation.to_batches(app, Pillar.PRODUCTION, "predict")
        # The same rows again get the same event id: a client that retries records them once.
        await asyncio.gather(*(
            self._publisher.publish(DATA_PRODUCTION, batch, id=EventId.derive("serving", "record", _digest(batch)))
            for batch in batches
        ))  # fmt: skip

    def _state(self, app: str, holder: Holder) -> ServingState:
        """Return the state of an app; one that is not there and one that the caller may not see look the same."""
        state = self._service.states.get(app)
        if state is None or not state.columns or not holder.sees(app):
            raise NotFoundError(
                f"No app {app!r} is served here.", mend="Create it and wait for its first model.", reason="unknown_app"
            )
        return state


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError) as error:  # the latter: the caller has gone, and reads no answer
        raise InvalidDataError(
            "The request's body is not what its headers say.",
            mend="Send its true length and encoding, or neither Content-Encoding nor Transfer-Encoding.",
        ) from error


class _UnauthenticatedError(EaseMLError):
    reason = "unauthenticated"
    grpc_code = "UNAUTHENTICATED"


class _Request:
    """A checked predict request."""

    def __init__(self, body: bytes, state: ServingState) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidDataError(f"The request is not JSON: {error}.", mend='Send {"rows": [{...}]}.') from error
        if not isinstance(document, dict) or not set(document) <= {"rows", "row_ids", "record"}:
            raise InvalidDataError(
                "The request is not an object of 'rows', 'row_ids' and 'record'.", mend='Send {"rows": [{...}]}.'
            )
        rows, ids, record = document.get("rows"), document.get("row_ids"), document.get("record", False)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise InvalidDataError(
                "'rows' is not a list of at least one object.", mend="Send one object of column values per row."
            )
        if not isinstance(record, bool):
            raise InvalidDataError("'record' is neither true nor false.", mend="Send a boolean.")
        given = ids is not None
        if not given:
            ids = [str(uuid.uuid4()) for _ in rows]
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids) or len(ids) != len(rows):
            raise InvalidDataError("'row_ids' is not one string per row.", mend="Send one id per row, or none at all.")
        names = [column.name for column in state.columns]
        shown = [repr(name) if given else str(place) for place, name in enumerate(ids)]
        for place, row in zip(shown, rows, strict=True):
            for what, odd in (("unknown", row.keys() - set(names)), ("missing", set(names) - row.keys())):
                if odd:
                    raise InvalidDataError(
                        f"Row {place}: {what} column {min(odd)!r}.",
                        mend=f"Send {', '.join(names)}; a missing value is null.",
                        reason=f"{what}_column",
                    )
            for column in state.columns:
                if isinstance(row[column.name], dict | list) and column.kind is not ColumnKind.TENSOR:
                    raise InvalidDataError(
                        f"Row {place}, column {column.name!r}: not a single value.",
                        mend=f"Send a {column.kind} value.",
                    )
        frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in names})
        try:
            self.relation = Relation.from_frame(frame, columns=state.columns, row_ids=tuple(ids), unseen="missing")
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidDataError(f"A value does not fit its column: {error}.", mend="Send finite numbers.") from error
        self.record = record
        self.warnings = [
            f"Row {shown[place]}, column {column!r}: {value!r} is unknown and taken as missing."
            for place, column, value in self.relation.unseen
        ]


def _picked(app: str, state: ServingState) -> dict[str, Any]:
    if state.pick is None:
        raise NotFoundError(
            f"No model of {app!r} is picked: of {len(state.models)} published, none has passed CI so far.",
            mend=f"'easeml watch {app}' shows the verdicts; relax the condition or publish more data if none can pass.",
            reason="no_pick",
        )
    return state.pick


def _picked_model(app: str, state: ServingState) -> Model:
    name = _picked(app, state)["model"]
    if name not in state.models:
        raise NotFoundError(
            f"The picked model {name!r} of {app!r} is not served here.",
            mend="It is external or was retired: ask its owner, or wait for the next pick.",
            reason="model_not_served",
        )
    return state.models[name]


def _digest(batch: Payload) -> str:
    return hashlib.sha256(codec.encode(batch)).hexdigest()


def _refusal(status: int, reason: str, message: str, mend: str) -> web.Response:
    return web.json_response({"error": {"reason": reason, "message": message, "mend": mend}}, status=status)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.serves_tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.sslobject_class = _Handshake
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key_file)
        if settings.tls_ca:
            context.load_verify_locations(settings.tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise ConfigurationError(
            f"EASEML_TLS_CERTIFICATE, EASEML_TLS_KEY and EASEML_TLS_CA cannot be used: {error}.",
            mend="Name PEM files: of one pair, and of the authority of the callers.",
        ) from error
    return context


class _Handshake(ssl.SSLObject):
    """A connection that tells the log why it was refused; asyncio keeps that to itself."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or (error.reason or str(error)).lower().replace("_", " ")
            log.warning("a caller was refused before it could ask anything: %s", why)
            raise
