"""Verbs on the broker of all integration tests."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command


@pytest.fixture
def invoke(cluster):
    """Run a verb and return its result; the errors that people are told are raised."""

    def run(*arguments, as_json=False, typed=None):
        options = ["--bootstrap", cluster.bootstrap_servers, "--home", str(cluster.home)]
        shown = CliRunner().invoke(
            command, [*options, *(["--json"] if as_json else []), *map(str, arguments)], input=typed
        )
        if shown.exception is not None and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        return shown

    return run


@pytest.fixture
def easeml(invoke):
    """Run a verb and return what it printed, on one line; ``as_json=True`` returns it as an object."""

    def run(*arguments, as_json=False):
        shown = invoke(*arguments, as_json=as_json)
        return json.loads(shown.stdout) if as_json else " ".join(shown.output.split())

    return run
