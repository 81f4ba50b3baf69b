"""What ``easeml up`` tells, and when."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from easeml.cli.doors import doors
from easeml.cli.session import Session
from easeml.cli.up import Announcer
from easeml.stream.settings import Settings


@pytest.fixture
def told():
    return io.StringIO()


@pytest.fixture
def announcer(told):
    console = Console(file=told, width=140, highlight=False)
    return Announcer(Session(Settings(), console=console), ("labels", "serving", "ci"))


def test_addresses_are_told_when_all_is_ready_and_again_after_a_restart(announcer, told):
    announcer.on_ready("labels", {"labels": 4001})
    announcer.on_ready("ci", {})
    assert told.getvalue() == ""
    announcer.on_ready("serving", {"predict": 4002})
    assert "all services ready" in told.getvalue()
    assert "http://127.0.0.1:4002/v1/apps/APP/predict" in told.getvalue()
    assert "127.0.0.1:4001 (gRPC)" in told.getvalue()
    announcer.announce("serving     died (signal 9), restart 1")
    announcer.announce("ci          died (signal 9), restart 1")
    announcer.on_ready("ci", {})
    assert told.getvalue().count("all services ready") == 1
    announcer.on_ready("serving", {"predict": 4003})
    assert told.getvalue().count("all services ready") == 2
    assert "http://127.0.0.1:4003/" in told.getvalue()


def test_markup_in_a_message_is_text(announcer, told):
    announcer.announce("serving     died (exit 1), restart 1 (log x): [Errno 98] in use")
    assert "[Errno 98] in use" in told.getvalue()


def test_addresses_can_be_called():
    everywhere = Settings(host="0.0.0.0", tls_certificate="c.pem")
    assert doors(everywhere, {"predict": 1}) == {"predict": "https://127.0.0.1:1/v1/apps/APP/predict"}
