"""The dashboard as browsers meet it: pages, JSON, news, answers, and what it refuses."""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
import uuid
from dataclasses import replace

import fastavro
import numpy as np
import pytest
from dashboard_stack import DashboardStack

from easeml.stream import codec
from easeml.stream import payloads as p
from easeml.stream.reader import TopicReader
from easeml.stream.topics import ANNOTATIONS, AUDIT, CI_ANSWERS, CI_QUESTIONS, UPLOADS, UPLOADS_TEST, guarded_topics
from easeml.stream.topics import QUESTIONS as QUESTIONS_TOPIC
from easeml.tokens import Right, TokenFile

QUESTIONS = 25
APP = p.AppDefined("written", "y", ("a", "b"), ())


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with DashboardStack(tmp_path_factory.mktemp("dashboard")) as running:
        app = running.publish_app("churn")
        running.publish_questions(app, QUESTIONS)
        running.publish_app("fraud")
        running.until(lambda: running.call("/api/apps").content["apps"] == ["churn", "fraud"])
        running.until(lambda: len(questions(running)) == 20)
        yield running


def questions(stack: DashboardStack, **headers: str):
    return stack.call("/api/apps/churn/questions", **headers).content["questions"]


def reply(stack: DashboardStack, question: str, **body):
    path = f"/api/apps/churn/questions/{urllib.parse.quote(question, safe='')}"
    return stack.call(path, "POST", {"request_id": str(uuid.uuid4()), "annotator": "ada"} | body)


def annotations(stack: DashboardStack):
    reader = TopicReader(stack.settings, [ANNOTATIONS.name])
    try:
        return [event.data for event in reader.replay()]
    finally:
        reader.close()


@pytest.fixture
def tokens(stack):
    """Tokens; while there are any, nobody is let in without."""
    file = TokenFile(stack.home)
    yield file
    (stack.home / "tokens.json").unlink()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_health_and_metrics(stack):
    port = stack.run_file("dashboard")["health_port"]
    health = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10))
    assert (health["service"], health["status"], health["reasons"]) == ("dashboard", "SERVING", [])
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
    assert b'easeml_serving{service="dashboard"} 1.0' in metrics


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/style.css", "/api/apps", "/nowhere", "/static/../web.py"]
)
def test_every_reply_binds_the_browser(stack, path):
    headers = stack.call(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "path", ["/static/../web.py", "/static/%2e%2e/web.py", "/static/..%2fweb.py", "/static//etc/passwd"]
)
def test_nothing_but_static_files_is_served(stack, path):
    assert stack.call(path).status == 404


def test_the_journey_is_told(stack):
    told = stack.call("/api/apps/churn/journey").content
    assert [step["id"] for step in told["steps"]][:2] == ["datamagic", "snoopy"]
    assert told["recent"][-1]["text"].startswith("app defined")


def test_questions_come_with_their_rows_the_most_informative_first(stack):
    found = questions(stack)
    assert [one["row_id"] for one in found] == [f"churn-{n}" for n in range(20)]
    assert found[0]["row"] == [
        {"column": "age", "kind": "number", "value": 0.5},
        {"column": "plan", "kind": "text", "value": "<b>basic</b>"},
    ]
    assert found[0]["probabilities"] == [0.75, 0.25]


def test_an_answer_reaches_the_topic_once_and_the_page_follows(stack):
    first = questions(stack)[0]["question"]
    body = {"action": "answer", "value": 1, "request_id": str(uuid.uuid4())}
    done = [reply(stack, first, **body) for _ in range(2)]
    assert [one.status for one in done] == [200, 200]
    assert done[0].content == done[1].content
    assert [(a.question, a.annotator, a.value) for a in annotations(stack)] == [(first, "ada", 1)]
    stack.until(lambda: first not in {one["question"] for one in questions(stack)})
    stack.until(lambda: progress(stack)["answered"] == 1)


def progress(stack):
    return stack.call("/api/apps/churn/questions").content["progress"][0]


def test_a_claimed_question_is_offered_to_nobody_else(stack):
    first = questions(stack)[0]["question"]
    assert reply(stack, first, action="claim").status == 200
    others = stack.call("/api/apps/churn/questions?annotator=bob").content["questions"]
    assert first not in {one["question"] for one in others}
    assert reply(stack, first, action="claim", annotator="bob").status == 409
    assert reply(stack, first, action="release").status == 200
    assert reply(stack, first, action="skip").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "answer", "value": 7}, 400),
        ({"action": "answer", "value": "yes"}, 400),
        ({"action": "answer", "value": True}, 400),
        ({"action": "answer", "value": -1}, 400),
        ({"action": "answer", "value": 2**70}, 400),
        ({"action": "answer", "value": 0, "annotator": "x" * 10_000}, 400),
        ({"action": "answer"}, 400),
        ({"action": "answer", "value": 0, "other": "x"}, 400),
        ({"action": "answer", "value": 0, "request_id": ""}, 400),
        ({"action": "answer", "value": 0, "request_id": 5}, 400),
        ({"action": "drop"}, 404),
        ({}, 404),
    ],
)
def test_wrong_answers_are_refused_with_words(stack, body, status):
    before = len(annotations(stack))
    refused = reply(stack, questions(stack)[0]["question"], **body)
    assert refused.status == status
    assert refused.content["error"]["message"]
    assert len(annotations(stack)) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"[" * 60_000, b"\xff", b'{"token": "\\ud800"}', b'{"x":"' + b"x" * 70_000 + b'"}']
)
def test_a_body_that_is_none_is_refused(stack, body):
    assert stack.call("/api/apps/churn/questions/q", "POST", body).status in {400, 404}
    assert stack.call("/api/session", "POST", body).status in {400, 401}


def test_unknown_questions_are_not_there(stack):
    assert reply(stack, "q/none", action="answer", value=0).status == 404


def test_another_site_cannot_answer(stack):
    first = questions(stack)[0]["question"]
    path = f"/api/apps/churn/questions/{urllib.parse.quote(first, safe='')}"
    body = {"action": "answer", "value": 0, "request_id": "r"}
    for headers in ({"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}, {"host": "evil.example"}):
        assert stack.call(path, "POST", body, **headers).status == 403
    assert stack.call("/api/apps", host="evil.example").status == 403


def rows(stack, pillar="pool", **query):
    return stack.call(f"/api/apps/churn/rows/{pillar}?{urllib.parse.urlencode(query)}")


def test_rows_are_turned_page_by_page(stack):
    first = rows(stack).content
    assert [column["name"] for column in first["columns"]] == ["churned", "age", "plan"]
    assert (first["count"], first["all"], len(first["rows"])) == (QUESTIONS, QUESTIONS, QUESTIONS)
    assert first["rows"][0]["cells"][2] == {"text": "<b>basic</b>"}
    assert rows(stack, start=20).content["rows"][0]["row_id"] == first["rows"][20]["row_id"]
    assert rows(stack, start=10**8).content["rows"][-1]["row_id"] == first["rows"][-1]["row_id"]
    assert rows(stack, **{"from": "churn-2"}).content["rows"][0]["row_id"] == "churn-2"
    assert rows(stack, uncertain=1).content["rows"] == []
    assert rows(stack, "train").content["rows"] == []


def test_what_is_proposed_and_asked_about_a_cell_is_told_with_it(stack):
    who = {"source": "my-cleaner@2", "columns": ("age",), "row_ids": ("churn-7",), "values": ("7", "70")}
    where = {"row": np.zeros(2, np.int32), "column": np.zeros(2, np.int32), "probability": np.array([0.8, 0.2])}
    stack.publish(p.CandidateBatch("churn", p.Pillar.POOL, **who, **where))
    found = stack.until(lambda: rows(stack, uncertain=1).content["rows"])
    assert [one["row_id"] for one in found] == ["churn-7"]
    label, age, _ = found[0]["cells"]
    assert age["choices"] == [["7", 0.8, ["my-cleaner@2"]], ["70", 0.2, ["my-cleaner@2"]]]
    assert label["question"] == "q/churn-7"
    asked = reply(stack, label["question"], action="claim").content["question"]
    assert asked["candidates"] == ["no", "yes"]
    assert reply(stack, label["question"], action="release").status == 200


@pytest.mark.parametrize("query", [{"start": "-1"}, {"start": "x"}, {"start": "²"}])
def test_rows_that_are_none_are_refused(stack, query):
    assert rows(stack, **query).status == 400
    assert rows(stack, "test-labels").status == 404


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_shown_once_there_are_tokens(stack, tokens):
    token = tokens.create("ada", None, [Right.ANSWER])
    first = questions(stack, **bearer(token))[0]["question"]
    path = f"/api/apps/churn/questions/{urllib.parse.quote(first, safe='')}"
    for wrong in ({}, bearer("x"), {"cookie": "easeml_session=x"}, {"authorization": token}):
        for there in ("/api/apps", "/api/apps/churn/journey", "/api/changes?app=churn", "/api/apps/none/journey"):
            assert stack.call(there, **wrong).status == 401
        assert stack.call(path, "POST", {"action": "answer", "value": 0, "request_id": "r"}, **wrong).status == 401
    assert stack.call("/").status == 200  # the page itself holds nothing


def test_a_cookie_is_given_for_a_token_and_taken_back(stack, tokens):
    token = tokens.create("ada")
    assert stack.call("/api/session", "POST", {"token": "wrong"}).status == 401
    entered = stack.call("/api/session", "POST", {"token": token})
    cookie = entered.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert entered.content == {"known": True, "name": "ada", "rights": [], "house": True, "open": False}
    shown = {"cookie": cookie.split(";")[0]}
    assert token not in cookie
    assert stack.call("/api/apps", **shown).status == 200
    assert f'easeml_session_{stack.port}=""' in stack.call("/api/session", "DELETE", **shown).headers["set-cookie"]
    assert stack.call("/api/apps", **shown).status == 401


def test_a_token_that_may_look_cannot_answer(stack, tokens):
    token = tokens.create("eve")
    told = stack.call("/api/apps/churn/questions", **bearer(token)).content
    assert told["questions"] == []
    assert told["progress"]
    body = {"action": "answer", "value": 0, "request_id": "r"}
    assert stack.call("/api/apps/churn/questions/q%2Fchurn-5", "POST", body, **bearer(token)).status == 404
    assert stack.call("/api/apps/churn/rows/pool", **bearer(token)).status == 404


def test_details_of_verdicts_are_for_the_owner_of_the_test_set(stack, tokens):
    owner, other = tokens.create("owner", None, [Right.DETAILS]), tokens.create("other", None, [Right.ANSWER])
    assert stack.call("/api/apps/churn/ci?details=1", **bearer(owner)).content["details"] is True
    assert stack.call("/api/apps/churn/ci", **bearer(other)).content["details"] is False
    assert stack.call("/api/apps/churn/ci?details=1", **bearer(other)).status == 404


def test_absent_and_forbidden_look_the_same(stack, tokens):
    token = tokens.create("ada", ["churn"], list(Right))
    assert stack.call("/api/apps", **bearer(token)).content == {"apps": ["churn"]}
    paths = ("journey", "questions", "models", "picker", "feasibility", "ci", "ci?details=1", "rows/pool")
    for path in paths:
        forbidden = stack.call(f"/api/apps/fraud/{path}", **bearer(token))
        absent = stack.call(f"/api/apps/frood/{path}", **bearer(token))
        assert (forbidden.status, forbidden.body.replace(b"fraud", b"frood")) == (absent.status, absent.body)
        assert forbidden.status == 404


def test_a_question_that_only_the_owner_may_know_is_not_there_for_others(stack, tokens):
    owner, other = (
        tokens.create("owner", None, [Right.ANSWER, Right.DETAILS]),
        tokens.create("other", None, [Right.ANSWER]),
    )
    body = {"action": "claim"}
    refused = [stack.call("/api/apps/churn/questions/hidden", "POST", body, **bearer(who)) for who in (owner, other)]
    assert [one.status for one in refused] == [404, 404]
    assert refused[1].content["error"]["message"] == "There is nothing here."


def test_the_owner_of_the_test_set_answers_what_nobody_else_sees(stack, tokens):
    test = [
        p.Question("churn", f"ci-{n}", p.QuestionKind.LABEL, p.Pillar.TEST, f"t{n}", ("no", "yes"), 1e-3, "ci")
        for n in range(3)
    ]
    stack.publish(replace(stack.publish_app("churn"), test_label_budget=10))
    for question in test:
        stack.publisher.publish(CI_QUESTIONS, question)

    def mine(**headers):
        return [one["question"] for one in questions(stack, **headers) if one["pillar"] == "test"]

    stack.until(lambda: mine() == ["ci-0", "ci-1", "ci-2"])  # without tokens everybody at this machine is the owner
    owner = tokens.create("olga", ["churn"], [Right.ANSWER, Right.DETAILS])
    strangers = [
        tokens.create("dave", ["churn"], [Right.ANSWER]),
        tokens.create("eve", ["fraud"], [Right.ANSWER, Right.DETAILS]),
        tokens.create("mute", ["churn"], [Right.DETAILS]),
    ]
    assert mine(**bearer(owner)) == ["ci-0", "ci-1", "ci-2"]
    body = {"action": "answer", "value": 1, "request_id": str(uuid.uuid4())}
    for token in strangers:
        answers = [stack.call("/api/apps/churn/questions", **bearer(token))]
        assert not any("ci-" in answer.body.decode() for answer in answers)
        for action in ("answer", "claim", "release", "skip"):
            there, absent = (
                stack.call(f"/api/apps/churn/questions/{name}", "POST", body | {"action": action}, **bearer(token))
                for name in ("ci-0", "ci-9")
            )
            assert (there.status, there.body.replace(b"ci-0", b"ci-9")) == (absent.status, absent.body)
            assert there.status == 404
    assert stack.call("/api/apps/churn/questions/ci-0", "POST", {"action": "claim"}, **bearer(owner)).status == 200
    assert stack.call("/api/apps/churn/questions/ci-0", "POST", body, **bearer(owner)).status == 200
    reader = TopicReader(stack.settings, [CI_ANSWERS.name])
    said = [event.data for event in reader.replay() if isinstance(event.data, p.Annotation)]
    reader.close()
    assert [(one.question, one.annotator, one.value) for one in said] == [("ci-0", "olga", 1)]
    assert not any(one.question == "ci-0" for one in annotations(stack))
    stack.until(lambda: mine(**bearer(owner)) == ["ci-1", "ci-2"])


def test_answers_carry_the_name_of_the_token(stack, tokens):
    token = tokens.create("carol", None, [Right.ANSWER])
    first = questions(stack, **bearer(token))[0]["question"]
    path = f"/api/apps/churn/questions/{urllib.parse.quote(first, safe='')}"
    body = {"action": "answer", "value": 0, "request_id": str(uuid.uuid4()), "annotator": "somebody else"}
    assert stack.call(path, "POST", body, **bearer(token)).status == 200
    assert {a.annotator for a in annotations(stack) if a.question == first and a.value == 0} == {"carol"}


# -- news --------------------------------------------------------------------------------------------------------------


def test_news_come_and_go_on_after_a_break(stack):
    with stack.listening("churn") as news:
        begun, told = next(news)
        assert told == {"reset": False, "changes": []}
        stack.publish(p.DataVersion("churn", p.Pillar.TRAIN, "v1", 10, "0" * 64, "published"))
        last, told = next(news)
        assert ["churn", "data"] in told["changes"]
    stack.publish(p.DataVersion("churn", p.Pillar.TRAIN, "v2", 20, "0" * 64, "published"))
    stack.until(lambda: stack.call("/api/apps/churn/journey").content["steps"][0]["facts"][0][1] == "20 rows")
    for since in (begun, last):
        with stack.listening("churn", last_event_id=since) as news:
            assert next(news)[0] == since
            assert ["churn", "data"] in next(news)[1]["changes"]
    with stack.listening("churn", last_event_id="another-7") as news:
        next(news)
        assert next(news)[1]["reset"]


def test_news_are_of_the_app_alone_and_of_none_that_is_forbidden(stack, tokens):
    token = tokens.create("ada", ["churn"])
    with stack.listening("fraud", **bearer(token)) as news, stack.listening("churn", **bearer(token)) as own:
        next(news), next(own)
        stack.publish(p.DataVersion("fraud", p.Pillar.TRAIN, "v1", 10, "0" * 64, "published"))
        stack.publish(p.DataVersion("churn", p.Pillar.TRAIN, "v3", 30, "0" * 64, "published"))
        assert {app for app, _ in next(own)[1]["changes"]} == {"churn"}
        tokens.revoke("ada")
        tokens.create("bob")
        stack.publish(p.DataVersion("fraud", p.Pillar.TRAIN, "v4", 40, "0" * 64, "published"))
        assert list(news) == []


# -- the house ---------------------------------------------------------------------------------------------------------


def letters(stack, query="", **headers):
    return stack.call(f"/api/letters?{query}", **headers).content


def test_services_and_topics_are_told(stack):
    told = stack.call("/api/operations").content
    states = {row["service"]: row["state"] for row in told["services"]}
    assert (states["labels"], states["dashboard"], states["ci"]) == ("SERVING", "SERVING", "not running")
    counts = {row["topic"]: row["messages"] for row in told["topics"]}
    assert counts[QUESTIONS_TOPIC.name] == QUESTIONS


def test_how_many_questions_about_test_rows_were_asked_is_for_owners(stack, tokens):
    for number, rights in enumerate(([Right.MESSAGES], [Right.DETAILS])):
        keeper = bearer(tokens.create(f"counting {number}", None, rights))
        told = {row["topic"]: row["messages"] for row in stack.call("/api/operations", **keeper).content["topics"]}
        guarded = {told[name] for name in guarded_topics() if name in told}
        assert guarded
        assert all((count is None) == (rights == [Right.MESSAGES]) for count in guarded)
        assert told[QUESTIONS_TOPIC.name] == QUESTIONS


def test_dead_letters_are_listed_viewed_redriven_and_discarded(stack, tokens):
    keeper = bearer(tokens.create("keeper", None, [Right.REDRIVE, Right.MESSAGES]))
    stack.garbage(QUESTIONS_TOPIC.name, b"<script>alert(1)</script>")
    stack.until(lambda: letters(stack, **keeper)["open"] == 1)
    (first,) = letters(stack, **keeper)["letters"]
    assert (first["service"], first["reason"], first["state"]) == ("labels", "schema", "open")
    path = f"/api/letters/{urllib.parse.quote(first['letter'], safe='')}"
    shown = stack.call(path, **keeper).content
    assert (shown["bytes"], shown["key"], shown["content"]) == (25, "key", None)
    assert bytes.fromhex(shown["begins"]).startswith(b"<script>")
    assert stack.call(path, "POST", {"action": "redrive"}, **keeper).status == 200
    stack.until(lambda: letters(stack, "all=1", **keeper)["count"] == 2)  # given up once more
    stack.until(lambda: letters(stack, **keeper)["open"] == 1)
    assert stack.call(path, "POST", {"action": "redrive"}, **keeper).status == 409
    (second,) = letters(stack, **keeper)["letters"]
    path = f"/api/letters/{urllib.parse.quote(second['letter'], safe='')}"
    assert stack.call(path, "POST", {"action": "discard"}, **keeper).status == 200
    stack.until(lambda: letters(stack, **keeper)["open"] == 0)
    states = {one["letter"]: one["state"] for one in letters(stack, "all=1", **keeper)["letters"]}
    assert states == {first["letter"]: "redriven", second["letter"]: "discarded"}
    assert letters(stack, "all=1&start=1", **keeper)["letters"][0]["letter"] == first["letter"]


def test_letters_are_for_those_who_may(stack, tokens):
    everything = bearer(tokens.create("everything", None, list(Right)))
    some = letters(stack, "all=1", **everything)["letters"][0]
    path = f"/api/letters/{urllib.parse.quote(some['letter'], safe='')}"
    for rights, apps in (([], None), ([Right.ANSWER, Right.DETAILS], None), (list(Right), ["churn"])):
        token = bearer(tokens.create(f"somebody {len(rights)}", apps, rights))
        assert stack.call(path, **token).status == 404
        assert stack.call(path, "POST", {"action": "redrive"}, **token).status == 404
        if apps:
            assert stack.call("/api/operations", **token).status == 404
            assert stack.call("/api/letters", **token).status == 404
        else:
            assert letters(stack, "all=1", **token)["letters"][0]["message"] == ""
    assert some["message"]


@pytest.mark.parametrize("topic", [UPLOADS, UPLOADS_TEST], ids=["sent to the wrong topic", "sent to the owner's"])
def test_a_file_that_was_given_up_may_hold_test_labels(stack, tokens, topic):
    reader = bearer(tokens.create(f"reader of {topic.name}", None, [Right.MESSAGES]))
    owner = bearer(tokens.create(f"owner of {topic.name}", None, [Right.MESSAGES, Right.DETAILS]))
    stack.garbage(topic.dead_letters, b"id,label")
    name = f"{topic.dead_letters}:0:0"
    stack.until(lambda: name in {one["letter"] for one in letters(stack, "all=1", **reader)["letters"]})
    path = f"/api/letters/{urllib.parse.quote(name, safe='')}"
    assert stack.call(path, **reader).status == 404
    assert stack.call(path, **owner).content["bytes"] == 8


@pytest.mark.parametrize("start", ["-1", "x", "1e3", "9" * 30])
def test_a_page_that_is_none_is_refused(stack, start):
    assert stack.call(f"/api/letters?start={start}").status == 400


def test_schemas_are_read_as_from_a_confluent_registry(stack):
    encoded = codec.encode(APP)
    number = int.from_bytes(encoded[1:5], "big")
    schema = json.loads(stack.call(f"/schemas/ids/{number}").content["schema"])
    assert fastavro.schemaless_reader(io.BytesIO(encoded[5:]), fastavro.parse_schema(schema))["app"] == APP.app
    assert "app-defined" in stack.call("/subjects").content
    assert 1 in stack.call("/subjects/app-defined/versions").content
    latest = stack.call("/subjects/app-defined/versions/latest").content
    assert (latest["id"], json.loads(latest["schema"])) == (number, schema)
    for missing, code in (
        ("subjects/x/versions", 40401),
        ("subjects/app-defined/versions/99", 40402),
        ("schemas/ids/x", 40403),
    ):
        told = stack.call(f"/{missing}")
        assert (told.status, told.content["error_code"]) == (404, code)
    assert stack.call("/subjects", "POST").status == 405


# -- managing apps -----------------------------------------------------------------------------------------------------


def audits(stack):
    reader = TopicReader(stack.settings, [AUDIT.name])
    try:
        return [(event.data.app, event.data.actor, event.data.action) for event in reader.replay()]
    finally:
        reader.close()


def manage(stack, app, body, **headers):
    return stack.call(f"/api/apps/{app}", "POST", body, **headers)


def test_an_app_is_paused_resumed_and_erased_by_who_may(stack, tokens):
    stack.publish_questions(stack.publish_app("doomed"), 3)
    admin = bearer(tokens.create("boss", ["doomed"], [Right.MANAGE]))
    stack.until(lambda: stack.call("/api/apps", **admin).content["apps"] == ["doomed"])
    told = manage(stack, "doomed", {"action": "pause"}, **admin)
    assert (told.status, told.content) == (200, {"app": "doomed", "paused": True})
    stack.until(lambda: stack.call("/api/apps/doomed/journey", **admin).content["paused"])
    assert manage(stack, "doomed", {"action": "pause"}, **admin).status == 409
    assert manage(stack, "doomed", {"action": "resume"}, **admin).content == {"app": "doomed", "paused": False}
    for confirm in ({}, {"confirm": ""}, {"confirm": "Doomed"}, {"confirm": ["doomed"]}, {"confirm": True}):
        refused = manage(stack, "doomed", {"action": "erase"} | confirm, **admin)
        assert (refused.status, refused.content["error"]["reason"]) == (400, "confirm")
    proof = manage(stack, "doomed", {"action": "erase", "confirm": "doomed"}, **admin).content
    assert proof["app"] == "doomed"
    assert sum(proof["removed"].values()) + sum(proof["left"].values()) > 3
    assert "labels" in proof["forgotten"]
    stack.until(lambda: stack.call("/api/apps", **admin).content["apps"] == [])
    assert manage(stack, "doomed", {"action": "erase", "confirm": "doomed"}, **admin).status == 404
    done = [action for app, actor, action in audits(stack) if (app, actor) == ("doomed", "boss")]
    assert done == ["PauseApp", "ResumeApp", "DeleteApp", "EraseApp"]


def test_an_app_is_managed_by_nobody_else(stack, tokens):
    rights = [right for right in Right if right is not Right.MANAGE]
    strangers = (
        bearer(tokens.create("looker", None, rights)),
        bearer(tokens.create("manager of another app", ["fraud"], [Right.MANAGE])),
    )
    for headers in strangers:
        for action in ("pause", "resume", "erase", "explode", None):
            assert manage(stack, "churn", {"action": action, "confirm": "churn"}, **headers).status == 404
    owner = bearer(tokens.create("manager", None, [Right.MANAGE]))
    assert manage(stack, "churn", {"action": "explode"}, **owner).status == 404
    assert manage(stack, "churn", {"action": "erase", "confirm": "churn"}).status == 401
    for forged in ({"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}, {"origin": "null"}):
        assert manage(stack, "churn", {"action": "erase", "confirm": "churn"}, **owner, **forged).status == 403
    assert "churn" in stack.call("/api/apps", **owner).content["apps"]
    assert not stack.call("/api/apps/churn/journey", **owner).content["paused"]


def test_a_restart_shows_the_same(stack):
    before = stack.call("/api/apps/churn/journey").content
    stack.processes["dashboard"].kill()
    stack.processes["dashboard"].wait()
    stack.start("dashboard")
    stack.until(lambda: (stack.run_file("dashboard") or {}).get("ready"))
    assert stack.call("/api/apps/churn/journey").content == before
