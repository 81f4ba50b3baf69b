"""CI and the label service beside a broker with accounts: verdicts for developers, labels for the owner."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "ci"))

import ci_house
from ci_house import CLASSES, batches, published

from brokers import furnish, guarded_broker
from easeml.cli.root import app as command
from easeml.errors import ConflictError, EaseMLError, NotFoundError, PermissionDeniedError
from easeml.labels.client import LabelClient
from easeml.labels.oracle import Oracle
from easeml.ports import free_port
from easeml.stream.grants import HOUSE, USER, account
from easeml.stream.payloads import Tick, Verdict
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANNOTATIONS,
    ANSWERS,
    APPS,
    AUDIT,
    BUDGETS,
    CATALOGUE,
    CI_ANSWERS,
    CI_QUESTIONS,
    MODELS,
    PREDICTIONS,
    QUESTIONS,
    TESTSETS,
    TICKS,
    VERDICTS,
    VERDICTS_DETAIL,
    guarded_topics,
)
from easeml.tokens import Right, TokenFile, house_token

PARTITIONS = 2
PATIENCE = 90.0
APP = dataclasses.replace(ci_house.APP, steps=4, test_label_budget=2000)
N = 1500
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(3, size=N).astype(np.int32)
LABELS = {f"row-{i}": CLASSES[code] for i, code in enumerate(TRUTH)}


def changed(before, share, to):
    """Return predictions of which a share is replaced."""
    return np.where(RNG.random(N) < share, to, before).astype(np.int32)


FIRST = changed(TRUTH, 0.5, (TRUTH + 1) % 3)
BETTER = changed(FIRST, 0.6, TRUTH)
REGRESSED = changed(BETTER, 0.4, (TRUTH + 2) % 3)
MODELS_IN_ORDER = {"first": FIRST, "better": BETTER, "regressed": REGRESSED, "best": TRUTH}


class Stack:
    """A broker with accounts, and the two services, each with its own."""

    def __init__(self, home):
        self.home = home
        self.broker = guarded_broker(home / "broker")
        self.port = free_port("127.0.0.1")
        self.processes = []

    def settings(self, user):
        return Settings.load(partitions=PARTITIONS, home=self.home, **self.broker.login(user))

    def __enter__(self):
        self.broker.start()
        furnish(self.broker, ["ci", "labels"], partitions=PARTITIONS, home=self.home)
        self.publisher = EventPublisher(self.settings(HOUSE), "test")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")} | {
            "EASEML_PARTITIONS": str(PARTITIONS),
            "EASEML_HOME": str(self.home),
            "EASEML_LABELS_PORT": str(self.port),
        }
        for name in ("ci", "labels"):
            with (self.home / f"{name}.log").open("ab") as log:
                command = [sys.executable, "-m", f"easeml.{name}"]
                login = {f"EASEML_{key.upper()}": value for key, value in self.broker.login(account(name)).items()}
                self.processes.append(subprocess.Popen(command, env=environment | login, stdout=log, stderr=log))
        self.until(self._serves)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.broker.__exit__(None, None, None)

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def _serves(self):
        with grpc.insecure_channel(self.target) as channel, suppress(grpc.RpcError):
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            return answer.status == health_pb2.HealthCheckResponse.SERVING
        return False

    def log(self):
        return "".join((self.home / f"{name}.log").read_text()[-3000:] for name in ("ci", "labels"))

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert all(process.poll() is None for process in self.processes), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        return value

    def tick(self, seconds):
        """Let time pass, faster than it does."""
        self.now = getattr(self, "now", time.time()) + seconds
        for partition in range(PARTITIONS):
            self.publisher.send(TICKS, Tick(int(self.now), self.now), partition=partition)
        self.publisher.flush()

    def model(self, name, codes):
        self.publisher.send(MODELS, published(name))
        for batch in batches(name, codes, list(LABELS)):
            self.publisher.send(PREDICTIONS, batch)
        self.publisher.flush()

    def said(self, topic):
        reader = TopicReader(self.settings(HOUSE), [topic.name])
        try:
            return list({event.id: event.data for event in reader.replay()}.values())
        finally:
            reader.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    home = tmp_path_factory.mktemp("owner")
    with Stack(home) as stack:
        tokens = TokenFile(home)
        stack.owner = tokens.create("olga", rights=[Right.ANSWER, Right.DETAILS])
        stack.developer = tokens.create("dave", rights=[Right.ANSWER])
        stack.publisher.publish(APPS, APP)
        yield stack


@pytest.fixture(scope="module")
def asked(stack):
    """The questions of the second model's evaluation, before anybody answered."""
    stack.model("first", FIRST)
    # again and again: time that passes before the service has read of the model does not count
    stack.until(lambda: stack.tick(1) or stack.said(TESTSETS))
    stack.model("better", BETTER)
    return stack.until(lambda: stack.said(CI_QUESTIONS))


def client(stack, token, **options):
    return LabelClient(stack.target, token, patience=30, **options)


def test_only_who_asks_as_the_owner_sees_questions_about_test_rows(stack, asked):
    name = asked[0].question
    with ExitStack() as open_:
        enter = open_.enter_context
        owner = enter(client(stack, stack.owner, owner=True))
        stack.until(lambda: len(list(owner.questions("churn"))) == len(asked))
        assert [one.question for one in owner.questions("churn")] == sorted(one.question for one in asked)
        assert owner.budget("churn")["ci"].open_questions == len(asked)
        with pytest.raises(ConflictError, match="none is passed over"):
            owner.skip(name, app="churn", annotator="olga")
        for other in (enter(client(stack, stack.owner)), enter(client(stack, stack.developer, owner=True))):
            assert list(other.questions()) == []
            assert "ci" not in other.budget("churn")
            refusals = []
            for question in (name, "never asked"):
                with pytest.raises(NotFoundError) as caught:
                    other.answer(question, 0, app="churn", annotator="eve")
                refusals.append(str(caught.value).replace(question, "QUESTION"))
                with pytest.raises(NotFoundError):
                    other.claim(question, app="churn", annotator="eve")
            assert refusals[0] == refusals[1]


def test_whoever_reads_the_home_gets_in_without_a_token_and_nobody_else(stack, asked, tmp_path):
    def label(home):
        own = {"EASEML_HOME": str(home), "EASEML_LABELS_PORT": str(stack.port), "EASEML_TOKEN": ""}
        verb = ["--json", "label", "churn", "--test", "--annotator", "the owner"]
        return CliRunner().invoke(command, verb, input="q\n", env=own | {"EASEML_BOOTSTRAP_SERVERS": ""})

    assert asked
    with client(stack, house_token(Settings(home=stack.home)), owner=True) as house:
        stack.until(lambda: list(house.questions("churn")))
    let_in = label(stack.home)
    assert let_in.exit_code == 0, let_in.output
    assert json.loads(let_in.output.splitlines()[0])["pillar"] == "test"
    refused = label(tmp_path)
    assert isinstance(refused.exception, PermissionDeniedError)
    assert "'easeml tokens create'" in refused.exception.mend
    assert "question" not in refused.output
    with client(stack, None, owner=True) as stranger, pytest.raises(PermissionDeniedError, match="carries no token"):
        next(stranger.questions())


def test_models_with_planted_gains_and_losses_get_the_right_verdicts(stack, asked):
    assert asked
    with Oracle(stack.target, "churn", LABELS, token=stack.owner, owner=True) as oracle:
        for name in ("regressed", "best"):
            stack.model(name, MODELS_IN_ORDER[name])
        stack.until(lambda: len(stack.said(VERDICTS)) == len(MODELS_IN_ORDER))
    verdicts = [(v.model, v.signal, v.guaranteed, v.baseline) for v in stack.said(VERDICTS)]
    assert verdicts == [
        ("first", False, False, None),
        ("better", True, True, "first"),
        ("regressed", False, True, "better"),
        ("best", True, True, "better"),
    ]
    (opened,) = stack.said(TESTSETS)
    details = stack.said(VERDICTS_DETAIL)
    assert all(0 < detail.labels_used + detail.labels_reused <= opened.planned for detail in details)
    bought = sum(detail.labels_used for detail in details)
    assert bought <= oracle.answered < bought + 16 * len(details), "a few answers cross with the verdict"
    told = {type(data).__name__ for data in stack.said(CI_ANSWERS)}
    assert told == {"Annotation", "Answer", "Budget", "AuditRecord"}
    for topic in (ANSWERS, ANNOTATIONS, BUDGETS, AUDIT, QUESTIONS):
        assert stack.said(topic) == []
    heard = Counter(type(data).__name__ for data in heard_by_developers(stack))
    assert heard == {"Verdict": len(MODELS_IN_ORDER), "TestSetOpened": 1}
    # beside names, a verdict tells its bit, and whether a model was compared at all: the first one is not
    assert {field.name for field in dataclasses.fields(Verdict)} == {"app", "model", "baseline", "signal", "guaranteed"}


def heard_by_developers(stack):
    """Return what their account reads of what CI and the label service said, wherever they said it."""
    developer = stack.settings(USER)
    found = {*Producer(developer.kafka() | {"log_level": 0}).list_topics(timeout=10).topics}
    reader = TopicReader(developer, [topic.name for topic in CATALOGUE if topic.name in found])
    try:
        said = {event.id: event for event in reader.replay()}
    finally:
        reader.close()
    return [event.data for event in said.values() if event.source in {"easeml/ci", "easeml/labels"}]


def test_an_account_of_developers_reads_the_bit_and_nothing_else(stack, asked):
    assert asked
    developer = stack.settings(USER)
    reader = TopicReader(developer, [VERDICTS.name])
    assert {event.data.model for event in reader.replay()} <= set(MODELS_IN_ORDER)
    reader.close()
    spy = Producer(developer.kafka() | {"log_level": 0})
    for name in guarded_topics():
        assert spy.list_topics(name, timeout=10).topics[name].error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        with pytest.raises(EaseMLError):
            TopicReader(developer, [name])
    publisher = EventPublisher(developer, "spy", timeout=10)
    for _ in range(2):  # the second time the refusal is known before anything is sent
        with pytest.raises(PermissionDeniedError):
            publisher.publish(CI_QUESTIONS, asked[0])


def test_lists_of_topics_leave_out_what_an_account_may_not_use(stack):
    listed = {user: {*Producer(stack.settings(user).kafka()).list_topics(timeout=10).topics} for user in (HOUSE, USER)}
    assert listed[HOUSE] - listed[USER] >= {CI_QUESTIONS.name, CI_ANSWERS.name, VERDICTS_DETAIL.name}
    assert not listed[USER] & set(guarded_topics())


def test_developers_send_files_that_hold_no_test_rows(stack, asked, tmp_path):
    def upload(*how):
        mine = {f"EASEML_{key.upper()}": value for key, value in stack.broker.login(USER).items()}
        own = {"EASEML_HOME": str(stack.home), "EASEML_PARTITIONS": str(PARTITIONS), **mine}
        verb = ["--json", "upload", "churn", str(tmp_path / "more.csv"), "--wait", "0", *how]
        return CliRunner().invoke(command, verb, env=own)

    assert asked
    (tmp_path / "more.csv").write_text(f"x,{APP.label}\n1,{CLASSES[0]}\n")
    for how in ((), ("--pillar", "test")):
        refused = upload(*how)
        assert refused.exit_code != 0
        assert "may hold test rows" in str(refused.exception)
        assert "--pillar train" in str(refused.exception)
    sent = upload("--pillar", "train")
    assert sent.exit_code == 0, sent.output
    assert json.loads(sent.output.splitlines()[0])["state"] == "sent"
