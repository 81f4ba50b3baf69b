"""Clients and the cluster agree on partitions, on the largest message, and on who may read what."""

from __future__ import annotations

import pandas as pd
import pytest
from confluent_kafka.admin import ConfigResource

from brokers import new_broker
from easeml.client import Client
from easeml.errors import ConfigurationError, PermissionDeniedError
from easeml.stream import admin
from easeml.stream.payloads import RelationBatch
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, CATALOGUE, DATA_TEST_LABELS, DATA_TRAIN, VERDICTS_DETAIL

LIMIT = 3_000_000
CONDITION = "n > 0.5 +/- 0.3"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Settings of a cluster for large messages."""
    with new_broker() as broker:
        settings = Settings.load(
            bootstrap_servers=broker.bootstrap_servers,
            home=tmp_path_factory.mktemp("large"),
            max_message_bytes=LIMIT,
            partitions=2,
        )
        admin.create_topics(settings, ["ci"])
        yield settings


@pytest.fixture
def client(large, monkeypatch):
    monkeypatch.setenv("EASEML_PARTITIONS", "2")
    monkeypatch.setenv("EASEML_MAX_MESSAGE_BYTES", str(LIMIT))
    with Client(large.bootstrap_servers, home=large.home) as client:
        yield client


def limit(settings, topic):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    handle = admin.client(settings)
    (found,) = handle.describe_configs([resource]).values()
    return int(found.result(15)["max.message.bytes"].value)


def frame(rows, text="short"):
    notes = [f"{text} {row}" for row in range(rows)]
    return pd.DataFrame({"x": [*map(float, range(rows))], "note": notes, "kind": ["a", "b"] * (rows // 2)})


def events(settings, topic):
    reader = TopicReader(settings, [topic])
    try:
        return [event.data for event in reader.replay()]
    finally:
        reader.close()


def test_a_client_with_another_number_of_partitions_is_refused(cluster, monkeypatch):
    monkeypatch.setenv("EASEML_PARTITIONS", "8")
    with pytest.raises(ConfigurationError, match=r"easeml\.apps\.v1 has 4 partitions.*8") as refused:
        Client(cluster.bootstrap_servers, home=cluster.home)
    assert "EASEML_PARTITIONS=4" in refused.value.mend


def test_a_cluster_without_topics_is_no_error(tmp_path):
    with new_broker() as broker, Client(broker.bootstrap_servers, home=tmp_path) as client:
        assert APPS.name not in admin.existing(client.settings)


def test_topics_take_what_the_settings_allow(large, cluster):
    for topic in (APPS, DATA_TRAIN, CATALOGUE[-1]):
        assert limit(large, topic.name) == LIMIT + 64 * 1024
        assert limit(large, topic.dead_letters) == LIMIT + 256 * 1024
    assert limit(cluster, APPS.name) == 1_000_000 + 64 * 1024
    small = cluster.model_copy(update={"max_message_bytes": 10_000})
    assert admin.wire_bytes(small) == 1_048_588, "never less than Kafka's default"


def test_a_row_larger_than_a_megabyte_travels_when_the_settings_allow_it(client, large):
    client.create_app("large", label="kind", condition=CONDITION, steps=1)
    rows = frame(2, "".join(f"word{i} " for i in range(220_000)))
    client.publish("large", rows, "train")
    sent = [batch for batch in events(large, DATA_TRAIN.name) if isinstance(batch, RelationBatch)]
    assert [text for batch in sent for text in batch.texts] == rows["note"].tolist()


def test_labels_of_long_row_ids_are_split_by_size(cluster):
    ids = [f"{'r' * 190}{row}" for row in range(6000)]
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        client.create_app("long", label="kind", condition=CONDITION, steps=1)
        client.publish("long", frame(6000)[["x", "kind"]], "test", row_ids=ids)
    parts = [labels for labels in events(cluster, DATA_TEST_LABELS.name) if labels.app == "long"]
    assert len(parts) == 2
    assert [row for labels in parts for row in labels.row_ids] == ids


@pytest.mark.parametrize("topic", [DATA_TEST_LABELS, VERDICTS_DETAIL])
def test_restricted_topics_need_a_word(client, topic):
    for name in (topic.name, topic.dead_letters):
        with pytest.raises(PermissionDeniedError, match="restricted"):
            client.events(None, name, follow=False)
    list(client.events(None, topic.name, follow=False, restricted=True))
