"""Apps paused, resumed and erased on a real broker, with the proof of what is gone."""

from __future__ import annotations

import getpass
import uuid

import numpy as np
import pandas as pd
import pytest

from brokers import furnish, guarded_broker
from easeml import erasure, pausing
from easeml.artifacts import ArtifactStore
from easeml.client import Client
from easeml.errors import ConflictError, InvalidDataError, NotFoundError, PermissionDeniedError
from easeml.stream.bulk import BulkReader
from easeml.stream.changelog import Writer
from easeml.stream.grants import DASHBOARD, HOUSE, USER
from easeml.stream.messages import Message
from easeml.stream.payloads import AuditRecord, Budget, ModelPublished
from easeml.stream.publisher import EventPublisher
from easeml.stream.sending import send
from easeml.stream.topics import AUDIT, BUDGETS, DATA_TRAIN, MODELS, partition_of
from easeml.supervisor.roster import SERVICES


@pytest.fixture(scope="module")
def cluster(new_cluster):
    """A broker of our own: the messages of other tests' apps would lie before ours."""
    with new_cluster() as settings:
        yield settings


@pytest.fixture
def neighbours(cluster):
    """Names of two apps in one partition."""
    first = f"app-{uuid.uuid4().hex[:8]}"
    home = partition_of(first, cluster.partitions)
    while partition_of(second := f"app-{uuid.uuid4().hex[:8]}", cluster.partitions) != home:
        pass
    return first, second


def rows(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=40)
    return pd.DataFrame({"x": x, "kind": np.where(x > 0, "a", "b")})


def publish(client: Client, name: str, seed: int = 0) -> None:
    client.create_app(name, label="kind", frame=rows(seed))
    client.publish(name, rows(seed), "train")


def publish_model(client: Client, name: str, content: bytes) -> str:
    stored = ArtifactStore(client.settings.store_uri, 10_000).put(content)
    model = ModelPublished(
        name, "m1", "logistic", stored.uri, stored.sha256, stored.size, "skops", (), (), "v", "automl"
    )
    with EventPublisher(client.settings, "test") as publisher:
        publisher.publish(MODELS, model)
    return stored.uri


def messages(client: Client, topic, name: str) -> list:
    """Return what anybody can still read of an app."""
    reader = BulkReader(client.settings)
    place = (topic.name, partition_of(name, client.settings.partitions))
    try:
        reader.begin(reader.bounds([place]))
        found = []
        while some := reader.chunk():
            found += [one for one in some if (one.key or b"").decode().partition("/")[0] == name]
        return found
    finally:
        reader.close()


def audits(client: Client, name: str) -> list[AuditRecord]:
    return [event.data for event in client.events(name, AUDIT.name, follow=False)]


def test_a_paused_app_asks_for_nothing_and_goes_on_as_it_was(client, easeml, neighbours):
    name, _ = neighbours
    before = client.create_app(name, label="kind", frame=rows(), label_budget=70, cleaning_budget=30, gate_per_day=5)
    assert easeml("apps", "pause", name, as_json=True) == {"app": name, "paused": True}
    paused = client.app(name)
    assert pausing.is_paused(paused)
    assert (paused.label_budget, paused.cleaning_budget, paused.acquisition_budget, paused.gate_per_day) == (0, 0, 0, 0)
    with pytest.raises(ConflictError, match="paused already"):
        pausing.pause(client, name, "ada")
    client.update_app(name, cleaning_budget=44)  # what somebody sets meanwhile is theirs
    assert easeml("apps", "resume", name, as_json=True) == {"app": name, "paused": False}
    after = client.app(name)
    assert (after.label_budget, after.cleaning_budget, after.gate_per_day) == (70, 44, 5)
    assert after.acquisition_budget == before.acquisition_budget
    assert [(one.action, one.outcome) for one in audits(client, name)] == [("PauseApp", "ok"), ("ResumeApp", "ok")]


def test_an_app_that_never_paused_is_not_resumed(client, neighbours):
    name, _ = neighbours
    client.create_app(name, label="kind")
    with pytest.raises(ConflictError, match="was not paused"):
        pausing.resume(client, name, "ada")
    with pytest.raises(NotFoundError):
        pausing.pause(client, "nosuch", "ada")


def test_an_account_that_could_not_finish_erases_nothing(monkeypatch, tmp_path):
    with guarded_broker() as broker:
        furnish(broker, SERVICES, partitions=1)

        def acting(user):
            for name, value in broker.login(user).items():
                monkeypatch.setenv(f"EASEML_{name.upper()}", value)
            monkeypatch.setenv("EASEML_PARTITIONS", "1")
            return Client(home=tmp_path)

        with acting(HOUSE) as owner:
            publish(owner, "churn")
        for user in (DASHBOARD, USER):
            with acting(user) as client, pytest.raises(PermissionDeniedError, match="hidden from this account"):
                erasure.erase(client, "churn", "ada", wait=0)
        with acting(HOUSE) as owner:
            assert "churn" in owner.apps()
            assert audits(owner, "churn") == []
            erased = erasure.erase(owner, "churn", "ada", wait=0)
            assert (erased.removed[DATA_TRAIN.name], erased.complete) == (1, True)


def test_an_erased_app_leaves_nothing_that_could_be_removed(client, cluster, neighbours, easeml):
    name, other = neighbours
    publish(client, other, 1)
    before_other = len(messages(client, DATA_TRAIN, other))
    publish(client, name)
    own, shared = publish_model(client, name, b"own"), publish_model(client, name, b"shared")
    assert publish_model(client, other, b"shared") == shared
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(BUDGETS, Budget(name, "market", 10.0, 1.0))
    # The other app's rows lie before: a broker removes messages from the head of a partition alone.
    told = easeml("apps", "delete", name, "--erase", "--yes", as_json=True)
    assert told["complete"] is False
    assert told["left"][DATA_TRAIN.name] == 1
    assert told["removed"][BUDGETS.name] == 1
    assert told["files"] == [own]
    assert told["shared"] == [shared]
    assert messages(client, BUDGETS, name)[-1].value is None
    assert name not in client.apps()
    store = ArtifactStore(cluster.store_uri, 10_000)
    with pytest.raises(Exception, match="There is no model file"):
        store.get(own, "0" * 64)
    assert len(messages(client, DATA_TRAIN, other)) == before_other
    last = audits(client, name)[-1]
    assert (last.action, last.outcome) == ("EraseApp", "ok")
    assert "left behind" in last.subject

    # Once the neighbour is erased too, what was left goes as well.
    erasure.erase(client, other, "ada")
    again = erasure.erase(client, name, "ada")
    assert again.complete
    assert again.left == {}
    assert messages(client, DATA_TRAIN, name) == messages(client, DATA_TRAIN, other) == []
    with pytest.raises(NotFoundError, match="nothing left"):
        erasure.erase(client, name, "ada")


def test_a_service_that_holds_a_state_is_waited_for_and_told(client, cluster, neighbours):
    name, _ = neighbours
    publish(client, name)
    number = partition_of(name, cluster.partitions)
    writer = Writer("market", number)
    state = Message(writer.tombstone(name).topic, number, writer.tombstone(name).key, b"\x00state")
    send(cluster, [state, writer.floor(name, {"easeml.x.v1": 3})])
    told = erasure.erase(client, name, "ada", wait=0.0)
    assert told.waiting == ("market",)
    assert "market did not answer" in str(told)
    send(cluster, [writer.tombstone(name)])
    assert erasure._waiting(cluster, name, 0.0) == []


def test_erasing_asks_for_the_name(client, invoke, neighbours):
    name, _ = neighbours
    client.create_app(name, label="kind")
    with pytest.raises(InvalidDataError, match="nothing is erased"):
        invoke("apps", "delete", name, "--erase", typed="another\n")
    assert name in client.apps()
    shown = invoke("apps", "delete", name, "--erase", typed=f"{name}\n")
    assert "is deleted" in shown.output
    assert name not in client.apps()


def test_a_deletion_is_in_the_audit(client, easeml, neighbours):
    name, _ = neighbours
    client.create_app(name, label="kind")
    easeml("apps", "delete", name)
    (said,) = audits(client, name)
    assert (said.actor, said.action, said.outcome) == (getpass.getuser(), "DeleteApp", "ok")
