"""Questions about test rows: for the owner of the test set alone, never passed over, with a budget of their own."""

from dataclasses import replace

import grpc
import grpc.aio
import pytest

from easeml.labels.access import SCOPE, Access, Caller
from easeml.labels.packing import pack, unpack
from easeml.labels.queue import Closed, Queue
from easeml.labels.status import UnauthenticatedError
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.payloads import Annotation, Answer, AuditRecord, Budget, Pillar, QuestionKind
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANNOTATIONS,
    ANSWERS,
    AUDIT,
    BUDGETS,
    CATALOGUE,
    CI_ANSWERS,
    CI_QUESTIONS,
)
from easeml.tokens import Right, TokenFile, house_token


@pytest.fixture
def test_question(question):
    def make(name="t", **changes):
        return question(name, pillar=Pillar.TEST, asked_by="ci", information_gain=0.01, **changes)

    return make


@pytest.fixture
def paid(house, app):
    house.define(replace(app, test_label_budget=2))
    return house


def said(house, topic, kind):
    return [event.data for event in house.cluster.events(topic) if isinstance(event.data, kind)]


def annotate(house, name, *, value=1, who="olga"):
    house.put(CI_ANSWERS, Annotation("churn", name, who, f"{who}-{name}", value))


def test_all_that_becomes_of_a_test_question_is_written_apart(paid, test_question):
    paid.put(CI_QUESTIONS, test_question())
    annotate(paid, "t")
    (answer,) = said(paid, CI_ANSWERS, Answer)
    assert (answer.pillar, answer.row_id, answer.text, answer.asked_by) == (Pillar.TEST, "row-t", "yes", "ci")
    assert [(b.granted, b.spent) for b in said(paid, CI_ANSWERS, Budget)] == [(2.0, 0.0), (2.0, 1.0)]
    assert [record.outcome for record in said(paid, CI_ANSWERS, AuditRecord)] == ["ok"]
    for topic in CATALOGUE:
        if topic in (ANSWERS, ANNOTATIONS, AUDIT, BUDGETS):
            assert paid.cluster.events(topic) == []


def test_a_test_question_is_never_passed_over(paid, test_question):
    paid.put(CI_QUESTIONS, test_question())
    annotate(paid, "t", value=-1)
    assert [record.outcome for record in said(paid, CI_ANSWERS, AuditRecord)] == ["question_required"]
    assert list(paid.service.queues["churn"].test.open) == ["t"]


def test_the_budget_of_test_labels_is_kept(paid, test_question, app):
    for name in ("t1", "t2", "t3"):
        paid.put(CI_QUESTIONS, test_question(name))
        annotate(paid, name)
    assert len(said(paid, CI_ANSWERS, Answer)) == 2
    assert said(paid, CI_ANSWERS, AuditRecord)[-1].outcome == "budget_exhausted"
    paid.define(replace(app, test_label_budget=3))
    annotate(paid, "t3", who="otto")
    assert len(said(paid, CI_ANSWERS, Answer)) == 3


def test_a_question_taken_back_is_closed_and_not_paid(paid, test_question):
    paid.put(CI_QUESTIONS, test_question())
    paid.put(CI_QUESTIONS, test_question(expires_at=5.0))
    annotate(paid, "t")
    assert said(paid, CI_ANSWERS, Answer) == []
    assert paid.service.queues["churn"].test.why_closed("t") is Closed.WITHDRAWN


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        (CI_QUESTIONS, {"pillar": Pillar.PRODUCTION}),
        (CI_QUESTIONS, {"kind": QuestionKind.CELL, "column": "age"}),
    ],
)
def test_the_two_kinds_of_questions_do_not_mix(paid, test_question, topic, changes):
    paid.put(topic, replace(test_question(), **changes))
    assert [letter.reason for letter in paid.cluster.dead_letters(topic)] == ["restricted_pillar"]


def test_a_queue_with_test_questions_survives_its_storage(paid, test_question, question):
    paid.put(CI_QUESTIONS, test_question("t1"))
    paid.ask(question())
    queue = paid.service.queues["churn"]
    again = unpack("churn", pack(queue))
    assert list(again.open) == ["q"]
    assert list(again.test.open) == ["t1"]
    assert again.test.restricted
    assert again.test.test is None
    assert not again.restricted
    assert unpack("churn", pack(Queue("churn"))).test is None


def caller(access, token=None, *, scope=True):
    shown = [("authorization", f"Bearer {token}")] if token else []
    return access.caller([*shown, *([SCOPE] if scope else [])])


def test_who_is_an_owner(tmp_path):
    house = Access(Settings.load(home=tmp_path, token="all"))
    open_house = Access(Settings.load(home=tmp_path))
    for shown in (None, "guess"):
        assert caller(open_house, shown) == Caller(owns=True), "without tokens this machine's own may do everything"
    tokens = TokenFile(tmp_path)
    owner = tokens.create("olga", ["churn"], [Right.DETAILS])
    developer = tokens.create("dave", rights=[Right.ANSWER])
    for access in (house, open_house):
        assert caller(access, owner) == Caller(frozenset({"churn"}), answers=False, owns=True, name="olga")
        silent = Caller(frozenset({"churn"}), answers=False, owns=False, reads=False, name="olga")
        assert caller(access, owner, scope=False) == silent
        assert caller(access, developer) == Caller(None, answers=True, owns=False, name="dave")
    key = house_token(Settings.load(home=tmp_path))
    for access, shown in ((house, "all"), (open_house, key)):
        assert caller(access, shown) == Caller(owns=True)
        assert caller(access, shown, scope=False) == Caller(owns=False)
    tokens.revoke("olga")
    tokens.revoke("dave")  # the last one, and the door stays shut
    for access, strangers in ((house, (None, "guess", owner, key)), (open_house, (None, "guess", owner, "all"))):
        for shown in strangers:
            with pytest.raises(UnauthenticatedError):
                caller(access, shown)
    assert caller(open_house, key) == Caller(owns=True)


async def test_only_an_owner_is_told_of_test_questions(paid, serve, test_question, question, tmp_path):
    paid.put(CI_QUESTIONS, test_question())
    paid.ask(question())
    may = {"olga": [Right.ANSWER, Right.DETAILS], "dave": [Right.ANSWER], "eve": [Right.DETAILS]}
    tokens = {name: TokenFile(tmp_path).create(name, rights=rights) for name, rights in may.items()}
    async with grpc.aio.insecure_channel(await serve()) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)

        def shows(name):
            return {"metadata": (("authorization", f"Bearer {tokens[name]}"), SCOPE)}

        async def names(name):
            listed = await stub.ListQuestions(pb.ListQuestionsRequest(), **shows(name))
            return [asked.question for asked in listed.questions]

        assert await names("olga") == ["q", "t"]
        assert await names("dave") == ["q"]
        budgets = await stub.GetBudget(pb.GetBudgetRequest(app="churn"), **shows("olga"))
        assert [budget.asked_by for budget in budgets.budgets] == ["modelpicker", "ci"]
        budgets = await stub.GetBudget(pb.GetBudgetRequest(app="churn"), **shows("dave"))
        assert [budget.asked_by for budget in budgets.budgets] == ["modelpicker"]
        answer = pb.SubmitAnswerRequest(app="churn", question="t", annotator="a", request_id="r", value=1)
        codes = {}
        for name in ("dave", "eve"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.SubmitAnswer(answer, **shows(name))
            codes[name] = caught.value.code()
        assert codes == {"dave": grpc.StatusCode.NOT_FOUND, "eve": grpc.StatusCode.PERMISSION_DENIED}
        skip = pb.SkipQuestionRequest(app="churn", question="t", annotator="a", request_id="s")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SkipQuestion(skip, **shows("olga"))
        assert "none is passed over" in caught.value.details()
        await stub.SubmitAnswer(answer, **shows("olga"))
    (annotation,) = said(paid, CI_ANSWERS, Annotation)
    assert annotation.question == "t"
    assert paid.annotations() == []
