"""Says in a line what a caller got wrong: a traceback of ours would tell nothing, and strangers could fill the log."""

from __future__ import annotations

import logging

_LIBRARIES = ("aiohttp.http_exceptions", "aiohttp.web_protocol", "h11.", "grpc._cython.cygrpc")
"""Begin the names of modules whose errors are about the bytes of a request, or about a caller who has gone."""
_GRPC = ("grpc._cython.cygrpc", "asyncio")
"""Loggers that tell of metadata and methods which are no text; methods are read outside of any call."""
_TEXT = 200


class Callers(logging.Filter):
    """Takes the traceback from lines about requests that the servers' libraries cannot read, or cannot answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: every line is written."""
        error = record.exc_info[1] if record.exc_info else None
        no_text = isinstance(error, UnicodeDecodeError) and record.name in _GRPC
        gone = isinstance(error, ConnectionError) and record.name == "aiohttp.server"
        if error is not None and (no_text or gone or type(error).__module__.startswith(_LIBRARIES)):
            # Below the first line the libraries quote the request, with its token.
            told = str(getattr(error, "message", "") or error).strip().partition("\n")[0]
            record.msg, record.args = (
                "a request failed at the caller's end: %s: %s",
                (type(error).__name__, told[:_TEXT]),
            )
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True
