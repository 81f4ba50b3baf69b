"""``python -m easeml.serving``: scoring and the predict server as a process."""

from __future__ import annotations

from easeml.serving.predict import PredictServer
from easeml.serving.service import ServingService
from easeml.stream.main import run
from easeml.stream.settings import Settings


def main() -> None:
    """Run serving."""
    settings = Settings.load()
    service = ServingService(settings.store_uri, settings.max_artifact_bytes)
    run(service, settings, extra=[PredictServer(service, settings)])


if __name__ == "__main__":
    main()
