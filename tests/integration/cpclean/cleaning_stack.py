"""A broker, a label service, CPClean and a clock, each a real process but the clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1] / "labels"))

from labels_stack import PARTITIONS, LabelStack

from easeml.stream.admin import create_topics
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import CLEANING, TICKS


class CleaningStack(LabelStack):
    """Context manager: broker and clock run from entry to exit, the services from ``start`` on.

    Parameters
    ----------
    home : path
        Folder of the broker and the run files.
    batch : int
        Questions that CPClean keeps open.
    """

    def __init__(self, home: Path, batch: int = 5) -> None:
        super().__init__(home)
        self.batch = batch
        self.cleaner: subprocess.Popen | None = None
        self._run = home / "run" / "cpclean.json"
        self._over = threading.Event()

    def __enter__(self) -> Self:
        super().__enter__()
        create_topics(self.settings, ["cpclean"])
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._clock.join()
        if self.cleaner is not None:
            self.cleaner.kill()
            self.cleaner.wait()
        super().__exit__(*error)

    def _tick(self) -> None:
        publisher = EventPublisher(self.settings, "supervisor")
        for number in range(10_000):
            for partition in range(PARTITIONS):
                publisher.send(TICKS, Tick(number, time.time()), partition=partition)
            publisher.flush()
            if self._over.wait(1.0):
                return

    def spawn_cleaning(self) -> None:
        """Start CPClean."""
        self._run.unlink(missing_ok=True)
        ours = {
            "EASEML_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "EASEML_PARTITIONS": str(PARTITIONS),
            "EASEML_HOME": str(self.home),
            "OPENBLAS_NUM_THREADS": "1",
        }
        code = (
            "from easeml.cpclean.service import CPCleanService\n"
            "from easeml.stream.main import run\n"
            f"run(CPCleanService(batch={self.batch}))"
        )
        others = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")}
        with (self.home / "cpclean.log").open("ab") as log:
            self.cleaner = subprocess.Popen([sys.executable, "-c", code], env=others | ours, stdout=log, stderr=log)

    def cleaning(self) -> bool:
        """Whether CPClean is ready."""
        return self._alive() and self._run.exists() and bool(json.loads(self._run.read_text())["ready"])

    def kill_cleaning(self) -> None:
        """kill -9."""
        assert self.cleaner is not None
        os.kill(self.cleaner.pid, signal.SIGKILL)
        self.cleaner.wait()

    def _alive(self) -> bool:
        assert self.cleaner is not None
        assert self.cleaner.poll() is None, self.log()
        return True

    def done(self) -> bool:
        """Whether the last report says that every prediction is certain."""
        reports = [event.data for event in self.events(CLEANING)]
        return self._alive() and bool(reports) and reports[-1].final and _certain(reports[-1])

    def log(self) -> str:
        file = self.home / "cpclean.log"
        return super().log() + (file.read_text()[-5000:] if file.exists() else "")


def _certain(report) -> bool:
    return report.certain == report.validation_rows > 0
