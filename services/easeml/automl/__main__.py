"""``python -m easeml.automl``: the scheduler as a process."""

from __future__ import annotations

from easeml.automl.service import AutoMLService


def main() -> None:
    """Run the scheduler."""
    from easeml.stream.main import run  # noqa: PLC0415 - brings the whole runtime, which a mere service needs not

    run(AutoMLService())


if __name__ == "__main__":
    main()
