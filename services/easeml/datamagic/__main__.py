"""``python -m easeml.datamagic``: uploads and data versions as a process."""

from __future__ import annotations

import logging
import multiprocessing
import time

from easeml.datamagic.ingestion.sources import Sources
from easeml.datamagic.service import DataMagicService
from easeml.errors import EaseMLError
from easeml.stream.main import run
from easeml.stream.settings import Settings

log = logging.getLogger(__name__)


def main() -> None:
    """Run DataMagic."""
    settings = Settings.load()
    # A process of its own: a slow store holds up nothing, and its threads are not there when workers are forked.
    multiprocessing.get_context("fork").Process(target=_collect, args=(settings.store_uri,), daemon=True).start()
    run(DataMagicService((settings.store_uri,), settings.max_message_bytes), settings)


def _collect(store: str) -> None:
    """Remove what crashes have left in the store."""
    try:
        Sources((store,)).collect(time.time())
    except EaseMLError as error:
        log.warning("leftovers in the store stay for now: %s", error)


if __name__ == "__main__":
    main()
