"""The demo's application speaks to a house with TLS."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pandas as pd
import pytest

from easeml.demo.application import Application, Served
from easeml.stream.settings import Settings
from easeml.supervisor.stack import Stack, write_run_file

TLS = Path(__file__).parents[1] / "labels" / "tls"  # self-signed, for localhost


class Predicts(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"model": "m", "labels": ["sky"]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize("tls", [False, True])
def test_rows_are_predicted_with_and_without_tls(tmp_path, tls):
    server = HTTPServer(("127.0.0.1", 0), Predicts)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "localhost.crt", TLS / "localhost.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    write_run_file(tmp_path, "serving", {"ports": {"predict": server.server_port}})
    settings = Settings(home=tmp_path, tls_certificate=str(TLS / "localhost.crt") if tls else "")
    stack = Stack(tmp_path, "", 0, ("serving",), 4, 1_000_000)
    try:
        assert Application(stack, settings, "app").predict(pd.DataFrame({"x": [1.0]}), ("r",)) == Served("m", ("sky",))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
