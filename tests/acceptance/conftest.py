"""The cluster that the acceptance suite runs against, and the two clients it runs with.

``EASEML_BOOTSTRAP_SERVERS`` names a cluster; without it the embedded broker is started as a process. The tests
do not know which. On a cluster of one's own ``EASEML_BROKER_RESTART_COMMAND`` is a shell command that restarts
the broker and returns when it has been started; automatic topic creation must be off.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from broker_clients import AiokafkaClient, Client, ConfluentClient
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from easeml.broker.process import BrokerProcess


@dataclass(frozen=True)
class Cluster:
    """Where the broker is and how to restart it."""

    bootstrap_servers: str
    restart: Callable[[], None]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    external = os.environ.get("EASEML_BOOTSTRAP_SERVERS")
    if external:
        yield Cluster(external, lambda: _restart_external(external))
        return
    with BrokerProcess() as broker:
        yield Cluster(broker.bootstrap_servers, lambda: broker.restart(kill=True))


def _restart_external(bootstrap_servers: str) -> None:
    command = os.environ.get("EASEML_BROKER_RESTART_COMMAND")
    assert command, "Set EASEML_BROKER_RESTART_COMMAND to a command that restarts the broker."
    subprocess.run(command, shell=True, check=True, timeout=120)
    deadline = time.monotonic() + 60
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    while True:
        try:
            admin.list_topics(timeout=5)
        except KafkaException:
            assert time.monotonic() < deadline, "The broker did not come back."
        else:
            return


@pytest.fixture(scope="session")
def bootstrap_servers(cluster: Cluster) -> str:
    return cluster.bootstrap_servers


@pytest.fixture(scope="session")
def admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})


@pytest.fixture
def name() -> str:
    """Return a name that no other test uses, for a topic or a group."""
    return f"accept-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_topic(admin: AdminClient) -> Callable[..., str]:
    """Return a function that creates a topic of a unique name and waits until it can be used."""

    def make(partitions: int = 1, **config: str) -> str:
        topic = f"accept-{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(30)
        deadline = time.monotonic() + 30
        # A real cluster answers before every broker knows the topic.
        while len(admin.list_topics(topic, timeout=10).topics[topic].partitions) != partitions:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return topic

    return make


@pytest.fixture(params=["confluent", "aiokafka"])
def client(request: pytest.FixtureRequest, bootstrap_servers: str) -> Client:
    """Return each of the two clients in turn, behind one face."""
    kinds = {"confluent": ConfluentClient, "aiokafka": AiokafkaClient}
    return kinds[request.param](bootstrap_servers)
