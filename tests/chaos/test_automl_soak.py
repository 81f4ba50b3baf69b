"""Twenty apps, four trainers, two hundred trials, and processes killed hard all the while.

No trial is lost and none counted twice, and every decision of the scheduler can be repeated from the topic.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brokers import new_broker
from easeml.automl.house import House, decided_again
from easeml.relation import Relation
from easeml.stream.admin import create_topics
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    Column,
    ColumnKind,
    DataVersion,
    ModelPublished,
    Pillar,
    Tick,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import ALGORITHMS, APPS, DATA_VERSIONS, MODELS, PILLAR_TOPICS, TICKS, TRIALS

STREET = Path(__file__).with_name("automl_street.py")
PARTITIONS = 4
APPS_OF_ALL = [f"app{n}" for n in range(20)]
TRAINERS = [f"trainer{n}" for n in range(4)]
KILLED = ("trainer1", "automl", "trainer2", "trainer0", "automl", "trainer3", "trainer1", "automl")
GONE = "trainer0"
"""Who stays dead: the others take its trials over."""
PATIENCE = 240.0
COLUMNS = (Column("x", ColumnKind.NUMERIC), Column("y", ColumnKind.NUMERIC))
CLASSES = ("no", "yes")
ARMS = [
    *(AlgorithmAnnounced(f"tree{d}", "decision_tree", f'{{"max_depth": {d}}}', 0.05) for d in range(1, 7)),
    AlgorithmAnnounced("lda", "lda", "{}", 0.05),
    AlgorithmAnnounced("bayes", "naive_bayes", "{}", 0.05),
    AlgorithmAnnounced("knn3", "knn", '{"n_neighbors": 3}', 0.05),
    AlgorithmAnnounced("knn7", "knn", '{"n_neighbors": 7}', 0.05),
]


class Soak:
    """A broker, the street's processes, and what was read of their topics."""

    def __init__(self, home):
        self.home = home
        self.broker = new_broker(memory=True)
        self.ticks = 0
        self.tick_at = 0.0
        self.events = {TRIALS.name: [], MODELS.name: []}

    def __enter__(self):
        self.broker.start()
        bootstrap = self.broker.bootstrap_servers
        self.settings = Settings(bootstrap_servers=bootstrap, partitions=PARTITIONS, home=self.home)
        create_topics(self.settings, ["automl", "trainer"])
        self.publisher = EventPublisher(self.settings, "user")
        self.reader = TopicReader(self.settings, list(self.events))
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EASEML_")}
        self.street = subprocess.Popen(
            [sys.executable, str(STREET), str(self.home), bootstrap, str(PARTITIONS), *TRAINERS],
            env=clean | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_):
        self.street.terminate()
        self.street.wait(20)
        self.reader.close()
        self.broker.terminate()

    def say(self):
        """Introduce apps, algorithms and data."""
        for arm in ARMS:
            self.publisher.send(ALGORITHMS, arm)
        rng = np.random.default_rng(5)
        for app in APPS_OF_ALL:
            self.publisher.send(APPS, AppDefined(app, "label", CLASSES, COLUMNS))
        for app in APPS_OF_ALL:
            for pillar, count in ((Pillar.TRAIN, 40), (Pillar.VALIDATION, 30)):
                codes = rng.integers(0, 2, count)
                frame = pd.DataFrame(rng.normal(size=(count, 2)) + codes[:, None], columns=["x", "y"])
                frame["label"] = np.array(CLASSES, object)[codes]
                ids = tuple(f"{pillar.value}{n}" for n in range(count))
                rows = Relation.from_frame(frame, label="label", classes=CLASSES, row_ids=ids, columns=COLUMNS)
                for batch in rows.to_batches(app, pillar, "v1"):
                    self.publisher.send(PILLAR_TOPICS[pillar], batch)
                self.publisher.send(DATA_VERSIONS, DataVersion(app, pillar, "v1", count, "0" * 64, "soak"))
        self.publisher.flush()

    def look(self):
        """Let the clock tick and read what is new."""
        assert self.street.poll() is None
        if time.monotonic() >= self.tick_at:
            self.tick_at = time.monotonic() + 1.0
            self.ticks += 1
            for partition in range(PARTITIONS):
                self.publisher.send(TICKS, Tick(self.ticks, time.time()), partition=partition)
            self.publisher.flush()
        for event in self.reader.replay():
            self.events[event.topic].append(event)

    def ended(self):
        """Return the trials that ended well."""
        return {e.data.trial for e in self.of(TrialFinished) if e.data.outcome is TrialOutcome.TRAINED}

    def of(self, kind):
        return [event for events in self.events.values() for event in events if isinstance(event.data, kind)]

    def kill(self, name):
        """Kill a process hard; False when it is not there just now."""
        pids = json.loads((self.home / "pids.json").read_text())
        try:
            os.kill(pids[name], signal.SIGKILL)
        except (KeyError, ProcessLookupError):
            return False
        return True


@pytest.mark.timeout(400)
def test_soak(tmp_path, capsys):
    wanted = len(APPS_OF_ALL) * len(ARMS)
    killed = []
    begun = time.monotonic()
    with Soak(tmp_path) as soak:
        soak.say()
        while len(soak.ended()) < wanted:
            soak.look()
            assert time.monotonic() - begun < PATIENCE, logs(tmp_path)
            if len(killed) < len(KILLED) and len(soak.ended()) > (len(killed) + 1) * wanted // (len(KILLED) + 2):
                name = KILLED[len(killed)]
                if name == GONE:
                    (tmp_path / f"gone-{name}").touch()
                killed += [name] if soak.kill(name) else []
            time.sleep(0.05)
        for _ in range(20):
            soak.look()
            time.sleep(0.1)
    with capsys.disabled():
        print(f"\n{wanted} trials in {time.monotonic() - begun:.0f} s, killed: {killed}")
    assert tuple(killed) == KILLED
    check_trials(soak)
    check_decisions(soak)


def check_trials(soak):
    """Every trial was assigned once, ended once, and made one model."""
    first = {}
    for event in [*soak.of(TrialFinished), *soak.of(ModelPublished)]:
        kind, data = type(event.data), event.data
        said = (kind, data.app, data.algorithm, data.model)
        assert first.setdefault(event.id, said) == said, "an effect that happened twice, in two ways"
    wanted = Counter({(app, arm.algorithm): 1 for app in APPS_OF_ALL for arm in ARMS})
    trials = {e.data.trial: (e.data.app, e.data.algorithm) for e in soak.of(TrialAssigned)}
    assert Counter(trials.values()) == wanted
    assert Counter((app, arm) for kind, app, arm, _ in first.values() if kind is ModelPublished) == wanted
    assert Counter((app, arm) for kind, app, arm, _ in first.values() if kind is TrialFinished) == wanted
    assert {e.data.outcome for e in soak.of(TrialFinished)} == {TrialOutcome.TRAINED}
    assert len({e.data.device for e in soak.of(TrialFinished)}) == len(TRAINERS)


def check_decisions(soak):
    """Each decision follows from what it says it knew, and the whole topic tells of every trial once."""
    events = soak.events[TRIALS.name]
    decisions = {(e.data.trial, e.data.turn): e.data for e in soak.of(TrialAssigned)}.values()
    assert len(decisions) >= len(APPS_OF_ALL) * len(ARMS)
    for decision in decisions:
        assert decided_again(events, decision) == (decision.app, decision.algorithm, decision.device)
    house = House()
    for event in events:
        house.fold(event)
    assert house.decide() is None
    state = house._up_to_date()._scheduler.state()
    assert {app: len(tenant["runs"]) for app, tenant in state["tenants"].items()} == dict.fromkeys(
        APPS_OF_ALL, len(ARMS)
    )


def logs(home):
    return "\n".join(f"{path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in sorted(home.glob("*.log")))
