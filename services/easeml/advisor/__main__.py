"""``python -m easeml.advisor``: advice and adapted models as a process."""

from __future__ import annotations

from easeml.advisor.service import AdvisorService
from easeml.stream.main import run
from easeml.stream.settings import Settings


def main() -> None:
    """Run the service until it is told to stop."""
    settings = Settings.load()
    run(AdvisorService(settings.store_uri, settings.max_artifact_bytes), settings)


if __name__ == "__main__":
    main()
