"""What each account really may do on Apache Kafka with SCRAM, TLS and the access rules that the catalogue gives."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from brokers import OPERATOR, RULES, WORDS, guarded_broker
from easeml.errors import UnavailableError
from easeml.stream import admin
from easeml.stream.grants import HOUSE, USER, account
from easeml.stream.settings import Settings
from easeml.stream.topics import DATA_TEST_LABELS, PILLAR_TOPICS, VERDICTS, guarded_topics
from easeml.supervisor.roster import SERVICES

PATIENCE = 60.0
QUIET = {"log_level": 0}
REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED
PILLARS = {
    "snoopy": {"train"},
    "ci": {"test"},
    "serving": {"test", "production"},
    "trainer": {"train", "validation"},
    "cpclean": {"train", "validation"},
    "automl": set(),
    "modelpicker": set(),
}
"""What these services read, as the design has it: written down apart from the catalogue that the rules come from."""


@pytest.fixture(scope="module")
def broker():
    with guarded_broker() as running:
        yield running


@pytest.fixture(scope="module")
def topics(broker):
    """Every topic, with one message in each; the rights are given by the command line."""
    operator = settings(broker)
    names = admin.create_topics(operator, SERVICES)
    login = {f"EASEML_{name.upper()}": value for name, value in broker.login().items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EASEML_")}
    subprocess.run(
        [sys.executable, "-c", "from easeml.cli import main; main()", "acls", "--apply"], env=clean | login, check=True
    )
    assert not written(operator, names)
    return tuple(sorted(names))


def settings(broker, user=OPERATOR):
    return Settings.load(partitions=1, **broker.login(user))


def granted(user, operation, topics):
    """Return the topics on which the rules give a right."""
    return {
        name
        for name in topics
        for rule in RULES
        if (rule.account, rule.kind) == (user, "topic")
        and rule.operation in (operation, "all")
        and (name.startswith(rule.name) if rule.prefix else name == rule.name)
    }


def written(user, topics):
    """Write one message to each topic and return which refused it."""
    producer = Producer(user.kafka() | QUIET)
    refused = {}

    def delivered(error, message):
        if error is not None:
            refused[message.topic()] = error.name()

    for name in topics:
        try:
            producer.produce(name, b"a message", b"key", 0, on_delivery=delivered)
        except KafkaException as error:
            refused[name] = error.args[0].name()
    assert producer.flush(PATIENCE) == 0
    assert {*refused.values()} <= {"TOPIC_AUTHORIZATION_FAILED"}
    return {*refused}


def read(user, topics):
    """Return from which topics a message came, and which refused."""
    consumer = Consumer(user.kafka() | QUIET | {"group.id": "easeml-bulk", "enable.auto.commit": False})
    seen = consumer.list_topics(timeout=30).topics
    came, refused = set(), {*topics} - {*seen}
    deadline = time.monotonic() + PATIENCE
    try:
        for name in sorted(refused):  # asked for by its name, it is as if it were not there
            assert consumer.list_topics(name, timeout=30).topics[name].error.code() == REFUSED
        consumer.assign([TopicPartition(name, 0, 0) for name in topics if name in seen])
        while len(came | refused) < len(topics):
            assert time.monotonic() < deadline, {*topics} - came - refused
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                came.add(message.topic())
            elif message.error().code() == REFUSED:
                refused.add(message.topic())
    finally:
        consumer.close()
    return came, refused


@pytest.mark.parametrize("user", sorted(WORDS))
def test_an_account_reads_and_writes_what_its_rules_say_and_nothing_else(broker, topics, user):
    me = settings(broker, user)
    may_read, may_write = granted(user, "read", topics), granted(user, "write", topics)
    assert {*Producer(me.kafka() | QUIET).list_topics(timeout=30).topics} == may_read | may_write
    came, refused = read(me, topics)
    assert came == may_read
    assert refused == {*topics} - may_read
    assert written(me, topics) == {*topics} - may_write


@pytest.mark.parametrize(("service", "pillars"), sorted(PILLARS.items()))
def test_a_service_reads_the_pillars_that_it_works_on_and_no_other(broker, topics, service, pillars):
    came, refused = read(settings(broker, account(service)), [topic.name for topic in PILLAR_TOPICS.values()])
    assert came == {PILLAR_TOPICS[pillar].name for pillar in pillars}
    assert len(came) + len(refused) == len(PILLAR_TOPICS)


def test_ci_alone_reads_test_labels(broker, topics):
    for user in sorted({*WORDS} - {HOUSE}):
        came, _ = read(settings(broker, user), [DATA_TEST_LABELS.name])
        assert bool(came) == (user == account("ci")), user


def test_developers_see_the_verdict_and_none_of_what_tells_of_test_labels(broker, topics):
    came, _ = read(settings(broker, USER), topics)
    assert VERDICTS.name in came
    assert not came & {*guarded_topics()}


@pytest.mark.parametrize(("user", "group"), [(USER, "easeml-ci"), ("easeml-serving", "easeml-ci"), (USER, "another")])
def test_nobody_takes_the_partitions_of_another_service(broker, topics, user, group):
    consumer = Consumer(settings(broker, user).kafka() | QUIET | {"group.id": group})
    consumer.subscribe([VERDICTS.name])
    deadline = time.monotonic() + PATIENCE
    while (message := consumer.poll(1.0)) is None or message.error() is None:
        assert time.monotonic() < deadline
    assert message.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    consumer.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sasl_password": "a guess"},
        {"sasl_username": "easeml-nobody"},
        {"security_protocol": "SASL_PLAINTEXT"},
        {"security_protocol": "PLAINTEXT"},
        {"ssl_ca_file": ""},
    ],
)
def test_who_does_not_prove_a_name_over_tls_gets_nowhere(broker, wrong):
    stranger = Settings.load(**broker.login(HOUSE) | wrong)
    with pytest.raises(UnavailableError):
        admin.metadata(stranger, timeout=2)
