"""The embedded broker: one node that speaks the Kafka protocol, for laptops and tests.

::

    async with Broker(BrokerConfig(memory=True)) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers)

Durability: an acknowledged record is in the page cache, so it survives ``kill -9`` of the broker; every second
(``flush_interval_ms``), and on stop, it is synced to the disk, so a power cut may cost the last second. On start
each segment's checksums are verified and a torn tail is cut.
"""

from easeml.broker.config import BrokerConfig
from easeml.broker.server import Broker, serve

__all__ = ["Broker", "BrokerConfig", "serve"]
