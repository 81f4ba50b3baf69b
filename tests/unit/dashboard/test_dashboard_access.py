"""Who is let in, and from where."""

from __future__ import annotations

import json
import stat

import pytest
from starlette.requests import Request

from easeml.dashboard.access import SESSION_SECONDS, Gate, UnknownCallerError, cookie_of, require, require_app
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError, PermissionDeniedError
from easeml.stream.settings import Settings
from easeml.tokens import EVERYTHING, Holder, Right, TokenFile


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


HOST = "127.0.0.1:50153"
COOKIE = cookie_of({"host": HOST})


@pytest.fixture
def gate(tmp_path):
    return lambda token="": Gate(Settings(home=tmp_path, token=token))


def test_without_tokens_everything_is_open_to_this_machine(gate):
    assert gate().caller(request()) == EVERYTHING
    gate().check_origin("GET", {"host": "127.0.0.1:50153"})
    gate().check_origin("GET", {"host": "[::1]:50153"})


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example:50153", "[::1", "localhost.evil:1"])
def test_a_name_that_only_points_here_is_refused_without_tokens(gate, host):
    with pytest.raises(PermissionDeniedError):
        gate().check_origin("GET", {"host": host})


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic right"},
        {"authorization": "right"},
        {"authorization": "Bearer right right"},
        {"authorization": "Bearer " + "x" * 100_000},
        {"cookie": f"{COOKIE}=wrong"},
        {"cookie": f"{COOKIE}=right", "host": HOST},  # a token is no session
        {"cookie": "other=right"},
        {"cookie": f"{COOKIE}="},
        {"authorization": "Bearer wrong", "cookie": f"{COOKIE}=right"},
    ],
)
def test_a_caller_without_the_token_is_unknown(gate, shown):
    with pytest.raises(UnknownCallerError):
        gate("right").caller(request(**shown))


def test_the_token_opens(gate):
    assert gate("right").caller(request(authorization="bearer right")) == EVERYTHING


def test_a_session_stands_for_its_token_here_until_it_ends(tmp_path):
    tokens, now = TokenFile(tmp_path), [0.0]
    ada = tokens.create("ada")
    gate = Gate(Settings(home=tmp_path), lambda: now[0])
    name = gate.begin(ada)
    assert ada not in name
    browser = request(cookie=f"{COOKIE}={name}", host=HOST)
    assert gate.caller(browser).name == "ada"
    assert gate.token(browser) == ada
    elsewhere = {
        "another port": request(cookie=f"{COOKIE}={name}", host="127.0.0.1:50163"),
        "as a token": request(authorization=f"Bearer {name}", host=HOST),
        "beside a wrong token": request(authorization="Bearer wrong", cookie=f"{COOKIE}={name}", host=HOST),
    }
    for shown in elsewhere.values():
        with pytest.raises(UnknownCallerError):
            gate.caller(shown)
    with pytest.raises(UnknownCallerError):
        Gate(Settings(home=tmp_path)).caller(browser)  # another process, or this one after a restart
    now[0] = SESSION_SECONDS + 1.0
    with pytest.raises(UnknownCallerError):
        gate.caller(browser)
    again = request(cookie=f"{COOKIE}={gate.begin(ada)}", host=HOST)
    gate.end(again)
    with pytest.raises(UnknownCallerError):
        gate.caller(again)
    last = request(cookie=f"{COOKIE}={gate.begin(ada)}", host=HOST)
    tokens.revoke("ada")
    with pytest.raises(UnknownCallerError):
        gate.caller(last)


@pytest.mark.parametrize("host", ["", "dash.example", "dash.example:x", "[::1", "[::1]:99999999"])
def test_any_host_has_a_cookie(host):
    assert cookie_of({"host": host}) == "easeml_session_0"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:50153", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_another_site_cannot_make_a_browser_act(gate, headers, method):
    with pytest.raises(PermissionDeniedError):
        gate("right").check_origin(method, {"host": "127.0.0.1:50153"} | headers)


def test_our_own_pages_act(gate):
    own = {"host": "dash.example:50153", "origin": "https://dash.example:50153", "sec-fetch-site": "same-origin"}
    gate("right").check_origin("POST", own)


def test_tokens_say_who_sees_what(gate, tmp_path):
    tokens = TokenFile(tmp_path)
    ada = tokens.create("ada", ["churn"], [Right.ANSWER])
    tokens.create("bob")
    guard = gate()
    assert not guard.open
    holder = guard.caller(request(authorization=f"Bearer {ada}"))
    assert holder == Holder("ada", frozenset({"churn"}), frozenset({Right.ANSWER}))
    require(holder, Right.ANSWER)
    require_app(holder, "churn", {"churn": 1, "fraud": 1})
    with pytest.raises(NotFoundError):
        require(holder, Right.MESSAGES)
    tokens.revoke("ada")
    tokens.revoke("bob")
    with pytest.raises(UnknownCallerError):
        guard.caller(request(authorization=f"Bearer {ada}"))
    with pytest.raises(UnknownCallerError):  # the last one is gone, and the door is closed still
        guard.caller(request())


def test_absent_and_forbidden_look_the_same():
    holder = Holder("ada", frozenset({"churn", "gone"}))
    told = []
    for app in ("fraud", "gone"):
        with pytest.raises(NotFoundError) as caught:
            require_app(holder, app, {"churn": 1, "fraud": 1})
        told.append(str(caught.value).replace(app, "APP"))
    assert told[0] == told[1]


def test_the_file_keeps_digests_for_its_owner_alone(tmp_path):
    tokens = TokenFile(tmp_path)
    token = tokens.create("ada")
    path = tmp_path / "tokens.json"
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.holder(token).name == "ada"
    assert tokens.holder(next(iter(json.loads(path.read_text())))) is None  # a digest is no token


def test_tokens_refuse_with_a_mend(tmp_path):
    tokens = TokenFile(tmp_path)
    tokens.create("ada")
    for wrong, error in (("ada", ConflictError), (" ", InvalidDataError), ("x" * 101, InvalidDataError)):
        with pytest.raises(error) as caught:
            tokens.create(wrong)
        assert caught.value.mend
    with pytest.raises(NotFoundError):
        tokens.revoke("bob")


@pytest.mark.parametrize("content", ["{", '{"x": {}}', '{"x": {"name": "a", "apps": null, "rights": ["fly"]}}'])
def test_a_damaged_file_lets_nobody_in(gate, tmp_path, content):
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(UnknownCallerError):
        gate().caller(request())
    with pytest.raises(ConfigurationError):
        gate().caller(request(authorization="Bearer x"))
