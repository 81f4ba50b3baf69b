"""``python -m easeml.datamagic``: uploads and data versions as a process."""

from __future__ import annotations

from easeml.datamagic.service import DataMagicService
from easeml.stream.main import run
from easeml.stream.settings import Settings


def main() -> None:
    """Run DataMagic."""
    settings = Settings.load()
    run(DataMagicService((settings.store_uri,), settings.max_message_bytes), settings)


if __name__ == "__main__":
    main()
