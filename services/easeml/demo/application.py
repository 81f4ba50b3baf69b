"""The application that Ease.ML serves in the demo: it asks for predictions over HTTP and records its rows."""

from __future__ import annotations

import http.client
import json
import math
import ssl
import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from easeml.errors import EaseMLError, UnavailableError
from easeml.stream.settings import Settings
from easeml.supervisor.stack import Stack
from easeml.tokens import house_token

_PATIENCE = 60.0
_NOT_YET = frozenset({404, 409, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Served:
    """What the application was told.

    Parameters
    ----------
    model : str
        Model that served the rows.
    labels : tuple of str
        Predicted class per row.
    """

    model: str
    labels: tuple[str, ...]


class Application:
    """Asks the predict service of a house, and asks again while it is away.

    Parameters
    ----------
    stack : Stack
        The house.
    settings : Settings
        Address, home and token.
    app : str
        The app to ask for.
    """

    def __init__(self, stack: Stack, settings: Settings, app: str) -> None:
        self._stack = stack
        self._settings = settings
        self._path = f"/v1/apps/{app}/predict"

    def predict(self, rows: pd.DataFrame, row_ids: tuple[str, ...]) -> Served:
        """Predict rows with the current pick and record them as production rows.

        Raises
        ------
        EaseMLError
            When the service refuses the rows.
        UnavailableError
            When it does not answer for a minute.
        """
        body = json.dumps({"rows": rows.map(_plain).to_dict("records"), "row_ids": row_ids, "record": True})
        deadline = time.monotonic() + _PATIENCE
        problem = "no answer"
        while time.monotonic() < deadline:
            try:
                status, content = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)
            else:
                if status == http.HTTPStatus.OK:
                    return Served(content["model"], tuple(content["labels"]))
                problem = f"{status}: {content}"
                if status not in _NOT_YET:
                    raise EaseMLError(f"The predict service refused the rows ({problem}).")
            time.sleep(0.1)
        raise UnavailableError(
            f"The predict service did not answer for {_PATIENCE:.0f} s ({problem}).",
            mend=f"Read {self._stack.home / 'logs' / 'serving.log'}.",
        )

    def _post(self, body: str) -> tuple[int, dict[str, Any]]:
        running = self._stack.service("serving") or {}
        port = running.get("ports", {}).get("predict", self._settings.serving_port)
        connection = self._connection(port)
        headers = {"content-type": "application/json"}
        token = house_token(self._settings)
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        finally:
            connection.close()

    def _connection(self, port: int) -> http.client.HTTPConnection:
        host, settings = self._settings.host, self._settings
        if not settings.serves_tls:
            return http.client.HTTPConnection(host, port, timeout=10)
        context = ssl.create_default_context(cafile=settings.tls_certificate)
        if settings.tls_ca:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key_file)
        # The house's own certificate is the one to trust, whoever issued it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(host, port, timeout=10, context=context)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
