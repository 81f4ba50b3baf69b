"""Attempts to get past the dashboard's door: each fails, nothing is done, and absent and forbidden look the same."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from dashboard_day import APP, event

from easeml.dashboard.changes import Changes
from easeml.dashboard.house import House
from easeml.dashboard.letters import Letters
from easeml.dashboard.web import Web
from easeml.stream import payloads as p
from easeml.stream.settings import Settings
from easeml.tokens import Right, TokenFile, digest_of

HOST = "127.0.0.1:50153"
LETTER = "easeml.values.v1.dlq:0:7"
READS = [
    "/api/apps",
    "/api/changes?app=churn",
    "/api/apps/churn/journey",
    "/api/apps/churn/models",
    "/api/apps/churn/picker",
    "/api/apps/churn/feasibility",
    "/api/apps/churn/ci",
    "/api/apps/churn/ci?details=1",
    "/api/apps/churn/rows/train",
    "/api/apps/churn/questions",
    "/api/apps/none/journey",
    "/api/operations",
    "/api/letters",
    f"/api/letters/{LETTER}",
]
WRITES = [
    ("/api/apps/churn", {"action": "pause"}),
    ("/api/apps/churn", {"action": "erase", "confirm": "churn"}),
    ("/api/apps/churn/questions/q", {"action": "answer", "value": 0, "request_id": "r"}),
    ("/api/apps/churn/questions/q", {"action": "claim"}),
    (f"/api/letters/{LETTER}", {"action": "redrive"}),
    (f"/api/letters/{LETTER}", {"action": "discard"}),
]
STRANGERS = {
    "nothing": {},
    "an empty token": {"authorization": "Bearer "},
    "a guessed token": {"authorization": "Bearer guess"},
    "the digest instead of the token": {"authorization": "Bearer {digest}"},
    "a token without its kind": {"authorization": "{ada}"},
    "a token of another kind": {"authorization": "Basic {ada}"},
    "a token with more behind it": {"authorization": "Bearer {ada}x"},
    "a token that was revoked": {"authorization": "Bearer {gone}"},
    "a token as cookie": {"cookie": "easeml_session_0={ada}; easeml_session={ada}; easeml_session_50153={ada}"},
    "the cookie of another page": {"cookie": "session={ada}"},
    "a wrong token beside a cookie": {"authorization": "Bearer guess", "cookie": "easeml_session_0={ada}"},
    "a token in the address": {"x-token": "{ada}"},
}
FORGED = {
    "another site": {"origin": "https://evil.example"},
    "a site that hides": {"origin": "null"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "a name that begins alike": {"origin": f"http://{HOST}.evil.example"},
    "what the browser says of a cross-site request": {"sec-fetch-site": "cross-site"},
    "a sister site": {"origin": f"http://{HOST}", "sec-fetch-site": "same-site"},
}
TRICKS = [
    ("GET", "/api/apps/fraud%2Fjourney"),
    ("GET", "/api/apps/churn/../fraud/journey"),
    ("GET", "/api/apps/churn%2F..%2Ffraud/journey"),
    ("GET", "/api//apps/fraud/journey"),
    ("GET", "/API/apps/fraud/journey"),
    ("GET", "/api/apps/FRAUD/journey"),
    ("GET", "/api/apps/fraud%00/journey"),
    ("GET", "/api/apps/fraud/journey/"),
    ("GET", "/api/apps/churn/rows/test-labels"),
    ("GET", "/api/apps/churn/rows/..%2F..%2Ftokens.json"),
    ("GET", "/static/../access.py"),
    ("GET", "/static/%2e%2e/access.py"),
    ("GET", "/tokens.json"),
    ("GET", "/house.key"),
    ("POST", "/api/apps/fraud"),
    ("POST", "/api/apps/churn%2F..%2Ffraud"),
    ("POST", "/api/apps/fraud/questions/q"),
    ("PUT", "/api/apps/churn"),
    ("PATCH", "/api/apps/churn"),
    ("DELETE", "/api/apps/churn"),
    ("POST", "/api/apps"),
    ("DELETE", "/api/apps/churn/questions/q"),
    ("POST", "/api/operations"),
    ("DELETE", f"/api/letters/{LETTER}"),
    ("POST", "/subjects/app-defined/versions"),
]


class Door:
    """The ASGI application of a dashboard with tokens, that writes down what it is made to do."""

    def __init__(self, home, monkeypatch):
        self.done = []
        file = TokenFile(home)
        self.tokens = {
            "ada": file.create("ada", ["churn"], [Right.ANSWER]),
            "eve": file.create("eve", None),
            "keeper": file.create("keeper", None, [Right.REDRIVE]),
            "manager of fraud": file.create("manager of fraud", ["fraud"], list(Right)),
            "gone": file.create("gone", None, list(Right)),
        }
        file.revoke("gone")
        self.known = self.tokens | {"digest": digest_of(self.tokens["ada"])}
        house = House()
        house.fold([event(APP, 0.0), event(p.AppDefined("fraud", "y", ("a", "b"), ()), 1.0)])
        web = Web(Settings(home=home), house, Letters(), Changes("x"))
        monkeypatch.setattr("easeml.dashboard.managing.act", lambda *said: self.done.append(said) or {})
        monkeypatch.setattr("easeml.dashboard.asking.Desk.act", lambda _, *said, **more: self.done.append(said) or {})
        self.application = web.application()

    def shows(self, who):
        return {"authorization": f"Bearer {self.tokens[who]}"}

    async def call(self, method, path, body=None, *, gone=False, **headers):
        """Return status and body of a reply."""
        path, _, query = path.partition("?")
        named = {"host": HOST} | {name.replace("_", "-"): text.format(**self.known) for name, text in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode()) for name, text in named.items()],
            "scheme": "http",
            "http_version": "1.1",
        }
        sent = []

        async def receive():
            if gone:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": json.dumps(body or {}).encode(), "more_body": False}

        async def send(message):
            sent.append(message)

        await self.application(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def door(tmp_path, monkeypatch):
    return Door(tmp_path, monkeypatch)


@pytest.mark.parametrize("shown", STRANGERS)
async def test_who_shows_no_token_of_the_house_sees_and_does_nothing(door, shown):
    headers = {name.replace("-", "_"): text for name, text in STRANGERS[shown].items()}
    for path in READS:
        address = f"{path}{'&' if '?' in path else '?'}token={door.tokens['ada']}"
        status, body = await door.call("GET", address, **headers)
        assert (status, b"churned" in body) == (401, False), path
    for path, said in WRITES:
        assert (await door.call("POST", path, said, **headers))[0] == 401, path
    assert door.done == []


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("who", ["ada", "keeper", "manager of fraud"])
async def test_another_site_makes_no_browser_act(door, forged, who):
    headers = {name.replace("-", "_"): text for name, text in FORGED[forged].items()}
    cookie = {"cookie": f"easeml_session_0={door.tokens[who]}"}
    for path, said in [*WRITES, ("/api/apps/fraud", {"action": "pause"}), ("/api/session", {"token": "x"})]:
        assert (await door.call("POST", path, said, **headers, **cookie))[0] == 403
    assert (await door.call("DELETE", "/api/session", **headers, **cookie))[0] == 403
    assert door.done == []


TRIED = [
    *(("ada", *trick) for trick in TRICKS),
    *(("eve", *trick) for trick in TRICKS if trick[0] != "GET" or "fraud" not in trick[1]),  # she sees every app
]


@pytest.mark.parametrize(("who", "method", "path"), TRIED)
async def test_tricks_with_addresses_lead_nowhere(door, method, path, who):
    status, body = await door.call(method, path, {"action": "erase", "confirm": "fraud"}, **door.shows(who))
    assert status in {400, 404, 405, 307}
    assert b"condition" not in body
    assert door.done == []


@pytest.mark.parametrize(
    ("who", "paths"),
    [
        ("ada", [path for path in READS if "rows" in path or "details" in path or "operations" in path]),
        ("ada", [path.replace("churn", "fraud") for path in READS if "churn/" in path]),
        ("ada", ["/api/letters", f"/api/letters/{LETTER}"]),
        ("eve", [path for path in READS if "rows" in path or "details" in path]),
        ("eve", [f"/api/letters/{LETTER}"]),
        ("keeper", [f"/api/letters/{LETTER}", "/api/apps/churn/rows/train"]),
        ("manager of fraud", [path for path in READS if "churn/" in path]),
        ("manager of fraud", ["/api/operations", "/api/letters", f"/api/letters/{LETTER}"]),
    ],
)
async def test_who_may_see_less_sees_no_more(door, who, paths):
    assert paths
    for path in paths:
        status, body = await door.call("GET", path, **door.shows(who))
        absent = await door.call("GET", path.replace("fraud", "absent").replace("churn", "absent"), **door.shows(who))
        assert status == 404, path
        told = body.replace(b"fraud", b"absent").replace(b"churn", b"absent")
        if "/apps/" in path and "churn" not in path:
            assert (absent[0], absent[1]) == (status, told), path


@pytest.mark.parametrize("who", ["ada", "eve", "keeper", "manager of fraud"])
async def test_who_may_do_less_does_no_more(door, who):
    allowed = {"ada": "questions"}.get(who, "nothing")
    for path, said in WRITES:
        if allowed not in path:
            assert (await door.call("POST", path, said, **door.shows(who)))[0] == 404, path
    assert door.done == []


async def test_who_may_does(door):
    boss = door.shows("manager of fraud")
    assert (await door.call("POST", "/api/apps/fraud", {"action": "pause"}, **boss))[0] == 200
    ((_, action, app, actor),) = door.done
    assert (action, app, actor) == ("pause", "fraud", "manager of fraud")


async def test_a_caller_who_hangs_up_in_the_middle_is_no_failure_of_ours(door):
    headers = door.shows("manager of fraud")
    assert (await door.call("POST", "/api/apps/fraud", gone=True, **headers))[0] == 400
    assert door.done == []
