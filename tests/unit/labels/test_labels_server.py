from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from easeml.errors import ConfigurationError
from easeml.ids import EventId
from easeml.labels.server import SERVICE, LabelServer
from easeml.labels.status import error_of
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.payloads import AppDeleted, Pillar, QuestionKind, RelationBatch
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, AUDIT, DATA_PRODUCTION
from easeml.tokens import Right, TokenFile

TLS = Path(__file__).parent / "tls"  # a self-signed certificate for localhost, good for these tests alone


def submit(name="q", **changes):
    return pb.SubmitAnswerRequest(
        **{"app": "churn", "question": name, "value": 1, "annotator": "ada", "request_id": f"r-{name}"} | changes
    )


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_an_answer_goes_over_the_wire_to_the_topic(house, stub, question, app):
    house.put(DATA_PRODUCTION, RelationBatch(app="churn", pillar="production", version="v", columns=app.columns,
                                             row_ids=("row-q",), numeric=[41.0]))  # fmt: skip
    house.ask(question(context={"seen": "today"}, probabilities=question().probabilities[:0]))
    listed = await stub.ListQuestions(pb.ListQuestionsRequest(app="churn"))
    (asked,) = listed.questions
    assert (asked.question, asked.pillar, asked.row_id, asked.asked_by) == ("q", "production", "row-q", "modelpicker")
    assert [(c.text, c.probability) for c in asked.candidates] == [("no", 0.5), ("yes", 0.5)]
    assert dict(asked.context) == {"seen": "today"}
    assert [(cell.column, cell.number) for cell in asked.row] == [("age", 41.0)]
    assert not asked.HasField("expire_time")
    response = await stub.SubmitAnswer(submit())
    assert response.annotation_id == EventId.derive("annotation", "churn", "r-q")
    (answer,) = house.answers()
    assert (answer.question, answer.text, answer.annotators) == ("q", "yes", 1)
    assert not (await stub.ListQuestions(pb.ListQuestionsRequest())).questions


async def test_the_same_request_has_one_effect_and_one_response(house, stub, question):
    house.ask(question())
    first = await stub.SubmitAnswer(submit())
    assert await stub.SubmitAnswer(submit()) == first
    assert await stub.SubmitAnswer(pb.SubmitAnswerRequest(app="churn", question="q", label="yes", annotator="ada",
                                                          request_id="r-q")) == first  # fmt: skip
    assert len(house.annotations()) == len(house.answers()) == 1


async def test_the_same_request_is_known_after_a_restart(house, serve, question):
    house.ask(question())
    responses = []
    for label in (None, "yes", None):
        address = await serve()  # a server without memory
        request = submit() if label is None else submit(label=label)
        async with grpc.aio.insecure_channel(address) as channel:
            responses.append(await labels_pb2_grpc.LabelServiceStub(channel).SubmitAnswer(request))
        house.cluster.restart("labels")
    assert len({response.annotation_id for response in responses}) == 1
    assert len(house.annotations()) == len(house.answers()) == 1


async def test_a_request_id_stands_for_one_answer(house, stub, question):
    house.ask(question(), question("other"))
    await stub.SubmitAnswer(submit())
    for changed in (submit(value=0), submit(label="no"), submit(annotator="bob"), submit("other", request_id="r-q")):
        error = await refused(stub.SubmitAnswer(changed))
        assert (error.code(), error_of(error).reason) == (grpc.StatusCode.ALREADY_EXISTS, "request_id_reused")
    assert len(house.annotations()) == 1


@pytest.fixture
def cell(question):
    """Ask for the age of a training row."""
    return functools.partial(
        question, kind=QuestionKind.CELL, pillar=Pillar.TRAIN, column="age", candidates=("30.0", "40.0"),
        asked_by="cpclean",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["yes", "ja" * 9, "是的，客户已经离开"])
async def test_an_error_comes_whole_over_the_wire_however_long_its_words(house, stub, question, app, name):
    many = tuple(f"{name}{number}" for number in range(300))
    house.define(replace(app, classes=many))
    house.ask(question(candidates=many, probabilities=np.full(300, 1 / 300)))
    for _ in range(5):
        error = await refused(stub.SubmitAnswer(submit(value=None, label=name * 500)))
        assert (error.code(), error_of(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_value")


async def test_a_value_that_nobody_thought_of_answers_a_cell_once(house, serve, cell):
    house.ask(cell())
    sent = submit(value=None, other="35")
    for _ in range(2):  # also after a restart, when the question is answered
        async with grpc.aio.insecure_channel(await serve()) as channel:
            stub = labels_pb2_grpc.LabelServiceStub(channel)
            assert await stub.SubmitAnswer(sent) == await stub.SubmitAnswer(sent)
            for changed in (submit(value=None, other="36"), submit(value=0), submit(value=None, label="30.0")):
                error = await refused(stub.SubmitAnswer(changed))
                assert error_of(error).reason == "request_id_reused"
            late = await refused(stub.SubmitAnswer(submit(value=None, other="36", annotator="bob", request_id="b")))
            assert error_of(late).reason == "question_answered"
        house.cluster.restart("labels")
    (annotation,) = house.annotations()
    assert (annotation.value, annotation.text) == (-2, "35")
    (answer,) = house.answers()
    assert (answer.value, answer.text, answer.kind, answer.column, answer.asked_by) == (
        -2, "35.0", QuestionKind.CELL, "age", "cpclean",
    )  # fmt: skip


async def test_another_value_that_means_a_candidate_is_that_candidate(house, stub, cell):
    house.ask(cell())
    await stub.SubmitAnswer(submit(value=None, other="4e1"))
    (answer,) = house.answers()
    assert (answer.value, answer.text) == (1, "40.0")


@pytest.mark.parametrize(
    ("changes", "other", "says"),
    [
        ({}, "old", "'old' does not fit the numeric column 'age'"),
        ({}, "", "0 characters"),
        ({}, "1" * 1001, "1,001 characters"),
        ({"kind": QuestionKind.LABEL, "candidates": ("no", "yes")}, "yes", "takes no other value"),
    ],
)
async def test_another_value_that_does_not_fit_is_refused_at_the_door(house, stub, cell, changes, other, says):
    house.ask(cell(**changes))
    error = await refused(stub.SubmitAnswer(submit(value=None, other=other)))
    assert (error.code(), error_of(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_value")
    assert says in error.details()
    assert error_of(error).mend
    assert house.annotations() == []


async def test_a_service_that_does_not_know_the_columns_yet_asks_to_try_again(house, stub, cell):
    house.ask(cell())
    house.cluster.restart("labels")
    assert house.service.queues["churn"].columns is None
    error = await refused(stub.SubmitAnswer(submit(value=None, other="35")))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    house.cluster.tick(1)
    await stub.SubmitAnswer(submit(value=None, other="35"))
    assert len(house.answers()) == 1


@pytest.mark.parametrize(
    ("asker", "option"),
    [("modelpicker", "--label-budget"), ("cpclean", "--cleaning-budget"), ("market", "--acquisition-budget")],
)
async def test_a_refusal_for_want_of_budget_names_the_right_one(house, stub, question, app, asker, option):
    house.define(replace(app, label_budget=0, cleaning_budget=0, acquisition_budget=0))
    house.ask(question(asked_by=asker))
    for call in (stub.SubmitAnswer(submit()), stub.ClaimQuestion(pb.ClaimQuestionRequest(app="churn", question="q",
                                                                                        annotator="ada"))):  # fmt: skip
        error = await refused(call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"easeml apps update churn {option} N" in error.details()


async def test_simultaneous_repetitions_publish_once(house, stub, question):
    house.ask(question())
    house.gate.clear()
    calls = [asyncio.ensure_future(stub.SubmitAnswer(submit())) for _ in range(5)]
    await asyncio.sleep(0.1)
    house.gate.set()
    assert len({response.annotation_id for response in await asyncio.gather(*calls)}) == 1
    assert len(house.annotations()) == 1


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"question": "unknown"}, grpc.StatusCode.NOT_FOUND, "question_not_found"),
        ({"app": "unknown"}, grpc.StatusCode.NOT_FOUND, "question_not_found"),
        ({"value": 2}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_value"),
        ({"value": -1}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_value"),
        ({"value": None}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_value"),
        ({"value": None, "label": "perhaps"}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_value"),
        ({"annotator": ""}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_name"),
        ({"request_id": ""}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_name"),
        ({"request_id": "x" * 201}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_name"),
        ({"question": "answered"}, grpc.StatusCode.ALREADY_EXISTS, "question_answered"),
        ({"question": "expired"}, grpc.StatusCode.NOT_FOUND, "question_expired"),
    ],
)
async def test_a_refusal_says_what_where_and_how_to_mend(house, stub, question, changes, code, reason):
    house.ask(question(), question("answered"), question("expired", expires_at=house.clock() - 1))
    await stub.SubmitAnswer(submit("answered"))
    error = await refused(stub.SubmitAnswer(submit(**{"request_id": "fresh"} | changes)))
    assert error.code() is code
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("easeml", reason)
    assert info.metadata["what"]
    assert info.metadata["where"] == f"/{SERVICE}/SubmitAnswer"
    assert info.metadata["mend"]
    assert len(house.annotations()) == 1


async def test_questions_beyond_the_budget_are_withheld_and_say_so(house, stub, question, app):
    house.ask(*(question(f"q{i}", information_gain=1 + i / 10) for i in range(5)))
    listed = await stub.ListQuestions(pb.ListQuestionsRequest())
    assert [asked.question for asked in listed.questions] == ["q4", "q3", "q2"]
    assert (listed.total_size, listed.withheld) == (3, 2)
    for name in ("q4", "q3", "q2"):
        await stub.SubmitAnswer(submit(name))
    listed = await stub.ListQuestions(pb.ListQuestionsRequest())
    assert (len(listed.questions), listed.withheld) == (0, 2)
    error = await refused(stub.SubmitAnswer(submit("q0")))
    assert (error.code(), error_of(error).reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "budget_exhausted")
    (budget,) = (await stub.GetBudget(pb.GetBudgetRequest(app="churn"))).budgets
    assert budget == pb.Budget(app="churn", asked_by="modelpicker", granted=3, spent=3, open_questions=2, withheld=2)
    house.define(replace(app, label_budget=4))
    house.cluster.tick()
    listed = await stub.ListQuestions(pb.ListQuestionsRequest())
    assert [asked.question for asked in listed.questions] == ["q1"]
    assert len(house.answers()) == 3


async def test_pages_follow_information_per_cost(house, stub, question, app):
    house.define(replace(app, label_budget=100))
    gains = [0.5, 0.9, 0.9, 0.1, 0.7, 0.3, 0.2]
    house.ask(*(question(f"q{i}", information_gain=gain) for i, gain in enumerate(gains)))
    house.ask(question("dear", information_gain=1.2, cost=4.0))
    seen, token, sizes = [], "", []
    while True:
        page = await stub.ListQuestions(pb.ListQuestionsRequest(page_size=3, page_token=token))
        seen += [asked.question for asked in page.questions]
        sizes.append(len(page.questions))
        token = page.next_page_token
        if not token:
            break
        house.ask(question(f"new{len(sizes)}", information_gain=2.0))  # ranks before this page: does not disturb it
    assert seen == ["q1", "q2", "q4", "q0", "dear", "q5", "q6", "q3"]
    assert sizes == [3, 3, 2]
    for request in (
        pb.ListQuestionsRequest(page_size=-1),
        pb.ListQuestionsRequest(page_token="nonsense"),
        pb.ListQuestionsRequest(page_token="WzFd"),
        pb.ListQuestionsRequest(kind=77),
    ):
        assert (await refused(stub.ListQuestions(request))).code() is grpc.StatusCode.INVALID_ARGUMENT
    token = (await stub.ListQuestions(pb.ListQuestionsRequest(page_size=3))).next_page_token
    error = await refused(stub.ListQuestions(pb.ListQuestionsRequest(page_token=token, app="churn")))
    assert error_of(error).reason == "page_token"


async def test_filters_by_app_and_kind(house, stub, question, app):
    house.define(replace(app, app="spam"))
    house.ask(question(), question("s", app="spam"), question("cell", kind="cell", column="age", candidates=("1", "2")))

    async def names(**wanted):
        return {asked.question for asked in (await stub.ListQuestions(pb.ListQuestionsRequest(**wanted))).questions}

    assert await names() == {"q", "s", "cell"}
    assert await names(app="spam") == {"s"}
    assert await names(kind=pb.QUESTION_KIND_CELL) == {"cell"}
    assert await names(app="nobody") == set()


async def test_a_skipped_question_goes_to_others(house, stub, question):
    house.ask(question())
    skip = pb.SkipQuestionRequest(app="churn", question="q", annotator="ada", request_id="s")
    first = await stub.SkipQuestion(skip)
    assert await stub.SkipQuestion(skip) == first

    async def offered(annotator):
        return len((await stub.ListQuestions(pb.ListQuestionsRequest(annotator=annotator))).questions)

    assert (await offered("ada"), await offered("bob"), await offered("")) == (0, 1, 1)
    await stub.SubmitAnswer(submit(annotator="bob"))
    assert len(house.answers()) == 1
    outcomes = [(e.data.action, e.data.actor, e.data.outcome) for e in house.cluster.events(AUDIT)]
    assert outcomes == [("SkipQuestion", "ada", "ok"), ("SubmitAnswer", "bob", "ok")]


async def test_a_claim_hides_the_question_from_others_for_a_while(house, stub, question):
    house.ask(question())

    def claim(annotator, **options):
        return stub.ClaimQuestion(pb.ClaimQuestionRequest(app="churn", question="q", annotator=annotator, **options))

    async def offered(annotator):
        return len((await stub.ListQuestions(pb.ListQuestionsRequest(annotator=annotator))).questions)

    claimed = await claim("ada", lease_seconds=60)
    assert claimed.question.claimed_by == "ada"
    assert claimed.expire_time.seconds == int(house.clock()) + 60
    error = await refused(claim("bob"))
    assert (error.code(), error_of(error).reason) == (grpc.StatusCode.ALREADY_EXISTS, "question_claimed")
    assert (await offered("ada"), await offered("bob")) == (1, 0)
    release = pb.ReleaseQuestionRequest(app="churn", question="q", annotator="bob")
    await stub.ReleaseQuestion(release)
    assert await offered("bob") == 0
    await stub.ReleaseQuestion(pb.ReleaseQuestionRequest(app="churn", question="q", annotator="ada"))
    assert await offered("bob") == 1
    await claim("ada", lease_seconds=60)
    house.cluster.now += 61
    assert await offered("bob") == 1
    assert (await claim("bob")).question.claimed_by == "bob"
    await stub.SubmitAnswer(submit(annotator="ada"))  # a courtesy, not a lock
    assert len(house.answers()) == 1
    for wrong in ({"annotator": ""}, {"annotator": "ada", "lease_seconds": -1.0}):
        assert (await refused(claim(**wrong))).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(claim("cy"))).code() is grpc.StatusCode.NOT_FOUND


async def test_a_question_goes_to_as_many_people_as_the_app_wants(house, stub, question, app):
    house.define(replace(app, redundancy=2))
    house.ask(question())

    def claim(annotator):
        return stub.ClaimQuestion(pb.ClaimQuestionRequest(app="churn", question="q", annotator=annotator))

    async def offered():
        lists = [await stub.ListQuestions(pb.ListQuestionsRequest(annotator=who)) for who in ("ada", "bob", "cy")]
        return [bool(one.questions) for one in lists]

    await claim("ada")
    assert await offered() == [True, True, True]
    assert (await claim("bob")).question.claimed_by == "ada, bob"
    error = await refused(claim("cy"))
    assert (error.code(), error_of(error).reason) == (grpc.StatusCode.ALREADY_EXISTS, "question_claimed")
    assert await offered() == [True, True, False]
    await stub.SubmitAnswer(submit(annotator="ada"))
    assert await offered() == [False, True, False]
    error = await refused(stub.SubmitAnswer(submit(annotator="ada", request_id="again")))
    assert (error.code(), error_of(error).reason) == (grpc.StatusCode.ALREADY_EXISTS, "annotated_already")
    await stub.ReleaseQuestion(pb.ReleaseQuestionRequest(app="churn", question="q", annotator="bob"))
    assert await offered() == [False, True, True]
    assert house.answers() == []
    await stub.SubmitAnswer(submit(annotator="cy", request_id="of cy"))
    assert [(answer.text, answer.annotators) for answer in house.answers()] == [("yes", 2)]


async def test_it_is_told_how_many_of_how_many_people_have_answered(house, stub, question, app):
    house.define(replace(app, redundancy=2))
    house.ask(question())
    stream = stub.StreamQuestions(pb.StreamQuestionsRequest(app="churn", annotator="dee"))

    async def told():
        (one,) = (await stub.ListQuestions(pb.ListQuestionsRequest(app="churn", annotator="dee"))).questions
        return one.answers, one.answers_wanted

    assert await told() == (0, 2)
    assert (await stream.read()).opened.answers == 0
    assert (await stream.read()).WhichOneof("event") == "caught_up"
    await stub.SubmitAnswer(submit(annotator="ada"))
    assert await told() == (1, 2)
    again = (await stream.read()).opened
    assert (again.answers, again.answers_wanted) == (1, 2), "whoever waits for news hears of it"
    await stub.SubmitAnswer(submit(annotator="bob", value=0, request_id="of bob"))
    assert await told() == (2, 3), "they disagree, so one more is asked"


async def test_where_one_person_is_enough_one_is_wanted(house, stub, question):
    house.ask(question())
    (one,) = (await stub.ListQuestions(pb.ListQuestionsRequest(app="churn"))).questions
    assert (one.answers, one.answers_wanted) == (0, 1)


async def test_several_answers_succeed_or_fail_one_by_one(house, stub, question):
    house.ask(question("a"), question("b"))
    response = await stub.SubmitAnswers(
        pb.SubmitAnswersRequest(requests=[submit("a"), submit("nobody"), submit("b", value=9), submit("b", label="no")])
    )
    kinds = [result.WhichOneof("result") for result in response.results]
    assert kinds == ["response", "error", "error", "response"]
    assert response.results[1].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert response.results[1].error.reason == "question_not_found"
    assert [(answer.question, answer.text) for answer in house.answers()] == [("a", "yes"), ("b", "no")]
    too_many = pb.SubmitAnswersRequest(requests=[submit("a")] * 1001)
    assert (await refused(stub.SubmitAnswers(too_many))).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_broker_that_is_down_is_unavailable_and_worth_a_retry(house, stub, question):
    house.ask(question())
    house.down = True
    for call in (
        stub.SubmitAnswer(submit()),
        stub.SubmitAnswers(pb.SubmitAnswersRequest(requests=[submit(), submit("nobody")])),
    ):
        error = await refused(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        retry = error_details_pb2.RetryInfo()
        assert rpc_status.from_call(error).details[1].Unpack(retry)
        assert error_of(error).retriable
    house.down = False
    await stub.SubmitAnswer(submit())
    assert len(house.answers()) == 1


async def test_a_deadline_ends_the_call_and_a_repetition_finds_the_answer(house, stub, question):
    house.ask(question())
    house.gate.clear()
    error = await refused(stub.SubmitAnswer(submit(), timeout=0.2))
    assert error.code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    assert error_of(error).retriable
    house.gate.set()
    await stub.SubmitAnswer(submit())
    assert len(house.annotations()) == len(house.answers()) == 1


async def test_the_stream_tells_what_opens_and_why_it_closes(house, stub, question, app):
    house.ask(question("a"), question("b", information_gain=0.5))
    call = stub.StreamQuestions(pb.StreamQuestionsRequest(app="churn", annotator="ada"))

    async def told():
        message = await call.read()
        return (message.WhichOneof("event"), getattr(message, message.WhichOneof("event")))

    async def closed(name, reason):
        event, gone = await told()
        assert (event, gone.app, gone.question) == ("closed", "churn", name)
        assert pb.QuestionClosed.Reason.Name(gone.reason) == reason

    async def opened(name):
        event, asked = await told()
        assert (event, asked.question) == ("opened", name)

    await opened("a")
    await opened("b")
    assert await told() == ("caught_up", pb.CaughtUp(withheld=0))
    house.ask(question("c"))
    await opened("c")
    house.ask(question("c", information_gain=2.5))
    event, again = await told()
    assert (event, again.question, again.information_gain) == ("opened", "c", 2.5)
    await stub.SubmitAnswer(submit("a"))
    await closed("a", "ANSWERED")
    await stub.SkipQuestion(pb.SkipQuestionRequest(app="churn", question="b", annotator="ada", request_id="s"))
    await closed("b", "HELD")
    house.ask(question("d", expires_at=house.clock() + 1))
    await opened("d")
    house.cluster.tick(2)
    await closed("d", "EXPIRED")
    await stub.ClaimQuestion(pb.ClaimQuestionRequest(app="churn", question="c", annotator="bob"))
    await closed("c", "HELD")
    await stub.ReleaseQuestion(pb.ReleaseQuestionRequest(app="churn", question="c", annotator="bob"))
    await opened("c")
    house.define(replace(app, label_budget=1))
    house.cluster.tick()
    await closed("c", "BUDGET_EXHAUSTED")
    house.define(replace(app, label_budget=9))
    house.cluster.tick()
    await opened("c")
    house.put(APPS, AppDeleted(app="churn"))
    await closed("c", "WITHDRAWN")
    call.cancel()


async def test_stopping_ends_streams_with_unavailable(house, serve, question):
    house.ask(question())
    address = await serve()
    async with grpc.aio.insecure_channel(address) as channel:
        call = labels_pb2_grpc.LabelServiceStub(channel).StreamQuestions(pb.StreamQuestionsRequest())
        assert (await call.read()).opened.question == "q"
        assert (await call.read()).HasField("caught_up")
        await serve.servers[0].stop()
        error = await refused(call.read())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    await serve.servers[0].stop()  # a second time does nothing


async def test_health_and_reflection(serve):
    address = await serve()
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = reflect.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        (answer,) = [answer async for answer in call]
        assert SERVICE in {service.name for service in answer.list_services_response.service}


async def test_without_the_token_nothing_but_health(house, serve, question):
    house.ask(question())
    address = await serve(token="secret")
    async with grpc.aio.insecure_channel(address) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            error = await refused(stub.ListQuestions(pb.ListQuestionsRequest(), metadata=metadata))
            assert (error.code(), error_of(error).reason) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
            stream = stub.StreamQuestions(pb.StreamQuestionsRequest(), metadata=metadata)
            assert (await refused(stream.read())).code() is grpc.StatusCode.UNAUTHENTICATED
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = reflect.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        assert (await refused(call.read())).code() is grpc.StatusCode.UNAUTHENTICATED
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        shown = (("authorization", "Bearer secret"),)
        assert len((await stub.ListQuestions(pb.ListQuestionsRequest(), metadata=shown)).questions) == 1


async def test_absent_and_forbidden_look_the_same(house, serve, question, app, tmp_path):
    house.define(replace(app, app="spam"))
    house.ask(question(), question("s", app="spam"))
    churners = TokenFile(tmp_path).create("churners", ["churn"], [Right.ANSWER])
    address = await serve(token="all")
    async with grpc.aio.insecure_channel(address) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        mine = {"metadata": (("authorization", f"Bearer {churners}"),)}
        listed = await stub.ListQuestions(pb.ListQuestionsRequest(), **mine)
        assert [asked.app for asked in listed.questions] == ["churn"]
        owner = await stub.ListQuestions(pb.ListQuestionsRequest(), metadata=(("authorization", "Bearer all"),))
        assert {asked.app for asked in owner.questions} == {"churn", "spam"}
        claim = functools.partial(pb.ClaimQuestionRequest, question="s", annotator="a")
        texts = set()
        for name in ("spam", "nope"):
            assert not (await stub.ListQuestions(pb.ListQuestionsRequest(app=name), **mine)).questions
            errors = [
                await refused(stub.SubmitAnswer(submit("s", app=name), **mine)),
                await refused(stub.GetBudget(pb.GetBudgetRequest(app=name), **mine)),
                await refused(stub.ClaimQuestion(claim(app=name), **mine)),
            ]
            texts.add(tuple(error.details().replace(name, "APP") for error in errors))
            assert {error.code() for error in errors} == {grpc.StatusCode.NOT_FOUND}
        assert len(texts) == 1
    assert house.annotations() == []


async def test_tls(house, serve, question):
    house.ask(question())
    address = await serve(tls_certificate=str(TLS / "localhost.crt"), tls_key=str(TLS / "localhost.key"))
    credentials = grpc.ssl_channel_credentials((TLS / "localhost.crt").read_bytes())
    async with grpc.aio.secure_channel(address, credentials) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        assert len((await stub.ListQuestions(pb.ListQuestionsRequest())).questions) == 1
    async with grpc.aio.insecure_channel(address) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        error = await refused(stub.ListQuestions(pb.ListQuestionsRequest(), timeout=5))
        assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def test_an_address_or_certificate_that_cannot_be_used_is_a_clear_error(house, serve, tmp_path):
    address = await serve()
    taken = int(address.rpartition(":")[2])
    for settings in (
        Settings.load(labels_port=taken),
        Settings.load(labels_port=0, tls_certificate=str(tmp_path / "absent"), tls_key=str(tmp_path / "absent")),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await LabelServer(house.service, settings).start(house)
        assert "EASEML_LABELS_PORT" in str(caught.value)


async def test_an_unexpected_failure_hides_its_inside(house, stub, question, monkeypatch, caplog):
    house.ask(question())
    monkeypatch.setattr(house.service, "row", lambda app, pillar, row_id: 1 / 0)
    error = await refused(stub.ListQuestions(pb.ListQuestionsRequest()))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "division" not in error.details()
    assert any("division" in str(record.exc_info) for record in caplog.records)
