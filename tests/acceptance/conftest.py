"""The broker that the acceptance suite runs against, whichever it is, and the two clients it runs with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from broker_clients import AiokafkaClient, Client, ConfluentClient
from confluent_kafka.admin import AdminClient, NewTopic

from brokers import new_broker
from easeml.broker.process import BrokerProcess


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerProcess]:
    """Return the one broker of all tests; those that restart it kill it."""
    with new_broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap_servers(broker: BrokerProcess) -> str:
    return broker.bootstrap_servers


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
