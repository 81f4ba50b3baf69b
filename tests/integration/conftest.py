"""A real broker with our topics for all integration tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from brokers import new_broker
from easeml.client import Client
from easeml.stream.admin import create_topics
from easeml.stream.settings import Settings
from easeml.supervisor.roster import SERVICES


@pytest.fixture(scope="session")
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Settings]]:
    """Return what starts a broker that has every topic; entering it gives the settings."""

    @contextmanager
    def start() -> Iterator[Settings]:
        with new_broker() as broker:
            home = tmp_path_factory.mktemp("home")
            settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, home=home)
            create_topics(settings, SERVICES)
            yield settings

    return start


@pytest.fixture(scope="session")
def cluster(new_cluster: Callable[[], AbstractContextManager[Settings]]) -> Iterator[Settings]:
    """Settings of the broker that all tests share."""
    with new_cluster() as settings:
        yield settings


@pytest.fixture
def client(cluster: Settings) -> Iterator[Client]:
    """What people's programs hold."""
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        yield client


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


@pytest.fixture(scope="module")
def answering(cluster, tmp_path_factory):
    """DataMagic runs for all tests of a module."""
    process = Process(cluster, tmp_path_factory.mktemp("datamagic") / "datamagic.log")
    process.start()
    yield process
    process.stop()
