"""What the unit tests share: wherever one restarts a service, its views are folded from what they said they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from easeml.stream import needs, partition


@pytest.fixture(autouse=True, scope="session")
def needs_of_every_batch() -> Iterator[None]:
    """Write down after every batch which messages the views rest on, and skip each that they do not need."""
    with mock.patch.object(partition, "NEEDED_EVERY", 1), mock.patch.object(needs, "GAP", 0):
        yield
