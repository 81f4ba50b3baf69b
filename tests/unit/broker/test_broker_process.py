"""A broker that does not come to run leaves nothing behind."""

import time
from types import SimpleNamespace

import pytest

from easeml.broker import process
from easeml.broker.process import BrokerProcess


def interrupted(_seconds):
    raise KeyboardInterrupt


def test_a_broker_whose_start_is_interrupted_is_ended(monkeypatch):
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupted))
    broker = BrokerProcess()
    with pytest.raises(KeyboardInterrupt), broker:
        pytest.fail("It was not interrupted.")
    try:
        assert broker._process.poll() is not None
        assert not broker.log_path.parent.exists()
    finally:
        broker.kill()
