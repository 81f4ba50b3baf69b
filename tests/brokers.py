"""The broker that a test gets: the embedded one, or Apache Kafka where ``EASEML_TEST_BROKER`` is ``kafka``.

Each is a process of its own with its own data, so tests that make the same topics do not meet.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from easeml.broker.process import BrokerProcess

ON_KAFKA = os.environ.get("EASEML_TEST_BROKER", "") == "kafka"

if ON_KAFKA:
    sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))
    from apache_kafka import KafkaProcess


def new_broker(data_dir: Path | None = None, *, memory: bool = False) -> BrokerProcess:
    """Return a broker that waits to be started; ``memory``: its data need not survive a restart."""
    return KafkaProcess(data_dir) if ON_KAFKA else BrokerProcess(data_dir, memory=memory)
