"""The embedded broker as a child of the supervisor: same home, same port, also after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from easeml.broker.config import BrokerConfig
from easeml.broker.server import serve
from easeml.ports import is_free
from easeml.stream import logs
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings


def run(settings: Settings) -> None:
    """Serve the broker of the home folder until SIGTERM; its clients find it again at the port it had before."""
    logs.configure("broker", settings.log_format)
    home = settings.home
    folder = home / "broker"
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "port"
    port = int(remembered.read_text()) if remembered.exists() else 0

    def ready(bootstrap_servers: str) -> None:
        remembered.write_text(bootstrap_servers.rpartition(":")[2])
        write_run_file(home, "broker", bootstrap_servers=bootstrap_servers, ready=True)

    config = BrokerConfig(data_dir=folder / "data")
    if port and is_free(config.host, port):
        config = replace(config, port=port)
    asyncio.run(serve(config, ready=ready))
