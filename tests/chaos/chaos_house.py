"""The house that is disturbed: a broker behind a relay, the supervisor with every process, and a look at both."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos_wire import HOST, Wire
from confluent_kafka import Producer
from confluent_kafka.admin import OffsetSpec

from brokers import apache_kafka
from easeml.broker.process import BrokerProcess
from easeml.errors import UnavailableError
from easeml.stream import admin, killpoints
from easeml.stream.bulk import Place
from easeml.stream.killpoints import POINTS
from easeml.stream.messages import Record
from easeml.stream.reader import TopicReader, offsets
from easeml.stream.runfiles import read_run_file, run_folder
from easeml.stream.settings import Settings
from easeml.stream.topics import CATALOGUE
from easeml.supervisor import roster, wait_ready
from easeml.supervisor.orphans import die_with_parent
from easeml.supervisor.stack import alive

PARTITIONS = 2
READY_SECONDS = 600.0
_UNREACHABLE = (OSError, http.client.HTTPException)


class ChaosHouse:
    """A context manager.

    Parameters
    ----------
    home : Path
        Folder of the broker's data, of the house and of its logs.
    kafka : bool
        Apache Kafka instead of the embedded broker.
    kill_batch : int
        Batch from which on each service also dies at each named point of a batch, once; 0: it does not.
    """

    def __init__(self, home: Path, *, kafka: bool, kill_batch: int = 0) -> None:
        self.home = home / "house"
        self.wire = Wire()
        place = home / "broker"
        self.broker: BrokerProcess = (
            apache_kafka.KafkaProcess(place, advertised_port=self.wire.port)
            if kafka
            else BrokerProcess(place, advertised_port=self.wire.port)
        )
        address = f"{HOST}:{self.wire.port}"
        self.settings = Settings(bootstrap_servers=address, home=self.home, partitions=PARTITIONS)
        points = [f"{name}:{point}:{kill_batch}" for name in roster.SERVICES for point in POINTS]
        self._kill_points = ",".join(points) if kill_batch else ""
        self.wanted_deaths = len(points) if kill_batch else 0
        """How often services die by themselves at named points."""
        self._log = home / "supervisor.log"

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.wire)
            self.bounce(clean=True)
            stack.push(self.broker)
            stack.callback(self._stop)
            self._supervise()
            self.admin = admin.client(self.settings)
            self.producer = Producer(self.settings.kafka() | {"acks": "all", "enable.idempotence": True})
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _supervise(self) -> None:
        names = ("bootstrap_servers", "home", "partitions")
        ours = {f"EASEML_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        ports = {"EASEML_LABELS_PORT": "0", "EASEML_SERVING_PORT": "0"}
        others = {name: value for name, value in os.environ.items() if not name.startswith("EASEML_")}
        with self._log.open("w") as log:
            mortal = functools.partial(die_with_parent, os.getpid())
            environment = others | ours | ports | {killpoints.VARIABLE: self._kill_points}
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "easeml.supervisor"], env=environment, stdout=log, stderr=log, preexec_fn=mortal
            )
        wait_ready(self.home, READY_SECONDS, while_alive=self.supervisor.pid)

    def _stop(self) -> None:
        supervisor = getattr(self, "supervisor", None)
        if supervisor is None:
            return
        supervisor.send_signal(signal.SIGCONT)
        supervisor.terminate()
        supervisor.wait(60)

    # -- processes ---------------------------------------------------------------------------------------------------

    def run_file(self, name: str) -> dict[str, Any]:
        return read_run_file(self.home, name) or {}

    def pid(self, name: str) -> int:
        """Return the process id of a service that runs; 0 when it just does not."""
        pid = int(self.run_file(name).get("pid", 0))
        return pid if pid and alive(pid) else 0

    def lose(self, pids: Mapping[str, int]) -> None:
        """Kill processes and delete what they keep on this machine before the supervisor starts them again."""
        self.supervisor.send_signal(signal.SIGSTOP)
        try:
            for name, pid in pids.items():
                os.kill(pid, signal.SIGKILL)
                (run_folder(self.home) / f"{name}.json").unlink(missing_ok=True)
                if name == "trainer":
                    shutil.rmtree(self.home / "checkpoints", ignore_errors=True)
        finally:
            self.supervisor.send_signal(signal.SIGCONT)

    def bounce(self, *, clean: bool) -> None:
        """Stop the broker, where it runs, and start it."""
        self.broker.restart(kill=not clean)
        self.wire.lead_to(int(self.broker.bootstrap_servers.rpartition(":")[2]))

    def health(self, name: str) -> dict[str, Any]:
        """Return what a process says of itself; empty when it does not answer."""
        port = self.run_file(name).get("health_port")
        if port is None:
            return {}
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return dict(json.load(refused))
        except _UNREACHABLE:
            return {}
        return found

    def positions(self, name: str) -> dict[Place, int]:
        """Return the last applied offset of each input."""
        found = self.health(name).get("positions", {})
        return {(topic, int(number)): offset for topic, each in found.items() for number, offset in each.items()}

    def deaths(self) -> list[dict[str, Any]]:
        """Return what the services told before they died at a named point."""
        lines = [line for path in (self.home / "logs").glob("*.log") for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith('{"killed"')]

    def story(self) -> str:
        """Return what the supervisor told."""
        return self._log.read_text(errors="replace")

    def megabytes(self, name: str) -> float:
        """Return the resident memory (RSS) of a process and those below it, in MiB; 0 when it is not there."""
        pid = self.pid(name)
        return _resident(pid) if pid else 0.0

    # -- topics ------------------------------------------------------------------------------------------------------

    def ends(self, topics: Iterable[str]) -> dict[Place, int]:
        """Return the end offset of each partition."""
        places = [(topic, number) for topic in topics for number in range(PARTITIONS)]
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                return offsets(self.admin, places, OffsetSpec.latest())
            except UnavailableError:  # a broker that has just come back does not lead its partitions at once
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def acked(self) -> int:
        """Return how many messages the broker has taken on all topics, what services remember apart."""
        return sum(self.ends(topic.name for topic in CATALOGUE).values())

    def records(self, topics: Iterable[str]) -> Iterator[Record]:
        """Yield every message of some topics."""
        reader = TopicReader(self.settings, list(topics))
        try:
            yield from reader.replay_raw()
        finally:
            reader.close()

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait; whoever waits in vain is told why."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.supervisor.poll() is not None or time.monotonic() > deadline:
                states = {name: self.health(name) for name in roster.PROCESSES}
                raise AssertionError(f"Waited in vain until {what}.\n{json.dumps(states)}\n{self.story()[-3000:]}")
            time.sleep(0.1)


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(_resident(int(child)) for child in children)
