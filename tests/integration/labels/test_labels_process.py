"""The label service as a process of its own, beside a real broker."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading

import grpc
import numpy as np
import pytest
from labels_stack import LabelStack

from easeml.errors import ConflictError, PermissionDeniedError
from easeml.ids import EventId
from easeml.labels.client import LabelClient, metadata_of
from easeml.labels.oracle import Oracle
from easeml.labels.status import error_of
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.payloads import Annotation, AppDefined, Column, ColumnKind, Pillar, Question, QuestionKind
from easeml.stream.topics import ANNOTATIONS, ANSWERS, APPS, BUDGETS, QUESTIONS

APP = AppDefined(
    app="churn",
    label="churned",
    classes=("no", "yes"),
    columns=(Column("age", ColumnKind.NUMERIC),),
    label_budget=100,
)


def question(name: str) -> Question:
    return Question(
        app="churn",
        question=name,
        kind=QuestionKind.LABEL,
        pillar=Pillar.PRODUCTION,
        row_id=f"row-{name}",
        candidates=("no", "yes"),
        information_gain=1.0,
        asked_by="modelpicker",
        probabilities=np.array([0.5, 0.5]),
    )


@pytest.fixture
def stack(tmp_path):
    with LabelStack(tmp_path, token="secret") as stack:
        stack.publish(APPS, APP)
        yield stack


@pytest.fixture
def client(stack):
    with LabelClient(stack.target, token="secret", patience=90) as client:
        yield client


def answers(stack):
    """Return the answers, one per event id, as every consumer of ours sees them."""
    return list({event.id: event.data for event in stack.events(ANSWERS)}.values())


def submit(stack, request):
    with grpc.insecure_channel(stack.target) as channel:
        return labels_pb2_grpc.LabelServiceStub(channel).SubmitAnswers(
            request, metadata=metadata_of("secret"), timeout=60
        )


def test_a_question_is_answered_over_the_wire(stack, client):
    stack.start()
    stack.publish(QUESTIONS, question("q1"))
    (asked,) = stack.until(lambda: list(client.questions("churn")))
    client.answer(asked, "yes", annotator="ada")
    (answer,) = stack.until(lambda: answers(stack))
    assert (answer.question, answer.text, answer.asked_by) == ("q1", "yes", "modelpicker")
    assert stack.until(lambda: client.budget("churn")["modelpicker"].spent) == 1.0
    stack.until(lambda: [event for event in stack.events(BUDGETS) if event.data.spent == 1.0])
    with LabelClient(stack.target, token="wrong") as stranger, pytest.raises(PermissionDeniedError):
        stranger.budget("churn")


def test_a_kill_between_submission_and_answer_leaves_one_answer(stack, client):
    """The annotation is on the log, its answer is not: the state of a service killed right after it acknowledged."""
    stack.start()
    stack.publish(QUESTIONS, question("q1"))
    stack.publish(QUESTIONS, question("q2"))
    stack.until(lambda: len(list(client.questions("churn"))) == 2)
    stack.kill()
    annotation = Annotation(app="churn", question="q1", annotator="ada", request_id="r1", value=1)
    identity = EventId.derive("annotation", "churn", "r1")
    stack.publish(ANNOTATIONS, annotation, event_id=identity)
    stack.start()
    # The caller never heard back and sends the same request again, to a service that may or may not have caught up.
    assert client.answer("q1", 1, app="churn", annotator="ada", request_id="r1") == identity
    stack.until(lambda: answers(stack))
    client.answer("q2", 0, app="churn", annotator="ada", request_id="r2")
    stack.until(lambda: len(answers(stack)) == 2)
    assert client.answer("q1", 1, app="churn", annotator="ada", request_id="r1") == identity
    with pytest.raises(ConflictError):
        client.answer("q1", 0, app="churn", annotator="bob")
    assert sorted(answer.question for answer in answers(stack)) == ["q1", "q2"]
    assert client.budget("churn")["modelpicker"].spent == 2.0


def test_a_kill_at_each_point_of_a_batch_of_answers_has_no_effect(stack):
    """The service dies with annotations acknowledged and answers written, but not its state (and so on)."""
    points = ("after_outputs", "after_state")
    names = {point: [f"{point}-{i:02}" for i in range(20)] for point in points}
    stack.start()
    with LabelClient(stack.target, token="secret") as client:
        for name in itertools.chain(*names.values()):
            stack.publish(QUESTIONS, question(name))
        stack.until(lambda: len(list(client.questions("churn"))) == 40)
    for done, point in enumerate(points):
        # else the first batch after the start is that of answers from before
        stack.until(lambda: stack.applied(ANSWERS) == len(stack.events(ANSWERS)) >= 20 * done)  # noqa: B023
        stack.process.terminate()
        stack.process.wait(30)
        stack.start(EASEML_KILL_POINT=f"labels:{point}:1")
        request = pb.SubmitAnswersRequest(
            requests=[
                pb.SubmitAnswerRequest(app="churn", question=name, label="yes", annotator="ada", request_id=name)
                for name in names[point]
            ]
        )
        with contextlib.suppress(grpc.RpcError):
            submit(stack, request)
        assert stack.process.wait(60) == -signal.SIGKILL, stack.log()
        stack.start()
        assert [result.response.annotation_id for result in submit(stack, request).results] == [
            EventId.derive("annotation", "churn", name) for name in names[point]
        ]
    found = stack.until(lambda: (found := answers(stack)) and len(found) >= 40 and found)
    assert sorted(answer.question for answer in found) == sorted(itertools.chain(*names.values()))
    with LabelClient(stack.target, token="secret") as client:
        stack.until(lambda: client.budget("churn")["modelpicker"].spent == 40)


def test_kills_under_fire_lose_no_answer_and_double_none(stack, client):
    """Kills at arbitrary moments while an oracle answers."""
    names = [f"q{i:02}" for i in range(40)]
    stack.start()
    with Oracle(stack.target, "churn", {f"row-{name}": "yes" for name in names}, token="secret") as oracle:
        for round_ in range(4):
            asking = threading.Thread(
                target=lambda: [stack.publish(QUESTIONS, question(n)) for n in names[round_ * 10 : round_ * 10 + 10]]  # noqa: B023
            )
            asking.start()
            if round_ < 3:
                stack.until(lambda: oracle.answered > round_ * 5)  # noqa: B023
                stack.kill()
                stack.start()
            asking.join()
        stack.until(lambda: oracle.answered == len(names))
        stack.until(lambda: len(answers(stack)) == len(names))
        assert client.budget("churn")["modelpicker"].spent == len(names)
    assert sorted(answer.question for answer in answers(stack)) == names
    requests = [event.data.request_id for event in stack.events(ANNOTATIONS)]
    assert set(requests) == {f"oracle/{name}" for name in names}


def test_an_answer_survives_a_broker_that_is_away_for_a_while(stack, client):
    stack.start()
    stack.publish(QUESTIONS, question("q1"))
    stack.until(lambda: list(client.questions("churn")))
    stack.broker.kill()
    request = pb.SubmitAnswerRequest(app="churn", question="q1", value=1, annotator="ada", request_id="r")
    with grpc.insecure_channel(stack.target) as channel, pytest.raises(grpc.RpcError) as caught:
        labels_pb2_grpc.LabelServiceStub(channel).SubmitAnswer(request, metadata=metadata_of("secret"), timeout=2)
    assert error_of(caught.value).retriable
    stack.broker.start()
    client.answer("q1", 1, app="churn", annotator="ada", request_id="r")
    (answer,) = stack.until(lambda: answers(stack))
    assert (answer.question, answer.text) == ("q1", "yes")
