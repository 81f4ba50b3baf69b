"""``python -m easeml.labels``: the label service with its gRPC server."""

from __future__ import annotations

from easeml.labels.server import LabelServer
from easeml.labels.service import LabelsService
from easeml.stream.main import run
from easeml.stream.settings import Settings


def main() -> None:
    """Run the service until it is told to stop."""
    settings = Settings.load()
    service = LabelsService()
    run(service, settings, extra=[LabelServer(service, settings)])


if __name__ == "__main__":
    main()
