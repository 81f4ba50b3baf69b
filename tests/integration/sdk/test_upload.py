"""An upload through the SDK on a real broker: to rows on topics, also when DataMagic is killed in the middle."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from easeml import uploading
from easeml.errors import InvalidDataError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.messages import Message
from easeml.stream.payloads import DataVersion, Pillar, RelationBatch, TestLabels
from easeml.stream.sending import send
from easeml.stream.topics import DATA_TEST_LABELS, UPLOADS, UPLOADS_TEST, partition_of


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
    before = [len(published(client, app)), len(published(client, app, UPLOADS_TEST.name))]
    assert client.upload(app, path, wait=10) == upload
    time.sleep(2)
    after = [len(published(client, app)), len(published(client, app, UPLOADS_TEST.name))]
    assert after == [before[0], before[1] + 1], "the file is there; only the message is new"
    with pytest.raises(InvalidDataError, match="no label column 'kind'"):
        client.upload(app, table().drop(columns="kind"), "train", wait=60)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", ["after_outputs", "after_state"])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(client, app, datamagic, monkeypatch, cluster, point):
    monkeypatch.setattr(uploading, "LARGE_BYTES", 10_000)  # by URI, through the store
    client.create_app(peer := f"{app}-peer", label="kind", condition="n > 0.5 +/- 0.2", steps=2)
    file = table(600)
    datamagic.start()
    client.upload(peer, file, wait=90)
    datamagic.stop()
    kill = f"datamagic:{point}:1"
    (cluster.home / "run" / f"killed-{kill.replace(':', '-')}").unlink(missing_ok=True)
    datamagic.start(kill_point=kill)
    victim = datamagic.process
    upload = client.upload(app, file)
    assert victim.wait(90) == -signal.SIGKILL
    told = [json.loads(line) for line in datamagic.log.read_text().splitlines() if line.startswith('{"killed"')]
    assert [(one["killed"], one["point"]) for one in told] == [("datamagic", point)]
    assert told[0]["lag"] > 0, "there was more to do"
    assert not Path(f"/proc/{victim.pid}").exists()
    assert client.uploads(app)[upload].state != "done"
    datamagic.start()
    assert datamagic.process.pid != victim.pid
    deadline = time.monotonic() + 90
    while client.uploads(app)[upload].state != "done":
        assert time.monotonic() < deadline, datamagic.log.read_text()[-3000:]
        assert datamagic.process.poll() is None, "it dies once"
        time.sleep(0.1)
    assert held(client, app) == held(client, peer)
    assert sum(len(rows) for _, _, rows in held(client, app)) == 600


def held(client, app):
    """Return the rows of an app as they stand on its topics, each event once: pillar, cells and labels, places."""
    events = {e.id: e.data for e in published(client, app) if isinstance(e.data, RelationBatch)}
    return sorted(
        (b.pillar.value, b.numeric.tobytes() + b.labels.tobytes(), tuple(r.rpartition("-")[2] for r in b.row_ids))
        for b in events.values()
    )


@pytest.mark.timeout(60)
def test_what_is_no_upload_does_not_hide_the_uploads(client, app):
    stranger = DataVersion(app, Pillar.TRAIN, "v1", 1, "0" * 64, "published")
    headers = tuple(envelope.headers(EventId.random(), "stranger", stranger, time.time()))
    place = partition_of(app, client.settings.partitions)
    send(client.settings, [Message(UPLOADS.name, place, b"key", codec.encode(stranger), headers)])
    upload = client.upload(app, table(), "train", wait=0)
    assert [*client.uploads(app)] == [upload]
