"""``python -m easeml.modelpicker``: the model picker as a process."""

from __future__ import annotations

from easeml.modelpicker.service import ModelPickerService


def main() -> None:
    """Run the service until it is told to stop."""
    from easeml.stream.main import run  # noqa: PLC0415 - brings the whole runtime, which a mere service needs not

    run(ModelPickerService())


if __name__ == "__main__":
    main()
