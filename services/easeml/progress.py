"""How work that lasts tells how far it is: the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total (0: unknown) and what is counted."""


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


@contextmanager
def bar(what: str, console: Console | None = None) -> Iterator[Progress]:
    """Yield what draws a bar where somebody looks: in a terminal, or in a notebook that has ipywidgets.

    Parameters
    ----------
    what : str
        What is counted until the first report.
    console : Console, optional
        Where to draw; by default standard error, which leaves the output to results.
    """
    from rich.console import Console  # noqa: PLC0415 - only those who wait for something need it
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = console or Console(stderr=True)
    seen = find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal
    with Bar(console=console, transient=True, disable=not seen) as drawn:
        task = drawn.add_task(what, total=None)

        def progress(done: int, total: int, counted: str) -> None:
            drawn.update(task, completed=done, total=total or None, description=counted)

        yield progress
