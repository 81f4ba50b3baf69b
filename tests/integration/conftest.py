"""A real broker with our topics for all integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from easeml.broker.process import BrokerProcess
from easeml.stream.admin import create_topics
from easeml.stream.settings import Settings
from easeml.supervisor.roster import SERVICES


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running broker that has every topic."""
    home = tmp_path_factory.mktemp("home")
    with BrokerProcess() as broker:
        settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, home=home)
        create_topics(settings, SERVICES)
        yield settings
