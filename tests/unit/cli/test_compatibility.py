"""Versions that do not fit are named with their mend: of Python, libraries, brokers and processes."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from contextlib import contextmanager

import pytest

from easeml.broker.wire import SERVED
from easeml.cli import compatibility
from easeml.stream.settings import Settings

PLAIN = Settings()


def installed(folder, name, version, *lines):
    """Install a package that is nothing but its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]))


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Where packages are installed; the one that is examined is ``probe-root``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compatibility, "PACKAGE", "probe-root")
    return tmp_path


def test_what_is_installed_here_fits():
    finding = compatibility.libraries()
    assert finding.well, finding.text
    for name in ("confluent-kafka", "aiokafka", "faust-streaming", "fastavro", "grpcio"):
        assert re.search(rf"{name} \d+\.\d", finding.text)
    assert compatibility.this_python().well
    assert compatibility.this_kafka_library().well


def test_a_missing_and_a_wrong_library_are_named_with_their_mends(packages):
    installed(
        packages,
        "probe-root",
        "1",
        "Requires-Dist: probe-client>=2.16",
        "Requires-Dist: probe-gone>=1",
        'Requires-Dist: probe-elsewhere>=9; sys_platform == "nowhere"',
    )
    installed(packages, "probe-client", "2.3.0")
    finding = compatibility.libraries()
    assert not finding.well
    assert "probe-client is 2.3.0, but probe-root asks for >=2.16: pip install 'probe-client>=2.16'" in finding.text
    assert "probe-gone is missing, which probe-root asks for: pip install 'probe-gone>=1'" in finding.text
    assert "elsewhere" not in finding.text


def test_what_libraries_ask_of_each_other_is_examined_too(packages):
    installed(packages, "probe-root", "1", "Requires-Dist: probe-stream[fast]")
    installed(
        packages,
        "probe-stream",
        "0.15",
        "Provides-Extra: fast",
        "Requires-Dist: probe-root",
        "Requires-Dist: probe-loop<1; extra == 'fast'",
        "Requires-Dist: probe-other<1; extra == 'slow'",
    )
    installed(packages, "probe-loop", "2.0")
    installed(packages, "probe-other", "2.0")
    assert compatibility.libraries().text == (
        "probe-loop is 2.0, but probe-stream asks for <1: pip install 'probe-loop<1'"
    )


def test_of_an_extra_only_what_is_there_must_fit(packages):
    extra = ["Provides-Extra: files", "Requires-Dist: probe-arrow>=20; extra == 'files'"]
    installed(packages, "probe-root", "1", *extra)
    assert compatibility.libraries().well
    installed(packages, "probe-arrow", "10.0.1")
    assert "probe-arrow is 10.0.1" in compatibility.libraries().text


def test_python_is_held_to_what_the_package_asks_for():
    assert compatibility.python("3.12.1", ">=3.11,<3.14").well
    for version in ("3.10.9", "3.14.0"):
        finding = compatibility.python(version, ">=3.11,<3.14")
        assert not finding.well
        assert "make the environment anew" in finding.text


def test_a_foreign_librdkafka_is_named():
    assert compatibility.kafka_library("2.16.1", "2.16.0").well
    finding = compatibility.kafka_library("2.16.1", "1.9.2")
    assert not finding.well
    assert "pip install --force-reinstall --only-binary :all: confluent-kafka" in finding.text


def test_a_process_of_another_version_is_told():
    assert compatibility.running(compatibility.metadata.version("easeml-streaming")) == ""
    assert compatibility.running("") == "", "it does not run"
    assert compatibility.running("0.0.1").startswith("runs 0.0.1, but ")


# -- brokers ---------------------------------------------------------------------------------------------------------


@contextmanager
def answering(answer, tls=None):
    """A port that answers one request with these bytes, over TLS where there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection if tls is None else tls.wrap_socket(connection, server_side=True) as connection:
                size = struct.unpack(">i", connection.recv(4))[0]
                assert struct.unpack(">hhih", connection.recv(size)) == (18, 0, 0, -1)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def told(apis, error=0):
    body = struct.pack(">ihi", 0, error, len(apis))
    body += b"".join(struct.pack(">hhh", key, low, high) for key, (low, high) in apis.items())
    return struct.pack(">i", len(body)) + body


def judged(answer, settings=PLAIN):
    with answering(answer) as port:
        return compatibility.broker(settings, "127.0.0.1", port)


def test_a_broker_that_speaks_all_is_well():
    assert judged(told(SERVED)).well


def test_a_broker_is_asked_over_tls_too(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    settings = Settings(security_protocol="SASL_SSL", ssl_ca_file=str(certificates / "ca.crt"))
    with answering(told(SERVED), context) as port:
        finding = compatibility.broker(settings, "127.0.0.1", port)
    assert finding.well, finding.text


def test_an_older_broker_is_told_which_one_is_needed():
    kafka_1_0 = SERVED | {8: (0, 3), 11: (0, 2), 12: (0, 1), 14: (0, 1), 32: (0, 0)}
    finding = judged(told(kafka_1_0))
    assert not finding.well
    assert finding.text.startswith("older than Apache Kafka 2.3: it has no DescribeConfigs 1, Heartbeat 3, JoinGroup 5")
    assert "and 2 more; upgrade it to 2.3 at least" in finding.text
    without = {key: versions for key, versions in SERVED.items() if key != 21}
    assert judged(told(without)).text.startswith("older than Apache Kafka 0.11: it has no DeleteRecords 0;")


def test_a_broker_that_speaks_only_what_is_newer_is_told():
    finding = judged(told(SERVED | {0: (9, 15), 1: (13, 19)}))
    assert not finding.well
    assert "only newer versions of Fetch, Produce than this program: upgrade Ease.ML" in finding.text


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", told({}, error=35), told(SERVED)[:44], b"\0\0\0\x10" + b"x" * 16],
)
def test_who_answers_something_else_is_no_broker(answer):
    finding = judged(answer)
    assert not finding.well
    assert "does not tell what it speaks" in finding.text
    assert "EASEML_SECURITY_PROTOCOL=PLAINTEXT" in finding.text


def test_a_port_without_a_broker_and_one_without_tls_are_told():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not compatibility.broker(PLAIN, "127.0.0.1", port).well
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve():
            connection, _ = plain.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"no TLS here")

        threading.Thread(target=serve, daemon=True).start()
        finding = compatibility.broker(Settings(security_protocol="SSL"), "127.0.0.1", plain.getsockname()[1])
    assert "does EASEML_SECURITY_PROTOCOL=SSL fit its port?" in finding.text
