"""Structured logs: people read them on a console, machines as JSON lines."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from easeml.stream.callers import Callers
from easeml.stream.calm import Calm


def configure(service: str, form: Literal["console", "json"]) -> None:
    """Send all logs of this process to standard error, with the service's name.

    Parameters
    ----------
    service : str
        Bound to every line.
    form : {"console", "json"}
        For people or for machines.
    """

    def name_service(_logger: object, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
        line.setdefault("service", service)
        return line

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
        name_service,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderers: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Boxes of local variables would put data into the log, and break its last line.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    handler.addFilter(Calm())
    handler.addFilter(Callers())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Their ordinary life is of no interest to a reader of our logs.
    for noisy in ("faust", "mode", "easeml.stream.faust_app", "aiokafka", "easeml.kafka", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
