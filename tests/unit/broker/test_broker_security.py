"""Logins, TLS, limits and the process: the broker as a stranger meets it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from easeml.broker import Broker, BrokerConfig
from easeml.broker.process import BrokerProcess
from easeml.errors import ConfigurationError, ConflictError, UnavailableError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *subject,
            "-keyout",
            key,
            "-out",
            cert,
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def secured(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[BrokerProcess]:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"ada": "secret"}))
    arguments = ["--sasl-users", str(users), "--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])]
    with BrokerProcess(memory=True, arguments=arguments) as broker:
        yield broker


def admin(broker: BrokerProcess, certificate: Path, **more: str) -> AdminClient:
    settings = {
        "bootstrap.servers": broker.bootstrap_servers,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ada",
        "sasl.password": "secret",
        "ssl.ca.location": str(certificate),
        "log_level": "0",
    }
    return AdminClient(settings | {key.replace("_", "."): value for key, value in more.items()})


def test_login_over_tls(secured: BrokerProcess, certificate: tuple[Path, Path]) -> None:
    client = admin(secured, certificate[0])
    client.create_topics([NewTopic("t", 1, 1)])["t"].result(20)
    assert "t" in client.list_topics(timeout=10).topics


@pytest.mark.parametrize("wrong", [{"sasl_password": "guess"}, {"sasl_username": "eve"}, {"security_protocol": "SSL"}])
def test_no_entry_without_the_right_login(
    secured: BrokerProcess, certificate: tuple[Path, Path], wrong: dict[str, str]
) -> None:
    with pytest.raises(KafkaException):
        admin(secured, certificate[0], **wrong).list_topics(timeout=2)


def test_aiokafka_logs_in_over_tls(secured: BrokerProcess, certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    login = {
        "bootstrap_servers": secured.bootstrap_servers,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "ada",
        "ssl_context": context,
    }
    client = admin(secured, certificate[0])
    client.create_topics([NewTopic("t", 1, 1)])["t"].result(20)

    async def work() -> bytes | None:
        async with AIOKafkaProducer(sasl_plain_password="secret", **login) as producer:
            await producer.send_and_wait("t", b"x" * 900_000)
        async with AIOKafkaConsumer(
            "t", sasl_plain_password="secret", auto_offset_reset="earliest", **login
        ) as consumer:
            value: bytes | None = (await consumer.getone()).value
        with pytest.raises(AioKafkaError):
            await AIOKafkaProducer(sasl_plain_password="guess", **login).start()
        return value

    assert asyncio.run(work()) == b"x" * 900_000


async def test_a_frame_beyond_the_limit_closes_only_its_connection() -> None:
    async with Broker(BrokerConfig(memory=True, max_request_bytes=1000)) as broker:
        host, _, port = broker.bootstrap_servers.rpartition(":")
        for frame in ((1001).to_bytes(4, "big") + bytes(2000), b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(frame)
            try:
                assert await asyncio.wait_for(reader.read(), 10) == b""
            except ConnectionError:
                assert writer.transport is not None
            writer.close()
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
            assert producer.client.cluster.brokers()


async def test_topics_come_of_themselves_only_when_asked_to() -> None:
    config = BrokerConfig(memory=True, auto_create_topics=True, default_partitions=2)
    async with (
        Broker(config) as broker,
        AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer,
    ):
        sent = await producer.send_and_wait("made", b"x")
        assert sent.offset == 0
        assert await producer.partitions_for("made") == {0, 1}


async def test_the_data_folder_belongs_to_one_broker(tmp_path: Path) -> None:
    async with Broker(BrokerConfig(data_dir=tmp_path)):
        with pytest.raises(ConflictError):
            await Broker(BrokerConfig(data_dir=tmp_path)).start()
    async with Broker(BrokerConfig(data_dir=tmp_path)):
        pass


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with Broker(BrokerConfig(memory=True)) as broker:
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=str(port)):
            await Broker(BrokerConfig(data_dir=tmp_path, port=port)).start()
    async with Broker(BrokerConfig(data_dir=tmp_path)):
        pass


async def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    config = BrokerConfig(memory=True, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "cert.pem")
    with pytest.raises(ConfigurationError):
        await Broker(config).start()


async def test_clients_notice_the_end() -> None:
    async with Broker(BrokerConfig(memory=True)) as broker:
        servers = broker.bootstrap_servers
    with pytest.raises(KafkaConnectionError):
        await AIOKafkaProducer(bootstrap_servers=servers).start()


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text("[]")
    with pytest.raises(UnavailableError, match="users"):
        BrokerProcess(memory=True, arguments=["--sasl-users", str(users)]).start()
    done = subprocess.run([sys.executable, "-m", "easeml.broker", "--port", "0"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "data_dir" in done.stderr


def test_a_process_is_started_stopped_and_started_again(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        servers = broker.bootstrap_servers
        client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        client.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
        broker.restart()
        assert broker.bootstrap_servers == servers
        assert "kept" in client.list_topics(timeout=20).topics
        broker.kill()
        broker.start()
        assert "kept" in client.list_topics(timeout=20).topics
        broker.terminate()
        assert "Traceback" not in broker.log_path.read_text()


def test_the_broker_ends_with_its_parent() -> None:
    script = (
        "import os, signal\n"
        "from easeml.broker.process import BrokerProcess\n"
        "broker = BrokerProcess(memory=True)\n"
        "broker.start()\n"
        "print(broker.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while _is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_transactions_are_refused_at_once() -> None:
    async with Broker(BrokerConfig(memory=True)) as broker:
        settings = {"bootstrap.servers": broker.bootstrap_servers, "transactional.id": "t", "log_level": 0}
        producer = Producer(settings)
        with pytest.raises(KafkaException) as caught:
            await asyncio.to_thread(producer.init_transactions, 20)
        assert caught.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
