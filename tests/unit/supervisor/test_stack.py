"""What a house tells its clients."""

from __future__ import annotations

import os

from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.supervisor import roster
from easeml.supervisor.stack import connected
from easeml.supervisor.supervisor import Supervisor


def test_clients_take_partitions_and_message_size_from_the_house(tmp_path, monkeypatch):
    house = Settings(home=tmp_path, bootstrap_servers="127.0.0.1:1", partitions=8, max_message_bytes=3_000_000)
    supervisor = Supervisor(house, services=())
    for step in ("_create_topics", "_start_services"):
        monkeypatch.setattr(supervisor, step, lambda *_: None)
    monkeypatch.setattr(roster, "preload", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    seen = []
    monkeypatch.setattr(supervisor, "_watch", lambda: seen.append(connected(Settings(home=tmp_path))))
    supervisor.run()
    (client,) = seen
    assert (client.bootstrap_servers, client.partitions, client.max_message_bytes) == ("127.0.0.1:1", 8, 3_000_000)
    assert read_run_file(tmp_path, "stack") is None, "it is gone with the house"


def test_a_named_cluster_keeps_the_settings_of_the_client(tmp_path):
    named = Settings(home=tmp_path, bootstrap_servers="127.0.0.1:1", partitions=3)
    assert connected(named) is named
    assert os.listdir(tmp_path) == []
