"""Attempts to get past the gRPC door: each fails, nothing is written, and absent and forbidden look the same."""

from __future__ import annotations

from dataclasses import replace

import grpc
import grpc.aio
import pytest

from easeml.labels.access import SCOPE
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.payloads import Answer, Pillar
from easeml.stream.settings import Settings
from easeml.stream.topics import CI_ANSWERS, CI_QUESTIONS
from easeml.tokens import Right, TokenFile, digest_of, house_token

UNKNOWN, ABSENT, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED


def answer(app="churn", question="q", **more):
    names = {"app": app, "question": question, "annotator": "bob", "request_id": "r"}
    return pb.SubmitAnswerRequest(**names, **({"value": 1} | more))


def skip(app="churn", question="q"):
    return pb.SkipQuestionRequest(app=app, question=question, annotator="bob", request_id="r")


def claim(app="churn", question="q"):
    return pb.ClaimQuestionRequest(app=app, question=question, annotator="bob")


def release(app="churn", question="q"):
    return pb.ReleaseQuestionRequest(app=app, question=question, annotator="bob")


CALLS = {
    "ListQuestions": pb.ListQuestionsRequest(app="churn"),
    "StreamQuestions": pb.StreamQuestionsRequest(app="churn"),
    "ClaimQuestion": claim(),
    "ReleaseQuestion": release(),
    "SubmitAnswer": answer(),
    "SubmitAnswers": pb.SubmitAnswersRequest(requests=[answer()]),
    "SkipQuestion": skip(),
    "GetBudget": pb.GetBudgetRequest(app="churn"),
}
STRANGERS = {
    "nothing": (),
    "empty token": (("authorization", "Bearer "),),
    "guessed token": (("authorization", "Bearer guess"),),
    "the digest instead of the token": (("authorization", "Bearer {digest}"),),
    "token without its kind": (("authorization", "{ada}"),),
    "token of another kind": (("authorization", "Basic {ada}"),),
    "token with more behind it": (("authorization", "Bearer {ada}x"),),
    "token that was revoked": (("authorization", "Bearer {gone}"),),
    "token under another name": (("token", "Bearer {ada}"),),
    "the browser's cookie": (("cookie", "easeml_session={ada}"),),
    "a scope alone": (SCOPE,),
    "the digest of the house key": (("authorization", "Bearer {key digest}"),),
    "the house key cut short": (("authorization", "Bearer {key cut}"),),
    "the house key without its kind": (("authorization", "{key}"),),
    "the house key of another house, as the owner": (("authorization", "Bearer {foreign key}"), SCOPE),
    "two tokens, the last unknown": (("authorization", "Bearer {ada}"), ("authorization", "Bearer guess")),
}
HOLDERS = [
    # who, call, request, code; test rows are those of question t, and the app spam is of others
    ("ada", "SubmitAnswer", answer("spam", "s"), ABSENT),
    ("ada", "SkipQuestion", skip("spam", "s"), ABSENT),
    ("ada", "ClaimQuestion", claim("spam", "s"), ABSENT),
    ("ada", "GetBudget", pb.GetBudgetRequest(app="spam"), ABSENT),
    ("ada", "SubmitAnswer", answer("spam", "q"), ABSENT),
    ("ada", "SubmitAnswer", answer("churn", "s"), ABSENT),
    ("ada", "SubmitAnswer", answer("", "s"), ABSENT),
    ("ada", "SubmitAnswer", answer("CHURN", "q"), ABSENT),
    ("ada", "SubmitAnswer", answer("churn/../spam", "s"), ABSENT),
    ("ada", "SubmitAnswer", answer("churn", "t"), ABSENT),
    ("ada", "SkipQuestion", skip("churn", "t"), ABSENT),
    ("ada", "ClaimQuestion", claim("churn", "t"), ABSENT),
    ("eve", "SubmitAnswer", answer(), DENIED),
    ("eve", "SubmitAnswer", answer(value=None, label="yes"), DENIED),
    ("eve", "SubmitAnswers", pb.SubmitAnswersRequest(requests=[answer()]), None),
    ("eve", "SkipQuestion", skip(), DENIED),
    ("eve", "ClaimQuestion", claim(), DENIED),
    ("eve", "ReleaseQuestion", release(), DENIED),
    ("eve", "SubmitAnswer", answer("spam", "s"), DENIED),
    ("manager", "SubmitAnswer", answer(), DENIED),
    ("manager", "SubmitAnswer", answer("churn", "t"), DENIED),
    ("olga", "SubmitAnswer", answer("churn", "t"), DENIED),
    ("other owner", "SubmitAnswer", answer("churn", "t"), ABSENT),
    ("other owner", "ClaimQuestion", claim("churn", "t"), ABSENT),
    ("other owner", "GetBudget", pb.GetBudgetRequest(app="churn"), ABSENT),
]


def key_of(home):
    return house_token(Settings(home=home))


@pytest.fixture
async def door(house, serve, question, app, tmp_path, request):
    """A server with tokens, two apps, and a question about a test row; EASEML_TOKEN is "house" or the parameter."""
    file = TokenFile(tmp_path)
    everything = list(Right)
    tokens = {
        "ada": file.create("ada", ["churn"], [Right.ANSWER]),
        "eve": file.create("eve", None),
        "manager": file.create("manager", None, [Right.MANAGE, Right.REDRIVE, Right.MESSAGES]),
        "olga": file.create("olga", ["churn"], [Right.DETAILS]),
        "other owner": file.create("other owner", ["spam"], everything),
        "gone": file.create("gone", None, everything),
    }
    file.revoke("gone")
    house.define(replace(app, test_label_budget=2))
    house.define(replace(app, app="spam"))
    house.ask(question(), question("s", app="spam"))
    house.put(CI_QUESTIONS, question("t", pillar=Pillar.TEST, asked_by="ci"))
    async with grpc.aio.insecure_channel(await serve(token=getattr(request, "param", "house"))) as channel:
        yield labels_pb2_grpc.LabelServiceStub(channel), tokens


async def attempt(stub, call, request, metadata):
    """Return what a call brings; of a stream the first message."""
    made = getattr(stub, call)(request, metadata=metadata, timeout=10)
    return await (made.read() if call == "StreamQuestions" else made)


def untouched(house):
    said = [event for event in house.cluster.events(CI_ANSWERS) if type(event.data).__name__ != "Budget"]
    return house.annotations() == [] and said == []


@pytest.mark.parametrize("door", ["house", ""], ids=["EASEML_TOKEN", "house key"], indirect=True)
@pytest.mark.parametrize("shown", STRANGERS)
async def test_who_shows_no_token_of_the_house_does_nothing(house, door, shown, tmp_path):
    stub, tokens = door
    TokenFile(tmp_path / "foreign").create("ada")
    key = key_of(tmp_path)
    keys = {"key": key, "key digest": digest_of(key), "key cut": key[:-1], "foreign key": key_of(tmp_path / "foreign")}
    known = tokens | keys | {"digest": digest_of(tokens["ada"])}
    metadata = tuple((name, text.format(**known) if "{" in text else text) for name, text in STRANGERS[shown])
    for call, request in CALLS.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attempt(stub, call, request, metadata)
        assert caught.value.code() is UNKNOWN, call
        for secret in ("churn", "row-q", tokens["ada"], key):
            assert secret not in caught.value.details()
    assert untouched(house)


async def test_the_first_token_shuts_the_door_of_a_running_service_for_good(house, serve, question, app, tmp_path):
    house.define(replace(app, test_label_budget=2))
    house.ask(question())
    house.put(CI_QUESTIONS, question("t", pillar=Pillar.TEST, asked_by="ci"))
    async with grpc.aio.insecure_channel(await serve()) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        stream = stub.StreamQuestions(CALLS["StreamQuestions"])
        assert [(await stream.read()).WhichOneof("event") for _ in range(2)] == ["opened", "caught_up"]
        tokens = TokenFile(tmp_path)
        tokens.create("ada")
        house.ask(question("late"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # who listened already is told nothing of it
            await stream.read()
        assert caught.value.code() is UNKNOWN
        owner = (("authorization", f"Bearer {key_of(tmp_path)}"), SCOPE)
        for last_is_revoked in (False, True):
            if last_is_revoked:
                tokens.revoke("ada")
            for call, request in CALLS.items():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await attempt(stub, call, request, (SCOPE,))
                assert caught.value.code() is UNKNOWN, call
            listed = await stub.ListQuestions(pb.ListQuestionsRequest(), metadata=owner)
            assert {asked.question for asked in listed.questions} == {"q", "late", "t"}
    assert untouched(house)


@pytest.mark.parametrize(("who", "call", "request_", "code"), HOLDERS)
@pytest.mark.parametrize("scope", [(), (SCOPE,)], ids=["", "as owner"])
async def test_who_may_do_less_does_no_more(house, door, who, call, request_, code, scope):
    stub, tokens = door
    metadata = (("authorization", f"Bearer {tokens[who]}"), *scope)
    if code is None:
        (result,) = (await attempt(stub, call, request_, metadata)).results
        assert result.error.code == DENIED.value[0]
    else:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attempt(stub, call, request_, metadata)
        assert caught.value.code() is code
    assert untouched(house)


async def test_lists_and_streams_show_a_holder_nothing_of_others(door):
    stub, tokens = door
    for who, seen in (("ada", {"q"}), ("manager", {"q", "s"}), ("other owner", {"s"})):
        for app in ("", "churn", "spam"):
            shown = (("authorization", f"Bearer {tokens[who]}"),)
            listed = await stub.ListQuestions(pb.ListQuestionsRequest(app=app), metadata=shown)
            assert {asked.question for asked in listed.questions} <= seen
            assert listed.total_size == len(listed.questions)  # nor how many there are
    owner = (("authorization", f"Bearer {tokens['other owner']}"), SCOPE)
    listed = await stub.ListQuestions(pb.ListQuestionsRequest(), metadata=owner)
    assert {asked.question for asked in listed.questions} == {"s"}


@pytest.mark.parametrize("call", ["ListQuestions", "StreamQuestions"])
@pytest.mark.parametrize("scope", [(), (SCOPE,)])
async def test_questions_show_rows_so_a_holder_needs_a_right_to_them(door, call, scope):
    stub, tokens = door
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await attempt(stub, call, CALLS[call], (("authorization", f"Bearer {tokens['eve']}"), *scope))
    assert caught.value.code() is DENIED
    assert "yes" not in str(caught.value)


async def test_one_request_id_for_a_row_and_for_a_test_row_answers_both(house, door):
    stub, _ = door
    owner = (("authorization", "Bearer house"), SCOPE)
    ids = [(await stub.SubmitAnswer(answer("churn", name), metadata=owner)).annotation_id for name in ("q", "t", "t")]
    assert ids[0] != ids[1] == ids[2]
    answered = [event.data for event in house.cluster.events(CI_ANSWERS) if isinstance(event.data, Answer)]
    assert [one.question for one in (*house.answers(), *answered)] == ["q", "t"]


async def test_absent_and_forbidden_read_the_same(door):
    stub, tokens = door
    shown = (("authorization", f"Bearer {tokens['ada']}"),)
    for make, call in ((answer, "SubmitAnswer"), (skip, "SkipQuestion"), (claim, "ClaimQuestion")):
        texts = set()
        for app, question in (("spam", "s"), ("nope", "s"), ("churn", "t"), ("churn", "none")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await attempt(stub, call, make(app, question), shown)
            texts.add(caught.value.details().replace(f"{app!r}", "APP").replace(f"{question!r}", "QUESTION"))
        assert len(texts) == 1


async def test_nobody_speaks_or_holds_in_the_name_of_somebody_else(house, door, question):
    stub, tokens = door
    house.ask(question("free"))
    house_token, ada = (("authorization", "Bearer house"),), (("authorization", f"Bearer {tokens['ada']}"),)
    await stub.ClaimQuestion(claim(), metadata=house_token)  # bob holds it
    await stub.ReleaseQuestion(release(), metadata=ada)  # ada says she is bob
    listed = await stub.ListQuestions(pb.ListQuestionsRequest(app="churn"), metadata=ada)
    assert {asked.question: asked.claimed_by for asked in listed.questions}["q"] == "bob"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ClaimQuestion(claim(), metadata=ada)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    await stub.SubmitAnswer(answer(question="free"), metadata=ada)
    assert [one.annotator for one in house.annotations()] == ["ada"]


def test_the_list_is_long_enough():
    assert 2 * len(STRANGERS) * len(CALLS) + 2 * len(HOLDERS) > 100
