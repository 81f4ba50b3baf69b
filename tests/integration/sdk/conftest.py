"""An app on the broker of all integration tests."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def app(client):
    """Name of an app with a small test set."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    client.create_app(name, label="kind", condition="n > 0.5 +/- 0.2", steps=2)
    return name
