"""The rights of accounts: what the catalogue says, and what nobody may."""

import pytest

from easeml.broker.process import BrokerProcess
from easeml.errors import ConfigurationError, UnavailableError
from easeml.stream import admin
from easeml.stream.grants import CLOCK, DASHBOARD, HOUSE, OWNER, USER, Grant, account, grants
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    APPS,
    AUDIT,
    CANDIDATES,
    CATALOGUE,
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_TEST_LABELS,
    DATA_TRAIN,
    PREDICTIONS,
    TICKS,
    TRIALS,
    VERDICTS,
    VERDICTS_DETAIL,
    guarded_topics,
)
from easeml.supervisor.roster import SERVICES

RULES = grants(SERVICES)
SERVICE_ACCOUNTS = [account(service) for service in SERVICES]


def who_may(operation, topic):
    """Return the accounts that may do this, without the house's, which may do everything."""
    return {rule.account for rule in RULES if (rule.operation, rule.kind, rule.name) == (operation, "topic", topic)}


def test_every_service_reads_and_writes_what_the_catalogue_says():
    for topic in CATALOGUE:
        if topic.consumed_by != ("all services",) and topic.noun != "algorithms":
            assert who_may("read", topic.name) & {*SERVICE_ACCOUNTS} == {
                account(name) for name in topic.consumed_by if name in SERVICES
            }
        assert who_may("write", topic.name) & {*SERVICE_ACCOUNTS} == {
            account(name) for name in topic.produced_by if name in SERVICES
        }
    assert who_may("read", APPS.name) >= {*SERVICE_ACCOUNTS}
    assert who_may("write", TICKS.name) == {CLOCK, DASHBOARD}


def test_restricted_topics_are_read_by_who_is_named_and_nobody_else():
    assert who_may("read", DATA_TEST_LABELS.name) == {account("ci")}
    assert who_may("read", CI_QUESTIONS.name) == {account("labels")}
    assert who_may("read", CI_ANSWERS.name) == {account("ci"), account("labels")}
    assert who_may("read", VERDICTS_DETAIL.name) == {OWNER, DASHBOARD}
    assert who_may("write", DATA_TEST_LABELS.name) == {account("datamagic"), OWNER}
    assert not any(USER in who_may(operation, name) for operation in ("read", "write") for name in guarded_topics())


def test_developers_read_the_bit_and_write_what_users_say():
    assert USER in who_may("read", VERDICTS.name)
    assert who_may("write", VERDICTS.name) == {account("ci"), DASHBOARD}
    for topic in (APPS, DATA_TRAIN, CANDIDATES, PREDICTIONS, AUDIT):
        assert USER in who_may("write", topic.name)
    assert USER not in who_may("write", TRIALS.name)


def test_states_and_groups_are_each_services_own():
    for service in SERVICES:
        me = account(service)
        state = f"easeml.{service}.state.v1"
        assert who_may("read", state) == who_may("write", state) == {me}
        assert [rule.account for rule in RULES if rule.kind == "group" and rule.name == me] == [me]
    everything = [rule for rule in RULES if rule.prefix or rule.operation == "all"]
    assert everything == [Grant(HOUSE, "all", "group", "easeml-", True), Grant(HOUSE, "all", "topic", "easeml.", True)]


def test_a_broker_without_access_rules_is_told_apart_from_one_that_is_away():
    with BrokerProcess(memory=True) as broker, pytest.raises(ConfigurationError, match="no access rules"):
        admin.allow(Settings.load(bootstrap_servers=broker.bootstrap_servers), RULES)
    with pytest.raises(UnavailableError):
        admin.allow(Settings.load(bootstrap_servers="127.0.0.1:9"), RULES[:1])
