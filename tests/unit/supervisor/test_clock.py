"""The clock by itself, and what a container asks it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from easeml.broker.process import BrokerProcess
from easeml.ports import free_port
from easeml.stream.probe import probe
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS
from easeml.supervisor import topics
from waiting import until


def test_it_ticks_and_tells_when_it_cannot(tmp_path, monkeypatch):
    port = str(free_port("127.0.0.1"))
    with BrokerProcess(memory=True) as broker:
        monkeypatch.setenv("EASEML_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        settings = Settings.load(home=tmp_path)
        assert TICKS.name in topics.prepare(settings)
        assert topics.prepare(settings) == []
        here = os.environ | {"EASEML_HOME": str(tmp_path), "EASEML_HEALTH_PORT": port}
        clock = subprocess.Popen([sys.executable, "-m", "easeml.supervisor.clock"], env=here)
        try:
            until(lambda: probe(port) == [])
            reader = TopicReader(settings, [TICKS.name])
            assert sum(reader.ends().values()) % settings.partitions == 0
            reader.close()
            broker.terminate()
            until(lambda: any("broker" in reason for reason in probe(port)))
            asked = subprocess.run(
                [sys.executable, "-m", "easeml.stream.probe"], env=here, capture_output=True, text=True, check=False
            )
            assert asked.returncode == 1
            assert "broker" in asked.stderr
        finally:
            clock.send_signal(signal.SIGTERM)
            assert clock.wait(20) == 0


@pytest.mark.parametrize("port", ["", "0", "no number"])
def test_a_probe_without_a_port_says_which_setting_is_wrong(port):
    assert "EASEML_HEALTH_PORT" in probe(port)[0]
