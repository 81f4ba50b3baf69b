"""Apache Kafka as a single node on this machine, from the artifacts that ``pom.xml`` pins: for trials and for tests.

``python deploy/kafka/apache_kafka.py --data-dir FOLDER`` runs a broker and controller in one Java process (KRaft) on
127.0.0.1 until SIGTERM or SIGINT. ``KafkaProcess`` is the same as a child process, and may have accounts: clients then
log in by SCRAM over TLS, and may do what access rules (ACLs) allow them and nothing else.
"""

# ruff: noqa: INP001 - a program beside its POM, no package
from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from easeml.broker.process import BrokerProcess
from easeml.errors import ConfigurationError, UnavailableError
from easeml.ports import free_port, is_free

POM = Path(__file__).with_name("pom.xml")
BUILD = Path(__file__).parents[2] / "build" / "kafka"
OPERATOR = "operator"
"""The account that may do everything: it creates topics and grants access."""

_HOST = "127.0.0.1"
_CLUSTER = "ZWFzZW1sLWthZmthLW5vZA"  # any 16 bytes in base64: there is one node, and it has one folder
_JAVA = 17
_MEND = (
    f"Install a JDK {_JAVA} or newer and Maven: 'apt-get install openjdk-{_JAVA}-jdk-headless maven' on Debian, "
    f"'brew install openjdk@{_JAVA} maven' on macOS. 'make test' needs neither."
)
_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENTS",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "100",
    "auto.create.topics.enable": "false",
    # A killed node waits for its own former session before it is let in again.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    # As often as the embedded broker looks at retention and compaction.
    "log.initial.task.delay.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "500",
}
_JVM = ("-Xmx768m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
_MORTAL = 'exec 3<&0; (cat <&3 >/dev/null; kill -9 $$ 2>/dev/null) & exec "$@" 3<&-'
"""Runs a program that ends when its standard input, a pipe, is closed: the kernel does so, however the parent dies."""


def libraries() -> Path:
    """Return the folder of Kafka's jars; Maven fetches them the first time.

    Raises
    ------
    ConfigurationError
        When Java or Maven are missing or too old.
    UnavailableError
        When Maven fails.
    """
    _require_java()
    folder = BUILD / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError("Maven ('mvn') is not on the path.", mend=_MEND)
    BUILD.mkdir(parents=True, exist_ok=True)
    fresh = BUILD / f"fetching-{secrets.token_hex(4)}"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    done = _ran([maven, "--quiet", "--batch-mode", "--file", str(POM), *goal])
    if done.returncode:
        raise UnavailableError(f"Maven does not get Apache Kafka: {done.stdout[-2000:]}", mend="Is its registry up?")
    with contextlib.suppress(OSError):  # somebody else was faster
        fresh.rename(folder)
    return folder


def _require_java() -> None:
    java = shutil.which("java")
    told = _ran([java, "-version"]).stdout if java else ""
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < _JAVA:
        found = f"Java {version[1]} is too old for Apache Kafka." if version else "Java is not on the path."
        raise ConfigurationError(found, mend=_MEND)


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own arguments
        command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


class KafkaProcess(BrokerProcess):
    """Run Apache Kafka on this machine and wait until it is ready; it also ends when this process dies.

    Parameters
    ----------
    data_dir : Path, optional
        Folder of the data; a temporary one, removed at the end, unless given.
    port : int
        Port to bind; 0 takes a free one, which later restarts keep.
    advertised_port : int
        Port that clients are told to connect to, that of a relay for example; 0: the one that is bound.
    accounts : mapping of str to str, optional
        User name to password. Given: clients log in by SCRAM over TLS, and everybody but ``OPERATOR``, whose password
        is made here, may do only what access rules allow. The folder must be new then.
    timeout : float
        Seconds to wait for the broker to become ready, and to stop.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        *,
        advertised_port: int = 0,
        accounts: Mapping[str, str] | None = None,
        timeout: float = 180.0,
    ) -> None:
        super().__init__(data_dir, port, advertised_port=advertised_port, timeout=timeout)
        self._accounts = {} if accounts is None else {OPERATOR: secrets.token_hex(16), **accounts}
        self._controller = 0
        self._jars = libraries()

    @property
    def _secret(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}-tls"

    def login(self, user: str = OPERATOR) -> dict[str, str]:
        """Return the settings by which a user connects; without accounts everybody is the same."""
        settings = {"bootstrap_servers": self.bootstrap_servers}
        if self._accounts:
            settings |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": user,
                "sasl_password": self._accounts[user],
                "ssl_ca_file": str(self._secret / "certificate.pem"),
            }
        return settings

    def start(self) -> None:
        """Start the process and wait until clients can connect.

        Raises
        ------
        UnavailableError
            If it ends or does not become ready in time; the message carries its last log lines.
        """
        self._port = self._port or free_port(_HOST)
        while not self._controller or not is_free(_HOST, self._controller):
            self._controller = free_port(_HOST)
        self.bootstrap_servers = f"{_HOST}:{self._port}"
        properties = self._prepared()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                ["/bin/sh", "-c", _MORTAL, "kafka", *self._java("kafka.Kafka", str(properties))],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + self._timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self.log_path.read_text(errors="replace")[-2000:]
                raise UnavailableError(f"Apache Kafka did not become ready: {tail}", mend="See its log.")
            time.sleep(0.1)

    def wait(self) -> None:
        """Wait until the broker ends by itself."""
        assert self._process is not None, "The broker has not been started."
        self._process.wait()

    def _answers(self) -> bool:
        login = self.login()
        names = {
            "bootstrap_servers": "bootstrap.servers",
            "security_protocol": "security.protocol",
            "sasl_mechanism": "sasl.mechanism",
            "sasl_username": "sasl.username",
            "sasl_password": "sasl.password",
            "ssl_ca_file": "ssl.ca.location",
        }
        client = AdminClient({names[name]: value for name, value in login.items()} | {"log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _java(self, program: str, *arguments: str) -> list[str]:
        return ["java", *_JVM, "-cp", f"{self._jars}/*", program, *arguments]

    def _prepared(self) -> Path:
        """Write the properties, make keys and format the folder where that is not done yet, and return the first."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        is_new = not (self.data_dir / "meta.properties").exists()
        content = _NODE | {
            "log.dirs": str(self.data_dir.resolve()),
            "controller.quorum.voters": f"1@{_HOST}:{self._controller}",
            "listeners": f"CLIENTS://{self.bootstrap_servers},CONTROLLER://{_HOST}:{self._controller}",
            "advertised.listeners": f"CLIENTS://{_HOST}:{self._advertised_port or self._port}",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }
        if self._accounts:
            content |= self._secured(_key_pair(self._secret) if is_new else self._secret)
        path = Path(self._scratch.name) / "server.properties"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in content.items()))
        if is_new:
            users = [f"SCRAM-SHA-512=[name={user},password={word}]" for user, word in self._accounts.items()]
            scram = [part for user in users for part in ("--add-scram", user)]
            tool = self._java("kafka.tools.StorageTool", "format", "-c", str(path), "-t", _CLUSTER)
            _check(_ran([*tool, *scram]))
        return path

    def _secured(self, secret: Path) -> dict[str, str]:
        word = (secret / "password").read_text()
        own = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{OPERATOR}" '
        return {
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.clients.scram-sha-512.sasl.jaas.config": f'{own}password="{self._accounts[OPERATOR]}";',
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str((secret / "keys.p12").resolve()),
            "ssl.keystore.password": word,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str((secret / "certificate.pem").resolve()),
            # The broker shows its own key to the controller; nobody else has one.
            "listener.name.controller.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{OPERATOR};User:CN=easeml-kafka",
        }


def _key_pair(folder: Path) -> Path:
    """Make a key for this machine's own address, and the certificate that clients check it by."""
    folder.mkdir(mode=0o700)
    word = secrets.token_hex(16)
    (folder / "password").write_text(word)
    store = ["-alias", "kafka", "-keystore", str(folder / "keys.p12"), "-storepass", word]
    name = ["-dname", "CN=easeml-kafka", "-ext", f"san=ip:{_HOST},dns:localhost"]
    kind = ["-storetype", "PKCS12", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
    _check(_ran(["keytool", "-genkeypair", *store, *kind, *name]))
    _check(_ran(["keytool", "-exportcert", "-rfc", *store, "-file", str(folder / "certificate.pem")]))
    return folder


def _check(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise UnavailableError(f"{Path(done.args[0]).name} failed: {done.stdout[-2000:]}", mend="See its message.")


def main() -> int:
    """Run a broker until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, default=BUILD / "data", help="folder of the data")
    parser.add_argument("--fetch", action="store_true", help="only get the artifacts")
    options = parser.parse_args()
    # While the broker starts, too, SIGTERM shall end it and not only us.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        if options.fetch:
            libraries()
            return 0
        with contextlib.suppress(KeyboardInterrupt), KafkaProcess(options.data_dir, options.port) as broker:
            print(f"Apache Kafka runs: export EASEML_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
            broker.wait()
            print(broker.log_path.read_text(errors="replace")[-2000:], file=sys.stderr)
            return 1
    except (ConfigurationError, UnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _interrupted(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
