"""Tests that the embedded broker cannot pass: it knows restricted topics, not rights of every account."""

from __future__ import annotations

from brokers import ON_KAFKA

collect_ignore_glob = [] if ON_KAFKA else ["test_*.py"]
