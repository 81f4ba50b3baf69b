"""``python -m easeml.market``: values of rows and questions about the pool as a process."""

from __future__ import annotations

from easeml.market.service import MarketService
from easeml.stream.main import run


def main() -> None:
    """Run the service until it is told to stop."""
    run(MarketService())


if __name__ == "__main__":
    main()
