"""``easeml schemas push`` against a registry that keeps to Confluent's rules on ids and modes."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.errors import ConfigurationError, ConflictError, UnavailableError
from easeml.stream.schemas import released


class Registry(BaseHTTPRequestHandler):
    """Takes an id from outside in the mode IMPORT alone."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        _, kind, subject, *_, version = urlsplit(self.path).path.split("/")
        assert kind == "subjects"
        held = self.server.held.get((subject, int(version)))
        self.reply({"error_code": 40402} if held is None else held, 404 if held is None else 200)

    def do_PUT(self):
        _, kind, subject = urlsplit(self.path).path.split("/")
        assert kind == "mode"
        self.server.modes[subject] = self.body()["mode"]
        self.reply({"mode": self.server.modes[subject]}, 200 if self.server.mutable else 422)

    def do_POST(self):
        _, _, subject, _ = urlsplit(self.path).path.split("/")
        wanted = self.body()
        allowed = self.server.modes.get(subject) == "IMPORT"
        if allowed:
            self.server.held[subject, wanted["version"]] = wanted
        self.reply({"id": wanted["id"]} if allowed else {"error_code": 42205}, 200 if allowed else 422)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def reply(self, content, status):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.fixture
def registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.held, server.modes, server.mutable = {}, {}, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def push(registry):
    shown = CliRunner().invoke(
        app, ["--json", "schemas", "push", "--registry", f"http://127.0.0.1:{registry.server_port}/"]
    )
    if shown.exception is not None:
        raise shown.exception
    return json.loads(shown.output)


def test_every_schema_keeps_its_id_and_a_second_push_changes_nothing(registry):
    schemas = released()
    assert push(registry) == {"copied": len(schemas), "schemas": len(schemas)}
    assert {held["id"]: json.loads(held["schema"]) for held in registry.held.values()} == {
        number: schema.document for number, schema in schemas.items()
    }
    assert set(registry.modes.values()) == {"READWRITE"}
    registry.mutable = False
    assert push(registry) == {"copied": 0, "schemas": len(schemas)}


def test_what_stands_there_under_another_id_is_not_overwritten(registry):
    first = released()[1]
    registry.held[first.subject, 1] = {"id": 900, "schema": json.dumps(first.document)}
    with pytest.raises(ConflictError, match="id 900"):
        push(registry)
    assert len(registry.held) == 1


def test_a_registry_that_lets_no_mode_be_changed_is_named(registry):
    registry.mutable = False
    with pytest.raises(ConfigurationError, match="refused PUT /mode/"):
        push(registry)
    assert registry.held == {}


@pytest.mark.parametrize(("url", "error"), [("http://127.0.0.1:1", UnavailableError), ("nowhere", ConfigurationError)])
def test_no_registry(url, error):
    shown = CliRunner().invoke(app, ["schemas", "push", "--registry", url])
    assert isinstance(shown.exception, error)
