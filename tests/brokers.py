"""The broker that a test gets: the embedded one, or Apache Kafka where ``EASEML_TEST_BROKER`` is ``kafka``.

Each is a process of its own with its own data, so tests that make the same topics do not meet.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from easeml.broker.process import BrokerProcess
from easeml.stream.admin import allow, create_topics
from easeml.stream.grants import CLOCK, DASHBOARD, HOUSE, OWNER, USER, account, grants
from easeml.stream.settings import Settings
from easeml.stream.topics import guarded_topics
from easeml.supervisor.roster import SERVICES

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))

import apache_kafka
from apache_kafka import OPERATOR

ON_KAFKA = os.environ.get("EASEML_TEST_BROKER", "") == "kafka"
RULES = grants(SERVICES)
WORDS = {user: f"the word of {user}" for user in (HOUSE, OWNER, USER, DASHBOARD, CLOCK, *map(account, SERVICES))}
"""Accounts and their passwords, beside ``OPERATOR``."""


def new_broker(data_dir: Path | None = None, *, memory: bool = False) -> BrokerProcess:
    """Return a broker that waits to be started; ``memory``: its data need not survive a restart."""
    return apache_kafka.KafkaProcess(data_dir) if ON_KAFKA else BrokerProcess(data_dir, memory=memory)


def guarded_broker(data_dir: Path | None = None) -> GuardedBroker | apache_kafka.KafkaProcess:
    """Return a broker that waits to be started, on which accounts have their rights and no others."""
    return apache_kafka.KafkaProcess(data_dir, accounts=WORDS) if ON_KAFKA else GuardedBroker(data_dir)


class GuardedBroker(BrokerProcess):
    """The embedded broker, which keeps the restricted topics to the accounts that have rights on them."""

    def __init__(self, data_dir: Path | None) -> None:
        super().__init__(data_dir)
        users, access = (Path(self._scratch.name) / name for name in ("users.json", "access.json"))
        self._arguments += ["--sasl-users", str(users), "--access", str(access)]
        self._words = WORDS | {OPERATOR: "the word of the operator"}
        users.write_text(json.dumps(self._words))
        named = {topic: {rule.account for rule in RULES if rule.name == topic} for topic in guarded_topics()}
        access.write_text(json.dumps({topic: sorted({OPERATOR, HOUSE, *some}) for topic, some in named.items()}))

    def login(self, user: str = OPERATOR) -> dict[str, str]:
        """Return the settings by which a user connects."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": user,
            "sasl_password": self._words[user],
        }


def furnish(broker: GuardedBroker | apache_kafka.KafkaProcess, services: Iterable[str], **settings: Any) -> Settings:
    """Make topics and grant rights, and return the settings of the operator."""
    operator = Settings.load(**broker.login(), **settings)
    create_topics(operator, services)
    if ON_KAFKA:
        allow(operator, RULES)
    return operator
