"""The dashboard under load: ten listeners at 1,000 events a second, and 100,000 rows page by page.

    python tests/benchmarks/bench_dashboard.py [--seconds 600]

Questions and answers are published at the given rate while ten listeners read an app's journey again whenever they
hear that it has changed, as browsers do. At the end each listener's last reading is compared with a fresh one: none may
differ. Then 100,000 rows of 20 columns, one cell in a hundred uncertain, are browsed. Bars: memory of the process below
300 MB throughout; after the first page, which reads the topics, pages come in a blink.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from easeml.broker.process import BrokerProcess
from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.admin import create_topics
from easeml.stream.publisher import EventPublisher
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import ANSWERS, APPS, CANDIDATES, DATA_TRAIN, DATA_VERSIONS, QUESTIONS

LISTENERS, RATE = 10, 1000
ROWS, COLUMNS, DOUBT = 100_000, 20, 0.01
NAMES = tuple(f"x{n:02d}" for n in range(COLUMNS))
APP = p.AppDefined("bench", "y", ("no", "yes"), tuple(p.Column(n, p.ColumnKind.NUMERIC) for n in NAMES))
PATIENCE = 120.0


class Listener(threading.Thread):
    """Hears news and reads the journey again, as a browser does."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.heard = 0
        self.journey: Any = None

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", f"/api/changes?app={APP.app}")
        response = connection.getresponse()
        while line := response.readline():
            if line.startswith(b"data: "):
                self.heard += 1
                self.journey = get(self.port, f"/api/apps/{APP.app}/journey")


def get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def memory(pid: int, field: str) -> float:
    """Return a figure of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(publisher: EventPublisher, seconds: float) -> int:
    """Publish questions and their answers at the rate; return how many events that were."""
    begun, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while sent < RATE * elapsed:
            name, row = f"q{sent}", f"r{sent}"
            label, pool = p.QuestionKind.LABEL, p.Pillar.POOL
            belief = np.array([0.5, 0.5])
            asked = p.Question("bench", name, label, pool, row, APP.classes, 0.5, "market", probabilities=belief)
            publisher.send(QUESTIONS, asked)
            publisher.send(ANSWERS, p.Answer("bench", name, label, pool, row, 1, "yes", "market", 1))
            sent += 2
        time.sleep(0.01)
    publisher.flush()
    return sent


def publish_rows(publisher: EventPublisher) -> None:
    rng = np.random.default_rng(0)
    ids = [f"row-{n:06d}" for n in range(ROWS)]
    frame = pd.DataFrame(rng.normal(size=(ROWS, COLUMNS)), columns=NAMES, index=ids)
    frame["y"] = np.array(APP.classes, object)[rng.integers(0, 2, ROWS)]
    relation = Relation.from_frame(frame, label="y", classes=APP.classes, row_ids=ids, columns=list(APP.columns))
    for batch in relation.to_batches("bench", p.Pillar.TRAIN, "v1", rows_per_batch=1000, max_bytes=900_000):
        publisher.send(DATA_TRAIN, batch)
    cells = rng.choice(ROWS * COLUMNS, int(ROWS * COLUMNS * DOUBT), replace=False)
    for part in np.array_split(cells, 20):
        publisher.send(CANDIDATES, doubts(part, ids))
    publisher.flush()
    publisher.publish(DATA_VERSIONS, p.DataVersion("bench", p.Pillar.TRAIN, "v1", ROWS, "0" * 64, "published"))


def doubts(cells: np.ndarray, ids: list[str]) -> p.CandidateBatch:
    """Return two candidates for each of some cells."""
    rows, columns = np.divmod(cells, COLUMNS)
    named, place = np.unique(rows, return_inverse=True)
    return p.CandidateBatch(
        "bench",
        p.Pillar.TRAIN,
        "tool@1",
        NAMES,
        tuple(ids[row] for row in named.tolist()),
        ("0", "1") * len(cells),
        row=np.repeat(place, 2).astype(np.int32),
        column=np.repeat(columns, 2).astype(np.int32),
        probability=np.tile([0.5, 0.5], len(cells)),
    )


def browse(port: int) -> None:
    """Turn pages and tell how long that takes."""
    begun = time.monotonic()
    while (told := get(port, "/api/apps/bench/rows/train"))["all"] < ROWS:
        time.sleep(0.2)
    print(f"first page of {told['all']:,} rows ({told['uncertain']:,} uncertain): {time.monotonic() - begun:.2f} s")
    taken = []
    for start in np.random.default_rng(1).integers(0, ROWS, 50).tolist():
        begun = time.monotonic()
        get(port, f"/api/apps/bench/rows/train?start={start}")
        taken.append(1000 * (time.monotonic() - begun))
    print(f"other pages: median {statistics.median(taken):.0f} ms, slowest {max(taken):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, BrokerProcess() as broker:
        home = Path(folder)
        settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, home=home)
        create_topics(settings, ())
        publisher = EventPublisher(settings, "bench")
        publisher.publish(APPS, APP)
        own = {"EASEML_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "EASEML_HOME": folder}
        server = subprocess.Popen([sys.executable, "-m", "easeml.dashboard"], env=os.environ | own)
        try:
            while not (run := read_run_file(home, "dashboard") or {}).get("ready"):
                assert server.poll() is None
                time.sleep(0.1)
            measure(server.pid, run["ports"]["dashboard"], publisher, seconds)
        finally:
            server.terminate()
            server.wait(30)


def measure(pid: int, port: int, publisher: EventPublisher, seconds: float) -> None:
    print(f"memory at rest: {memory(pid, 'VmRSS'):.0f} MB")
    listeners = [Listener(port) for _ in range(LISTENERS)]
    for listener in listeners:
        listener.start()
    before = cpu(pid)
    sent = load(publisher, seconds)
    deadline = time.monotonic() + PATIENCE
    final: Any = None
    while time.monotonic() < deadline:
        time.sleep(1)
        last, final = final, get(port, f"/api/apps/{APP.app}/journey")
        if last == final and all(listener.journey == final for listener in listeners):
            break
    lost = sum(listener.journey != final for listener in listeners)
    print(f"{sent:,} events at {sent / seconds:,.0f} a second to {LISTENERS} listeners: {lost} without the last state")
    print(f"each heard {statistics.mean(one.heard for one in listeners):.0f} times; CPU {cpu(pid) - before:.1f} s")
    print(f"memory: {memory(pid, 'VmRSS'):.0f} MB, at most {memory(pid, 'VmHWM'):.0f} MB")
    publish_rows(publisher)
    browse(port)
    print(f"memory: {memory(pid, 'VmRSS'):.0f} MB, at most {memory(pid, 'VmHWM'):.0f} MB")


if __name__ == "__main__":
    main()
