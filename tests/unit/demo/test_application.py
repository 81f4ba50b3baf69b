"""The demo's application speaks to a house with TLS and asks again when the answer is none."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pandas as pd
import pytest

from easeml.demo.application import Application, Served
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings
from easeml.supervisor.stack import Stack
from easeml.tokens import TokenFile, house_token

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
    write_run_file(tmp_path, "serving", ports={"predict": server.server_port})
    settings = Settings(home=tmp_path, tls_certificate=str(TLS / "localhost.crt") if tls else "")
    stack = Stack(tmp_path, "", 0, ("serving",), 4, 1_000_000)
    try:
        assert Application(stack, settings, "app").predict(pd.DataFrame({"x": [1.0]}), ("r",)) == Served("m", ("sky",))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_answer_that_is_no_http_is_asked_for_again_with_the_token_there_is_by_then(tmp_path):
    heard = []
    answers = [b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + b'{"model": "m", "labels": ["sky"]}']
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(65536).decode())
                    if len(heard) == 1:
                        TokenFile(tmp_path).create("ada")
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        write_run_file(tmp_path, "serving", ports={"predict": listener.getsockname()[1]})
        application = Application(Stack(tmp_path, "", 0, ("serving",), 4, 1_000_000), Settings(home=tmp_path), "app")
        assert application.predict(pd.DataFrame({"x": [1.0]}), ("r",)) == Served("m", ("sky",))
        thread.join()
    assert ["authorization" in one for one in heard] == [False, True]
    assert f"authorization: Bearer {house_token(Settings(home=tmp_path))}\r\n" in heard[1]
