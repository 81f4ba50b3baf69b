"""Attempts to get past the predict door: each fails, nothing is recorded, and absent and forbidden look the same."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from easeml.stream.settings import Settings
from easeml.stream.topics import APPS
from easeml.tokens import Right, TokenFile, digest_of, house_token
from serving.conftest import Harbour
from serving.test_predict import ROW, pick, start

BODY = json.dumps({"rows": [ROW], "row_ids": ["r"], "record": True})
ASKED = json.dumps({"rows": [ROW]})
CALLS = [
    ("GET", "/v1/apps/churn/pick", ""),
    ("HEAD", "/v1/apps/churn/pick", ""),
    ("POST", "/v1/apps/churn/predict", ASKED),
    ("POST", "/v1/apps/churn/predict", BODY),
    ("POST", "/v1/apps/churn/predict", "{"),
    ("GET", "/v1/apps/none/pick", ""),
    ("PUT", "/v1/apps/churn/pick", ""),
    ("OPTIONS", "/v1/apps/churn/predict", ""),
    ("GET", "/v1/apps", ""),
    ("GET", "/", ""),
]
STRANGERS = {
    "nothing": [],
    "an empty token": [("authorization", "Bearer ")],
    "a guessed token": [("authorization", "Bearer guess")],
    "a token that is no text": [("authorization", "Bearer caf\udcff")],
    "the digest instead of the token": [("authorization", "Bearer {digest}")],
    "a token without its kind": [("authorization", "{ada}")],
    "a token of another kind": [("authorization", "Basic {ada}")],
    "a token with more behind it": [("authorization", "Bearer {ada}x")],
    "a token with a blank before it": [("authorization", "Bearer  {ada}")],
    "a token that was revoked": [("authorization", "Bearer {gone}")],
    "a token under another name": [("x-token", "Bearer {ada}")],
    "the browser's cookie": [("cookie", "easeml_session={ada}")],
    "two tokens, one unknown": [("authorization", "Bearer guess"), ("authorization", "Bearer {ada}")],
    "what a proxy would say": [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-user", "ada")],
    "another method within": [("x-http-method-override", "GET"), ("x-original-url", "/health")],
}
FORGED = {
    "another site": {"origin": "https://evil.example"},
    "a site that hides": {"origin": "null"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "a name that begins alike": {"origin": "http://127.0.0.1.evil.example"},
    "what the browser says of a cross-site request": {"sec-fetch-site": "cross-site"},
    "a sister site": {"sec-fetch-site": "same-site"},
}
NAMES = {
    "a name of theirs that points here": "evil.example",
    "with the port": "evil.example:50152",
    "a name that begins alike": "127.0.0.1.evil.example",
    "a name with a user": "127.0.0.1@evil.example",
    "no name at all": "",
    "no address": "[::1",
}
TRICKS = [
    ("GET", "/v1/apps/fraud/pick"),
    ("GET", "/v1/apps/absent/pick"),
    ("GET", "/v1/apps/fraud%2Fpick"),
    ("GET", "/v1/apps/churn/../fraud/pick"),
    ("GET", "/v1/apps/churn%2F..%2Ffraud/pick"),
    ("GET", "/v1/apps/%66raud/pick"),
    ("GET", "/v1/apps/FRAUD/pick"),
    ("GET", "/v1/apps/fraud%00/pick"),
    ("GET", "/v1/apps/fraud/pick/"),
    ("GET", "/v1/apps//fraud/pick"),
    ("GET", "/V1/apps/fraud/pick"),
    ("GET", "/v1/apps/fraud;churn/pick"),
    ("GET", "/v1/apps/fraud/pick?app=churn"),
    ("GET", "/v1/apps/churn,fraud/pick"),
    ("GET", "/v1/apps/../../tokens.json"),
    ("GET", "/v1/apps/../../house.key"),
    ("HEAD", "/v1/apps/fraud/pick"),
    ("POST", "/v1/apps/fraud/predict"),
    ("POST", "/v1/apps/absent/predict"),
    ("POST", "/v1/apps/churn%2F..%2Ffraud/predict"),
    ("POST", "/v1/apps/fraud/predict?app=churn"),
    ("PUT", "/v1/apps/fraud/predict"),
    ("DELETE", "/v1/apps/fraud/pick"),
    ("PATCH", "/v1/apps/churn/pick"),
    ("TRACE", "/v1/apps/churn/pick"),
]


class Door:
    """A predict service with two apps and tokens, called byte by byte as no client would."""

    def __init__(self, server, recorder, tokens) -> None:
        self.port, self.recorder, self.tokens = server.ports["predict"], recorder, tokens
        self.known = tokens | {"digest": digest_of(tokens["ada"])}

    async def call(self, method, path, body="", headers=(), host="127.0.0.1"):
        """Return status and body of a reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        named = [("host", host), ("content-length", str(len(body))), ("connection", "close"), *headers]
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text.format(**self.known)}" for name, text in named), "", ""]
        writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape") + body.encode())
        head, _, said = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), said

    def shows(self, who):
        return [("authorization", f"Bearer {self.tokens[who]}")]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Two apps with a model each; requests change nothing in it."""
    harbour = Harbour(tmp_path_factory.mktemp("harbour"))
    harbour.cluster.publish(APPS, dataclasses.replace(harbour.app, app="fraud"))
    harbour.publish_model()
    harbour.publish_model("m2", app="fraud")
    pick(harbour)
    pick(harbour, "m2", app="fraud")
    return harbour


@pytest.fixture
async def door(house, tmp_path):
    file = TokenFile(tmp_path)
    tokens = {
        "ada": file.create("ada", ["churn"], [Right.ANSWER]),
        "eve": file.create("eve", None, [right for right in Right if right is not Right.RECORD]),
        "other": file.create("other", ["fraud"], list(Right)),
        "gone": file.create("gone", None, list(Right)),
        "program": file.create("program", ["churn"], [Right.RECORD]),
    }
    file.revoke("gone")
    server, recorder = await start(house, token="house", home=tmp_path)
    yield Door(server, recorder, tokens)
    await server.stop()


@pytest.mark.parametrize("shown", STRANGERS)
async def test_who_shows_no_token_of_the_house_sees_and_does_nothing(door, shown):
    for method, path, body in CALLS:
        status, said = await door.call(method, path, body, STRANGERS[shown])
        assert status == 401, path
        _, absent = await door.call(method, path.replace("churn", "absent"), body, STRANGERS[shown])
        assert said == absent
    assert door.recorder.events == []


@pytest.mark.parametrize("who", ["ada", "other", "program"])
@pytest.mark.parametrize("forged", FORGED)
async def test_another_site_makes_no_browser_ask(door, forged, who):
    headers = [*door.shows(who), *FORGED[forged].items()]
    for app in ("churn", "fraud"):
        assert (await door.call("POST", f"/v1/apps/{app}/predict", BODY, headers))[0] == 403
    assert door.recorder.events == []


@pytest.mark.parametrize(("method", "path"), TRICKS)
async def test_tricks_with_addresses_lead_nowhere(door, method, path):
    status, said = await door.call(method, path, BODY, door.shows("ada"))
    assert status in {400, 404, 405}
    assert b"m2" not in said
    assert b"posterior" not in said
    assert door.recorder.events == []


@pytest.mark.parametrize(
    ("who", "app", "status"),
    [
        ("ada", "churn", 403),
        ("eve", "churn", 403),
        ("eve", "fraud", 403),
        ("ada", "fraud", 404),
        ("other", "churn", 404),
    ],
)
async def test_who_may_do_less_does_no_more(door, who, app, status):
    assert (await door.call("POST", f"/v1/apps/{app}/predict", BODY, door.shows(who)))[0] == status
    assert door.recorder.events == []


@pytest.mark.parametrize(
    ("method", "rest", "body"), [("GET", "pick", ""), ("POST", "predict", ASKED), ("POST", "predict", "{")]
)
async def test_absent_and_forbidden_read_the_same(door, method, rest, body):
    told = [await door.call(method, f"/v1/apps/{app}/{rest}", body, door.shows("ada")) for app in ("fraud", "absent")]
    assert {status for status, _ in told} == {404}
    assert told[0][1].replace(b"fraud", b"absent") == told[1][1]


async def test_who_may_does(door):
    for who, app, body in (
        ("ada", "churn", ASKED),
        ("eve", "fraud", ASKED),
        ("program", "churn", BODY),
        ("other", "fraud", BODY),
    ):
        assert (await door.call("POST", f"/v1/apps/{app}/predict", body, door.shows(who)))[0] == 200
        assert (await door.call("GET", f"/v1/apps/{app}/pick", "", door.shows(who)))[0] == 200
    assert [batch.app for _, batch, _ in door.recorder.events] == ["churn", "fraud"]


@pytest.mark.parametrize("last", [False, True])
async def test_tokens_close_the_door_where_the_house_has_none(house, tmp_path, last):
    file = TokenFile(tmp_path)
    tokens = {"ada": file.create("ada")}
    if last:  # who takes the last one away does not open the door
        file.revoke("ada")
    server, recorder = await start(house, home=tmp_path)
    door = Door(server, recorder, tokens)
    assert (await door.call("POST", "/v1/apps/churn/predict", ASKED))[0] == 401
    assert (await door.call("POST", "/v1/apps/churn/predict", ASKED, door.shows("ada")))[0] == (401 if last else 200)
    door.tokens["key"] = house_token(Settings(home=tmp_path))
    assert (await door.call("POST", "/v1/apps/churn/predict", ASKED, door.shows("key")))[0] == 200
    await server.stop()


@pytest.mark.parametrize("name", NAMES)
async def test_without_tokens_a_page_elsewhere_does_not_get_in_by_a_name_of_its_own(house, tmp_path, name):
    server, recorder = await start(house, home=tmp_path)
    door = Door(server, recorder, {"ada": "none"})
    for method, path, body in (CALLS[0], CALLS[2], CALLS[3]):
        assert (await door.call(method, path, body, host=NAMES[name]))[0] in {400, 403}
    assert recorder.events == []
    assert (await door.call(*CALLS[0][:2], host="localhost:50152"))[0] == 200
    await server.stop()


def test_the_list_is_long_enough():
    assert len(STRANGERS) * len(CALLS) + 3 * len(FORGED) + len(TRICKS) + 3 * len(NAMES) > 200
