"""What the request handlers share: the state of the broker, and nothing of the network."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker.config import BrokerConfig
from easeml.broker.connection import Connection
from easeml.broker.groups import Coordinator
from easeml.broker.journal import Journal
from easeml.broker.offsets import Offsets
from easeml.broker.topics import Topics

NODE_ID = 1
ContextHandler = Callable[["Context", Connection, Any, int], Any]
"""Answers one request: takes the state, the connection, the request's body and its version."""
_GROUP = "group/"
_PRODUCER_BLOCK = 1_000
_LOG = logging.getLogger(__name__)


def now_ms() -> int:
    """Return the wall clock in ms since the epoch, the unit of record timestamps."""
    return time.time_ns() // 1_000_000


def stored(change: Callable[..., object], *arguments: Any) -> ErrorCode:
    """Make a change that the disk may refuse, and return what to tell the client."""
    try:
        change(*arguments)
    except OSError:
        _LOG.exception("the disk refused a change")
        return ErrorCode.kafka_storage_error
    return ErrorCode.none


class Context:
    """State of a running broker.

    Parameters
    ----------
    config : BrokerConfig
        Settings.
    """

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        folder = None if config.memory else config.data_dir
        self.journal = Journal(None if folder is None else folder / "journal.jsonl")
        if self.journal.get("cluster-id") is None:
            self.journal.put(("cluster-id", uuid.uuid4().hex[:22]))
        self.cluster_id: str = self.journal.get("cluster-id")
        self.topics = Topics(self.journal, None if folder is None else folder / "topics", config.topic_defaults, now_ms)
        self.offsets = Offsets(self.journal)
        self.groups = Coordinator(
            time.monotonic,
            initial_delay=config.initial_rebalance_delay_ms / 1000,
            session_bounds=(config.min_session_timeout_ms / 1000, config.max_session_timeout_ms / 1000),
            save=self._save_group,
        )
        for group, kept in self.journal.with_prefix(_GROUP):
            self.groups.load(group, kept)
        self.host, self.port = config.host, config.port
        self._producer_ids = iter(range(0))
        self._timer: asyncio.TimerHandle | None = None
        self._woken: list[Callable[[], None]] = []

    def _save_group(self, group: str, kept: dict[str, Any] | None) -> None:
        try:
            self.journal.put((_GROUP + group, kept))
        except OSError:
            if kept is None:
                raise
            # Its members go on, and after a restart they join again: no reason to keep them waiting now.
            _LOG.exception("the disk refused the members of group %s", group)

    def wake(self, finish: Callable[[], None]) -> None:
        """Call ``finish`` after the present request, which may append more that the same answer can carry."""
        if not self._woken:
            asyncio.get_running_loop().call_soon(self.serve_woken)
        self._woken.append(finish)

    def serve_woken(self) -> None:
        """Answer those who were woken."""
        woken, self._woken = self._woken, []
        for finish in woken:
            finish()

    def next_producer_id(self) -> int:
        """Return a producer id that no producer of this data folder ever had.

        Ids are reserved in blocks before use, so a killed broker skips some but repeats none.
        """
        for producer_id in self._producer_ids:
            return producer_id
        first: int = self.journal.get("producer-ids", 0)
        self.journal.put(("producer-ids", first + _PRODUCER_BLOCK))
        self._producer_ids = iter(range(first + 1, first + _PRODUCER_BLOCK))
        return first

    def arm_group_timer(self) -> None:
        """Wake the coordinator when its next deadline comes; called after whatever may have moved it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.groups.next_deadline()
        if deadline is not None:
            delay = max(deadline - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_group_timer)

    def _on_group_timer(self) -> None:
        self._timer = None
        self.groups.tick()
        self.arm_group_timer()

    def close(self) -> None:
        """Stop the timer and close all files."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.topics.close()
        self.journal.close()
