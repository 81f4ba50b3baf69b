"""The dashboard under load: ten browsers at 1,000 events a second, and 100,000 rows page by page.

    python tests/benchmarks/bench_dashboard.py [--minutes 10]

Ten pages are open in headless Chromium, each as if in a browser of its own, while questions, answers, models, verdicts,
picks and studies are published at the given rate. In between, rubbish is collected in each page and its heap, elements
and listeners are counted: a page that is open for long may not grow. At the end each page is compared with the same
page opened afresh: none may differ. Then 100,000 rows of 20 columns, one cell in a hundred uncertain, are browsed.
Bars: memory of the server below 300 MB throughout; after the first page, which reads the topics, pages come in a blink.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from figures import tell
from playwright.sync_api import Browser, CDPSession, Page

from browsers import CHROMIUM, chromium
from easeml.broker.process import BrokerProcess
from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.admin import create_topics
from easeml.stream.publisher import EventPublisher
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANSWERS,
    APPS,
    CANDIDATES,
    DATA_TRAIN,
    DATA_VERSIONS,
    FEASIBILITY,
    MODELS,
    PICKS,
    QUESTIONS,
    VERDICTS,
    Topic,
)

RATE = 1000
OPEN = ("journey", "journey", "data", "feasibility", "models", "models", "ci", "ci", "picker", "operations")
"""Pages of the ten browsers. Questions come from the label service, which is not measured here."""
SAMPLES = 20
ROWS, COLUMNS, DOUBT = 100_000, 20, 0.01
NAMES = tuple(f"x{n:02d}" for n in range(COLUMNS))
FEW = [f"row-{n:06d}" for n in range(ROWS // 100)]
"""Rows that are there meanwhile; one cell after the other becomes uncertain."""
APP = p.AppDefined("bench", "y", ("no", "yes"), tuple(p.Column(n, p.ColumnKind.NUMERIC) for n in NAMES))
PATIENCE = 120.0
COUNTED = (
    "const ask = window.fetch; window.asked = 0; window.fetch = (...all) => { window.asked += 1; return ask(...all); }"
)


@dataclass
class Visitor:
    """One page in a browser of its own."""

    browser: Browser
    address: str
    heap: list[float] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    listeners: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page: Page = self.browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.add_init_script(COUNTED)
        self.page.goto(self.address)
        self.page.wait_for_selector("#live.on, .empty")
        self._session: CDPSession = self.page.context.new_cdp_session(self.page)

    def look(self) -> None:
        """Count what the page holds when its rubbish is away."""
        self._session.send("HeapProfiler.collectGarbage")
        counted = self._session.send("Memory.getDOMCounters")
        self.heap.append(self._session.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
        self.elements.append(counted["nodes"])
        self.listeners.append(counted["jsEventListeners"])

    @property
    def shown(self) -> str:
        return self.page.inner_text("main")

    @property
    def asked(self) -> int:
        return self.page.evaluate("window.asked")


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


def story() -> Iterator[tuple[Topic, Any]]:
    """Yield what happens, without end: mostly questions and their answers, and the work of all services."""
    belief = np.array([0.5, 0.5])
    label, pool = p.QuestionKind.LABEL, p.Pillar.POOL
    number = 0
    while True:
        for _ in range(45):
            number += 1
            about = ("bench", f"q{number}", label, pool, f"r{number}")
            yield QUESTIONS, p.Question(*about, APP.classes, 0.5, "market", probabilities=belief)
            yield ANSWERS, p.Answer(*about, 1, "yes", "market", 1)
        for name in (f"lda-{number}", f"svm-{number}", f"knn-{number}"):
            file = ("file:///nowhere", "0" * 64, 10_000, "skops", NAMES, APP.classes, "v1", "automl")
            quality = 0.6 + 0.3 * (number % 991) / 991
            yield MODELS, p.ModelPublished("bench", name, "lda", *file, {"accuracy": quality, "cpu_seconds": 0.5})
            yield VERDICTS, p.Verdict("bench", name, number % 3 == 0, True)
            posterior = {name: 0.5, f"lda-{number - 45}": 0.25, "lda-45": 0.25}
            yield PICKS, p.ModelPicked("bench", name, number, number, False, number, posterior)
        yield FEASIBILITY, study(number)
        yield CANDIDATES, doubts(np.array([number % (ROWS // 100 * COLUMNS)]), FEW)


def study(rows: int) -> p.FeasibilityReport:
    places = np.arange(1.0, 201.0)
    figures = {"bayes_error": 0.05, "bayes_error_upper": 0.08, "interval_low": 0.03, "interval_high": 0.07}
    return p.FeasibilityReport(
        app="bench",
        version="v1",
        rows=rows,
        final=False,
        target_accuracy=0.9,
        signal=p.FeasibilitySignal.UNDECIDED,
        best_transformation="raw",
        distinct_row_ratio=1.0,
        begun_at=0.0,
        arms=(p.ArmProgress("raw", p.ArmState.RUNNING, 1.0, 0.08), p.ArmProgress("pca", p.ArmState.DONE, 1.0, 0.1)),
        curve_arm=np.repeat(np.arange(2, dtype=np.int32), 100),
        curve_rows=places,
        curve_error=0.5 / np.sqrt(places + rows % 100),
        **figures,
    )


class Load(threading.Thread):
    """Publishes at the rate for some seconds."""

    def __init__(self, publisher: EventPublisher, seconds: float) -> None:
        super().__init__(daemon=True)
        self._publisher, self._seconds = publisher, seconds
        self.sent = 0

    def run(self) -> None:
        begun, told = time.monotonic(), story()
        while (elapsed := time.monotonic() - begun) < self._seconds:
            while self.sent < RATE * elapsed:
                self._publisher.send(*next(told))
                self.sent += 1
            time.sleep(0.01)
        self._publisher.flush()


def publish_rows(publisher: EventPublisher, count: int, version: str) -> None:
    rng = np.random.default_rng(0)
    ids = [f"row-{n:06d}" for n in range(count)]
    frame = pd.DataFrame(rng.normal(size=(count, COLUMNS)), columns=NAMES, index=ids)
    frame["y"] = np.array(APP.classes, object)[rng.integers(0, 2, count)]
    relation = Relation.from_frame(frame, label="y", classes=APP.classes, row_ids=ids, columns=list(APP.columns))
    for batch in relation.to_batches("bench", p.Pillar.TRAIN, version, rows_per_batch=1000, max_bytes=900_000):
        publisher.send(DATA_TRAIN, batch)
    cells = rng.choice(count * COLUMNS, int(count * COLUMNS * DOUBT), replace=False)
    for part in np.array_split(cells, 20):
        publisher.send(CANDIDATES, doubts(part, ids))
    publisher.flush()
    publisher.publish(DATA_VERSIONS, p.DataVersion("bench", p.Pillar.TRAIN, version, count, "0" * 64, "published"))


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
    tell("a page of 100,000 rows, median of 50", statistics.median(taken), "ms")
    print(f"other pages: median {statistics.median(taken):.0f} ms, slowest {max(taken):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.5)
    seconds = 60 * parser.parse_args().minutes
    if CHROMIUM is None:
        print("no Chromium on this machine: nothing is measured")
        return
    with tempfile.TemporaryDirectory() as folder, BrokerProcess() as broker:
        home = Path(folder)
        settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, home=home)
        create_topics(settings, ())
        publisher = EventPublisher(settings, "bench")
        publisher.publish(APPS, APP)
        publish_rows(publisher, ROWS // 100, "v1")
        own = {"EASEML_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "EASEML_HOME": folder}
        server = subprocess.Popen([sys.executable, "-m", "easeml.dashboard"], env=os.environ | own)
        try:
            while not (run := read_run_file(home, "dashboard") or {}).get("ready"):
                assert server.poll() is None
                time.sleep(0.1)
            port = run["ports"]["dashboard"]
            print(f"memory at rest: {memory(server.pid, 'VmRSS'):.0f} MB")
            with chromium() as browser:
                visit(browser, server.pid, f"http://127.0.0.1:{port}/#/{APP.app}", Load(publisher, seconds), seconds)
            publish_rows(publisher, ROWS, "v2")
            browse(port)
            tell_memory(server.pid)
        finally:
            server.terminate()
            server.wait(PATIENCE)


def tell_memory(pid: int) -> None:
    print(f"memory of the server: {memory(pid, 'VmRSS'):.0f} MB, at most {memory(pid, 'VmHWM'):.0f} MB")


def visit(browser: Browser, pid: int, address: str, load: Load, seconds: float) -> None:
    """Keep ten pages open while things happen, and tell what that takes and whether they show the end of it."""
    visitors = [Visitor(browser, f"{address}/{name}") for name in OPEN]
    before = cpu(pid)
    load.start()
    for _ in range(SAMPLES):
        load.join(seconds / SAMPLES)
        for visitor in visitors:
            visitor.look()
    load.join()
    used, asked = cpu(pid) - before, statistics.mean(visitor.asked for visitor in visitors)
    print(f"{load.sent:,} events at {load.sent / seconds:,.0f} a second; CPU of the server {100 * used / seconds:.0f}%")
    stale = [visitor.address.rpartition("/")[2] for visitor in lost(browser, visitors)]
    told = ", ".join(stale) or "none"
    print(f"{len(visitors)} browsers, each asked {asked:.0f} times: {told} without the last state")
    tell("pages that do not come to show the last state, of ten", len(stale), most=0)
    tell("memory of the dashboard, ten browsers, 1,000 events/s", memory(pid, "VmHWM"), "MB", most=300)
    for name, visitor in zip(OPEN, visitors, strict=True):
        heap, elements, listeners = (growth(found) for found in (visitor.heap, visitor.elements, visitor.listeners))
        print(f"  {name:12} heap {heap} MB, elements {elements}, listeners {listeners}")
    heaps = [sum(one) for one in zip(*(visitor.heap for visitor in visitors), strict=True)]
    print(f"  {'together':12} heap {growth(heaps)} MB")
    tell_memory(pid)


def growth(found: list[Any]) -> str:
    """Return the medians of the second and of the last quarter: the first one is still filling up."""
    quarter = max(1, len(found) // 4)
    return f"{statistics.median(found[quarter : 2 * quarter]):.4g} -> {statistics.median(found[-quarter:]):.4g}"


def lost(browser: Browser, visitors: list[Visitor]) -> list[Visitor]:
    """Return the pages that do not come to show what the same page shows when it is opened now."""
    return [visitor for visitor in visitors if not settles(browser, visitor)]


def settles(browser: Browser, visitor: Visitor) -> bool:
    # its own time for each: on a busy machine one look at all of them takes longer than anybody waits for one
    deadline = time.monotonic() + PATIENCE
    while visitor.shown != afresh(browser, visitor.address):
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def afresh(browser: Browser, address: str) -> str:
    visitor = Visitor(browser, address)
    visitor.page.wait_for_selector("main[aria-busy=false] h1")
    shown = visitor.shown
    visitor.page.context.close()
    return shown


if __name__ == "__main__":
    main()
