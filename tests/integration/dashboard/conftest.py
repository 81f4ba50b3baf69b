"""A real browser for the dashboard's pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from browsers import CHROMIUM, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of a file."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with chromium() as running:
        yield running
