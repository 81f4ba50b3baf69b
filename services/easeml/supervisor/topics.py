"""``python -m easeml.supervisor.topics``: what must be on a broker before any service starts.

Missing topics are made, and the algorithms of a new house announced. Running it again changes nothing.
"""

from __future__ import annotations

from easeml.automl.portfolio import announcements
from easeml.client import Client
from easeml.stream.admin import create_topics
from easeml.stream.settings import Settings
from easeml.supervisor import process, roster
from easeml.supervisor.stack import connected


def prepare(settings: Settings) -> list[str]:
    """Make the topics that are missing, announce the algorithms and return the new topics.

    Raises
    ------
    ConfigurationError
        When a topic exists with another number of partitions.
    UnavailableError
        When the broker cannot be reached or refuses.
    """
    made = create_topics(settings, roster.SERVICES)
    with Client(settings.bootstrap_servers, home=settings.home) as client:
        client.announce(announcements())
    return made


def main() -> None:
    """Prepare the broker that the environment names."""
    process.run(lambda settings: print(f"{len(prepare(connected(settings)))} topics made"))


if __name__ == "__main__":
    main()
