"""Algorithms that misbehave: each is a failed trial that says why, and the others go on."""

import gc
import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

from easeml.automl import families, sandbox
from easeml.automl.families import Family
from easeml.automl.limits import CPU_SECONDS
from easeml.automl.sandbox import confined
from easeml.automl.service import AutoMLService
from easeml.automl.trainer import TrainerService
from easeml.automl.trial import cpu_seconds_of
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDeleted,
    ModelPublished,
    Pillar,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    TrialProgress,
)
from easeml.stream.topics import APPS, MODELS, TRIALS
from garbage import lying_about

from .conftest import TREE, Town, rows


class Odd:
    """An estimator that does one odd thing."""

    def fit(self, matrix, codes):
        self.classes_ = np.unique(codes)
        return self

    def predict_proba(self, matrix):
        return np.full((len(matrix), len(self.classes_)), 1 / len(self.classes_))


class Raises(Odd):
    def fit(self, matrix, codes):
        raise KeyError("no such column")


class Sleeps(Odd):
    def fit(self, matrix, codes):
        time.sleep(600)


class SleepsDeaf(Odd):
    def fit(self, matrix, codes):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as native code that waits for ever
        time.sleep(600)


class Burns(Odd):
    def fit(self, matrix, codes):
        while True:
            pass


class EatsMemory(Odd):
    def fit(self, matrix, codes):
        self.ballast = np.ones(2**31)


class KillsItsProcess(Odd):
    def fit(self, matrix, codes):
        os.kill(os.getpid(), signal.SIGKILL)


class Leaves(Odd):
    def fit(self, matrix, codes):
        os._exit(3)


class WrongShape(Odd):
    def predict_proba(self, matrix):
        return np.ones((len(matrix) + 1, 2)) / 2


class TooFewColumns(Odd):
    def predict_proba(self, matrix):
        return np.ones((len(matrix), 1))


class NotSerialisable(Odd):
    def fit(self, matrix, codes):
        self.lock = threading.Lock()
        return super().fit(matrix, codes)


BAD = {
    Raises: "KeyError: 'no such column'",
    Sleeps: "hangs: it has slept for 1 seconds",
    SleepsDeaf: "hangs: it has slept for 1 seconds",
    Burns: "used up its 0.5 CPU seconds",
    EatsMemory: "more than 2 GiB of memory",
    KillsItsProcess: "ended its process by signal 9",
    Leaves: "ended its process with code 3",
    WrongShape: "an output of shape (21, 2), expected was (20, 2)",
    TooFewColumns: "an output of shape (20, 1), expected was (20, 2)",
    NotSerialisable: "types that are not trusted: _thread.lock",
}


def ends(town):
    return {
        event.data.algorithm: event.data for event in town.cluster.events(TRIALS) if type(event.data) is TrialFinished
    }


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_algorithm_fails_its_trial_and_nothing_else(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(families.FAMILIES, "odd", Family(lambda seed: kind(), {}, prepared=False))
    # On a busy machine a training that computes may wait for the processor for a while.
    asleep = 1.0 if kind in (Sleeps, SleepsDeaf) else 60.0
    monkeypatch.setattr("easeml.automl.trial.confined", partial(confined, asleep=asleep))
    monkeypatch.setattr("easeml.automl.service.CPU_SECONDS", 0.5)
    town = Town(tmp_path, (AlgorithmAnnounced("odd", "odd", "{}", 0.01), TREE))
    town.data()
    town.cluster.run()
    found = ends(town)
    assert found["odd"].outcome is TrialOutcome.FAILED
    assert found["odd"].error.startswith("odd")
    assert BAD[kind] in found["odd"].error
    assert len(found["odd"].error) > 20
    assert found["odd"].cost_seconds >= 0
    assert found["tree"].outcome is TrialOutcome.TRAINED
    assert [e.data.algorithm for e in town.cluster.events(MODELS) if isinstance(e.data, ModelPublished)] == ["tree"]
    assert town.cluster.restarts == 0
    assert not town.cluster.dead_letters(TRIALS)


def test_what_a_process_returns_comes_with_its_cpu_seconds():
    def burn():
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        return np.arange(5)

    value, seconds, fault = confined(burn, (), cpu_seconds=10, memory=2**30)
    assert value.tolist() == [0, 1, 2, 3, 4]
    assert fault is None
    assert 0.1 <= seconds < 10


def test_a_process_that_is_no_longer_wanted_is_stopped(tmp_path):
    stop = tmp_path / "stop"
    timer = threading.Timer(0.2, stop.touch)
    timer.start()
    started = time.monotonic()
    value, _, fault = confined(time.sleep, (600,), cpu_seconds=10, memory=2**30, stop=stop)
    timer.join()
    assert (value, fault) == (None, None)
    assert time.monotonic() - started < 60


def test_native_code_that_never_returns_is_ended_by_the_system(monkeypatch):
    def forever():
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # as good as never returning to the interpreter
        while True:
            pass

    monkeypatch.setattr(sandbox, "_GRACE", 0.0)
    _, seconds, fault = confined(forever, (), cpu_seconds=0.5, memory=2**30)
    assert "ended its process by signal" in fault.message
    assert seconds < 5


def test_garbage_of_the_caller_is_not_collected_by_the_process():
    with lying_about():
        assert confined(gc.collect, (), cpu_seconds=10, memory=2**30).fault is None


# -- superseded and deleted ------------------------------------------------------------------------------------------


def during(monkeypatch, happens):
    """Let something happen to the trainer while the first job runs."""
    kept = confined
    calls = []

    def busy(function, arguments, **limits):
        if not calls:
            calls.append(arguments[0])
            happens()
            return kept(time.sleep, (600,), **limits)
        return kept(function, arguments, **limits)

    monkeypatch.setattr("easeml.automl.trial.confined", busy)
    return calls


def test_a_newer_version_stops_the_trial_it_makes_pointless(tmp_path, monkeypatch):
    town = Town(tmp_path, (TREE,))
    trainer = town.services[1]
    versions = next(line.fold for line in trainer.table() if line.topic.noun == "data-versions")

    def grow():
        town.rows(Pillar.TRAIN, rows(20, 5, "more"), "v2")
        town.version(Pillar.TRAIN, 60, "v2")
        # In a process the fold runs beside the job; here the job has the only thread.
        (*_, event) = town.cluster.events("easeml.data-versions.v1")
        versions(event)

    calls = during(monkeypatch, grow)
    town.data()
    town.cluster.run()
    first = calls[0].trial
    finished = [e.data for e in town.cluster.events(TRIALS) if isinstance(e.data, TrialFinished)]
    assert [(end.trial == first, end.outcome) for end in finished] == [
        (True, TrialOutcome.FAILED),
        (False, TrialOutcome.TRAINED),
    ]
    assert "a newer version than 'v1' made the trial pointless" in finished[0].error
    published = [e.data for e in town.cluster.events(MODELS)]
    assert [(model.data_version, model.metrics["train_rows"]) for model in published] == [("v2", 60.0)]
    assert trainer._running == {}


def test_a_version_that_grew_little_stops_nothing(tmp_path):
    town = Town(tmp_path, (TREE,))
    town.data()
    town.rows(Pillar.TRAIN, rows(5, 5, "more"), "v2")
    town.version(Pillar.TRAIN, 45, "v2")
    town.cluster.run()
    assert [end.outcome for end in ends(town).values()] == [TrialOutcome.TRAINED]


def test_an_app_that_is_deleted_meanwhile_leaves_nothing(tmp_path, monkeypatch):
    town = Town(tmp_path, (TREE,))
    calls = during(monkeypatch, lambda: town.cluster.publish(APPS, AppDeleted("churn")))
    town.data()
    town.cluster.run()
    town.cluster.tick(2)
    assert len(calls) == 1
    assert not ends(town)
    assert not town.cluster.events(MODELS)
    assert town.cluster.restarts == 0
    assert town.services[1]._running == {}
    assert town.services[0]._house.decide() is None


# -- signs of life ---------------------------------------------------------------------------------------------------


def test_a_running_trial_gives_signs_of_life(tmp_path, monkeypatch):
    town = Town(tmp_path, (TREE,))
    seen = []

    def tick():
        # In a process ticks are handled beside the job; here the job has the only thread.
        trainer = town.services[1]
        beat = next(line.handle for line in trainer.table() if line.topic.noun == "ticks")
        (event,) = [e for e in town.cluster.events("easeml.ticks.v1") if e.data.sequence == 0][:1]
        for sequence in range(21):
            data = type(event.data)(sequence, event.time + sequence)
            context = type("Context", (), {"now": event.time + sequence})
            moment = type("Event", (), {"app": "churn", "data": data, "time": event.time + sequence})
            seen.extend(output.data for output in beat(None, moment, context))
        trainer._running["churn"].stop.touch()

    during(monkeypatch, tick)
    town.cluster.tick()
    town.data()
    town.cluster.run()
    assert [type(data) for data in seen] == [TrialProgress] * 3
    assert {(data.trial, data.device) for data in seen} == {
        (event.data.trial, "trainer") for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialAssigned)
    }
    assert [round(data.fraction * 900) for data in seen] == [0, 10, 20]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_trial_that_names_no_limit_has_the_usual_one(limit):
    trial = TrialAssigned("churn", "t", "tree", "decision_tree", "{}", "", 60.0, "v1", 40, 20, cpu_seconds=limit)
    assert cpu_seconds_of(trial) == CPU_SECONDS


def test_an_assignment_that_is_repeated_is_trained_once(tmp_path):
    town = Town(tmp_path, (TREE,), [AutoMLService(), TrainerService((tmp_path / "store").as_uri(), 10_000_000, "d")])
    town.data()
    town.cluster.run()
    (trial,) = [event.data for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialAssigned)]
    town.cluster.publish(TRIALS, trial)
    town.cluster.restart("trainer")
    town.cluster.run()
    assert len(town.cluster.events(MODELS)) == 1
    assert [e.data.device for e in town.cluster.events(TRIALS) if isinstance(e.data, TrialFinished)] == ["d"]
