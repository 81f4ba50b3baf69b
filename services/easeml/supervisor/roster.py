"""The roster: every process of the house and how it starts."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

SERVICES: dict[str, str] = {
    "labels": "easeml.labels.__main__",
    "datamagic": "easeml.datamagic.__main__",
    "snoopy": "easeml.snoopy.__main__",
    "cpclean": "easeml.cpclean.__main__",
    "market": "easeml.market.__main__",
    "advisor": "easeml.advisor.__main__",
    "serving": "easeml.serving.__main__",
    "automl": "easeml.automl.__main__",
    "trainer": "easeml.automl.trainer",
    "ci": "easeml.ci.__main__",
    "modelpicker": "easeml.modelpicker.__main__",
}
"""Service name -> module with a ``main()``."""

VIEWS: dict[str, str] = {"dashboard": "easeml.dashboard.__main__"}
"""Processes that only read, and keep no changelog: name -> module with a ``main()``."""

PROCESSES = SERVICES | VIEWS
"""All that a house runs beside the broker and the clock."""

PRELOADED = (
    "aiohttp.web",
    "aiokafka",
    "confluent_kafka.admin",
    "grpc.aio",
    "pandas",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.svm",
    "skops.io",
    *PROCESSES.values(),
)
"""Imported before the first fork, so that every process shares their memory."""


def preload() -> None:
    """Import what the processes share."""
    for module in PRELOADED:
        importlib.import_module(module)
    asyncio.run(_make_app())


async def _make_app() -> None:
    """Make a faust app for nothing: it imports half of faust late, and looks for an agent's source in every module.

    Done in each process anew, that takes half a second and makes 35 MB of shared memory its own.
    """
    from easeml.stream.faust_app import FaustApp  # noqa: PLC0415 - the command line reads this list and needs no faust

    FaustApp("easeml-preload", lambda _: None, (), lambda _: None)


def entry(service: str) -> Callable[[], None]:
    """Return the ``main`` of a process."""
    main: Callable[[], None] = importlib.import_module(PROCESSES[service]).main
    return main
