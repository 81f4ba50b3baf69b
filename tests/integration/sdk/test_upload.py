"""An upload through the SDK on a real broker: to rows on topics, also when DataMagic is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from easeml import uploading
from easeml.client import Client
from easeml.errors import InvalidDataError
from easeml.stream.payloads import DataVersion, Pillar, RelationBatch, TestLabels
from easeml.stream.topics import DATA_TEST_LABELS


class Process:
    """DataMagic as a process."""

    def __init__(self, settings, log):
        self.settings, self.log, self.process = settings, log, None

    def start(self, kill_point=""):
        own = {
            "EASEML_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "EASEML_HOME": str(self.settings.home),
            "EASEML_KILL_POINT": kill_point,
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EASEML_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "easeml.datamagic"], env=clean | own, stderr=log, stdout=log
            )

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def datamagic(cluster, tmp_path):
    process = Process(cluster, tmp_path / "datamagic.log")
    yield process
    process.stop()


@pytest.fixture
def client(cluster):
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        yield client


@pytest.fixture
def app(client):
    name = f"app-{uuid.uuid4().hex[:8]}"
    client.create_app(name, label="kind", condition="n > 0.5 +/- 0.2", steps=2)
    return name


def table(rows=600):
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    y = np.where(rng.random(rows) < 0.1, np.nan, 2 * x)
    return pd.DataFrame({"x": x, "y": y, "kind": np.where(x > 0, "right", "left")})


def published(client, name, *topics):
    return list(client.events(name, *topics, follow=False, restricted=True))


@pytest.mark.timeout(180)
def test_a_file_becomes_rows_on_topics(client, app, datamagic, tmp_path):
    path = tmp_path / "table.csv"
    table().to_csv(path, index=False)
    datamagic.start()
    upload = client.upload(app, path, wait=90)
    assert [c.name for c in client.app(app).columns] == ["x", "y"]
    progress = client.uploads(app)[upload]
    assert (progress.state, progress.name, sum(progress.rows.values())) == ("done", "table.csv", 600)
    events = [event.data for event in published(client, app)]
    rows = {p: {r for b in events if isinstance(b, RelationBatch) and b.pillar is p for r in b.row_ids} for p in Pillar}
    assert {p.value: len(ids) for p, ids in rows.items() if ids} == progress.rows
    assert any(len(b.candidate_value) for b in events if isinstance(b, RelationBatch))
    assert {v.pillar.value: v.rows for v in events if isinstance(v, DataVersion)} == progress.rows
    labels = [e.data for e in published(client, app, DATA_TEST_LABELS.name)]
    assert {r for b in labels if isinstance(b, TestLabels) for r in b.row_ids} == rows[Pillar.TEST]
    before = len(published(client, app))
    assert client.upload(app, path, wait=10) == upload
    time.sleep(2)
    assert len(published(client, app)) == before + 1, "the file is there; only the message is new"
    with pytest.raises(InvalidDataError, match="no label column 'kind'"):
        client.upload(app, table().drop(columns="kind"), "train", wait=60)


@pytest.mark.timeout(180)
def test_a_kill_in_the_middle_loses_and_doubles_nothing(client, app, datamagic, monkeypatch, cluster):
    monkeypatch.setattr(uploading, "LARGE_BYTES", 10_000)  # by URI, through the store
    for number, point in enumerate(("after_outputs", "after_state")):
        datamagic.start(kill_point=f"datamagic:{point}:1")
        upload = client.upload(app, table(600 + number))
        deadline = time.monotonic() + 120
        died = 0
        while client.uploads(app)[upload].state != "done":
            assert time.monotonic() < deadline, datamagic.log.read_text()[-3000:]
            if datamagic.process.poll() is not None:
                died += 1
                datamagic.start()
            time.sleep(0.1)
        events = [e for e in published(client, app) if isinstance(e.data, RelationBatch)]
        seen = Counter(row for e in {e.id: e for e in events}.values() for row in e.data.row_ids)
        assert set(seen.values()) == {1}
        assert len(seen) == sum(600 + done for done in range(number + 1))
        datamagic.stop()
