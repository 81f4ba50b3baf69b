"""Fork, watch, restart, stop."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from easeml.errors import ConfigurationError, ConflictError, EaseMLError, UnavailableError
from easeml.stream.runfiles import read_run_file, run_folder, write_run_file
from easeml.stream.settings import MISCONFIGURED, Settings
from easeml.supervisor import heap, roster, seed
from easeml.supervisor.lastwords import last_words, size
from easeml.supervisor.orphans import die_with_parent
from easeml.supervisor.stack import STACK

_STOP_SECONDS = 12.0
_BACKOFF_LIMIT = 5.0
_HEALTHY_SECONDS = 20.0


@dataclass
class Child:
    """One supervised process.

    ``was_ready`` tells whether it ever did its work; ``log_begins`` is the length of its log when it was started last.
    """

    name: str
    target: Callable[[], None]
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    backoff: float = 0.0
    restart_at: float | None = None
    was_ready: bool = False
    log_begins: int = 0


class Supervisor:
    """Runs the broker, the clock and the services as forked children and restarts what dies.

    Parameters
    ----------
    settings : Settings
        ``bootstrap_servers`` empty starts the embedded broker.
    services : tuple of str, optional
        Names from the roster; all by default.
    announce : callable, optional
        Receives one line per thing that happens.
    on_ready : callable, optional
        Called with a service and its ports by name whenever it is ready, also after a restart.
    """

    def __init__(
        self,
        settings: Settings,
        services: tuple[str, ...] = tuple(roster.PROCESSES),
        announce: Callable[[str], None] = print,
        on_ready: Callable[[str, Mapping[str, int]], None] | None = None,
    ) -> None:
        self._settings = settings
        self._services = services
        self._announce = announce
        self._on_ready = on_ready
        self._announced: dict[str, int] = {}
        self._children: dict[int, Child] = {}
        self._waiting: list[Child] = []
        self._stopping = False

    def run(self) -> None:
        """Start everything and watch over it until SIGTERM or SIGINT.

        Raises
        ------
        UnavailableError
            When the broker does not come up or topics cannot be created.
        ConfigurationError
            When the home folder cannot be used, or a process finds at its first start that a setting is wrong.
        """
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._prepare_home()
        settings = self._settings
        try:
            if not settings.bootstrap_servers:
                self._fork_broker()  # it needs none of what is preloaded, and recovers its logs meanwhile
            roster.preload()
            heap.seal()
            if not settings.bootstrap_servers:
                settings = self._await_broker()
            self._create_topics(settings)
            write_run_file(
                settings.home,
                STACK,
                bootstrap_servers=settings.bootstrap_servers,
                services=list(self._services),
                partitions=settings.partitions,
                max_message_bytes=settings.max_message_bytes,
            )
            self._start_services(settings)
            self._watch()
        finally:
            self._shutdown()

    def _prepare_home(self) -> None:
        folder = run_folder(self._settings.home)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._logs.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"The home folder {self._settings.home} cannot be used: {error.strerror} ({error.filename}).",
                mend="Name a folder that you may write to with --home or EASEML_HOME.",
            ) from error
        try:  # children inherit the lock: it is free again when the last of them is gone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ConflictError(
                f"Ease.ML runs in {self._settings.home} already.", mend="Stop it first, or use another --home."
            ) from None
        for leftover in folder.glob("*.json"):
            leftover.unlink()

    @property
    def _logs(self) -> Path:
        return self._settings.home / "logs"

    def _log_of(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _fork_broker(self) -> None:
        from easeml.supervisor import embedded  # noqa: PLC0415 - only when the broker is ours

        self._fork(Child("broker", lambda: embedded.run(self._settings)))

    def _await_broker(self) -> Settings:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self._announce_ready("broker")
            ready = read_run_file(self._settings.home, "broker")
            if ready is not None:
                return self._settings.model_copy(update={"bootstrap_servers": ready["bootstrap_servers"]})
            self._restart_due()
            time.sleep(0.02)
        raise UnavailableError("The embedded broker did not start.", mend=f"Read {self._logs / 'broker.log'}.")

    def _create_topics(self, settings: Settings) -> None:
        def create() -> None:
            from easeml.supervisor import topics  # noqa: PLC0415 - makes Kafka handles: child only

            topics.prepare(settings)

        child = Child("topics", create)
        self._fork(child)
        _, status = os.waitpid(child.pid, 0)
        self._children.pop(child.pid, None)
        if status != 0:
            log = self._logs / "topics.log"
            raise UnavailableError("The topics could not be created.", mend=last_words(log, child.log_begins))

    def _start_services(self, settings: Settings) -> None:
        from easeml.supervisor import clock  # noqa: PLC0415 - makes Kafka handles: child only

        os.environ["EASEML_BOOTSTRAP_SERVERS"] = settings.bootstrap_servers
        os.environ["EASEML_HOME"] = str(settings.home)
        seed.provide(settings.home)
        for service in self._services:
            self._fork(Child(service, roster.entry(service)))
        self._fork(Child("clock", lambda: clock.run(settings)))

    def _fork(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.log_begins = size(self._log_of(child))
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(child, parent)
        child.pid = pid
        child.started = time.monotonic()
        child.restart_at = None
        self._children[pid] = child

    def _become(self, child: Child, parent: int) -> None:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor stops us in order
            die_with_parent(parent)
            log = os.open(self._log_of(child), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            child.target()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except EaseMLError as error:
            print(error, file=sys.stderr)
            code = MISCONFIGURED if isinstance(error, ConfigurationError) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _watch(self) -> None:
        while not self._stopping:
            self._restart_due()
            for child in list(self._children.values()):
                self._announce_ready(child.name)
            time.sleep(0.05)

    def _announce_ready(self, name: str) -> None:
        """Tell once per process that it is ready, and where it listens."""
        child = next((c for c in self._children.values() if c.name == name), None)
        if child is None or self._announced.get(name) == child.pid:
            return
        found = read_run_file(self._settings.home, name) or {}
        if not found.get("ready") or found.get("pid") != child.pid:
            return
        self._announced[name] = child.pid
        child.was_ready = True
        if name not in self._services:
            self._announce(f"{name:<12}ready, {found['bootstrap_servers']}")
            return
        ports: dict[str, int] = found.get("ports", {})
        places = "".join(f", {port} on {self._settings.host}:{number}" for port, number in ports.items())
        self._announce(f"{name:<12}ready{places}")
        if self._on_ready is not None:
            self._on_ready(name, ports)

    def _restart_due(self) -> None:
        self._reap()
        now = time.monotonic()
        for child in [c for c in self._waiting if c.restart_at is not None and c.restart_at <= now]:
            self._waiting.remove(child)
            self._fork(child)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None or self._stopping:
                continue
            self._schedule_restart(child, status)

    def _schedule_restart(self, child: Child, status: int) -> None:
        now = time.monotonic()
        died = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        if now - child.started > _HEALTHY_SECONDS:
            child.backoff = 0.0
        child.restart_at = now + child.backoff
        child.backoff = min(_BACKOFF_LIMIT, max(0.2, 2 * child.backoff))
        child.restarts += 1
        log = self._log_of(child)
        failed = os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
        words = last_words(log, child.log_begins) if failed else ""
        if words and not child.was_ready and os.WEXITSTATUS(status) == MISCONFIGURED:
            raise ConfigurationError(f"{child.name} cannot start: {words}", mend=f"Its log is {log}.")
        said = f" (log {log}): {words}" if words else ""
        self._announce(f"{child.name:<12}died ({died}), restart {child.restarts}{said}")
        (run_folder(self._settings.home) / f"{child.name}.json").unlink(missing_ok=True)
        self._waiting.append(child)

    def _stop(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _shutdown(self) -> None:
        """Stop services first, then the clock, the broker last: services commit on their way out."""
        self._stopping = True
        brokers = {pid: c for pid, c in self._children.items() if c.name == "broker"}
        others = {pid: c for pid, c in self._children.items() if pid not in brokers}
        for group in (others, brokers):
            for pid in group:
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            left = set(group)
            while left and time.monotonic() < deadline:
                left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
                time.sleep(0.02)
            for pid in left:
                self._announce(f"{group[pid].name:<12}did not stop in {_STOP_SECONDS:.0f} s, killed")
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for leftover in run_folder(self._settings.home).glob("*.json"):
            leftover.unlink()
