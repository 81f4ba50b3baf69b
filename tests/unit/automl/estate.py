"""Many apps with one scheduler; the tests are the trainers and say how trials end."""

from __future__ import annotations

import math

from easeml.automl.service import AutoMLService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    Column,
    ColumnKind,
    DataVersion,
    Pillar,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    TrialRequested,
)
from easeml.stream.topics import ALGORITHMS, APPS, DATA_VERSIONS, TRIALS, partition_of

COLUMNS = (Column("x", ColumnKind.NUMERIC),)


class Estate:
    """A memory cluster with the scheduler alone.

    Parameters
    ----------
    apps : iterable of str
        Names.
    algorithms : mapping of str to float
        Cost hints.
    devices : int
        Trainers; partition p belongs to device p modulo them.
    options
        Of the MemoryCluster.
    """

    def __init__(self, apps, algorithms, devices=1, partitions=4, **options):
        self.service = AutoMLService()
        self.cluster = MemoryCluster([self.service], partitions=partitions, **options)
        self.partitions, self.devices = partitions, devices
        self.apps = list(apps)
        self.announce(algorithms)
        for app in self.apps:
            self.define(app)

    def define(self, app, priority=1.0):
        self.cluster.publish(APPS, AppDefined(app, "label", ("no", "yes"), COLUMNS, priority=priority))

    def announce(self, algorithms):
        for name, cost in algorithms.items():
            self.cluster.publish(ALGORITHMS, AlgorithmAnnounced(name, "logistic", "{}", cost), time=self.cluster.now)
            self.cluster.now += 0.001

    def version(self, app, train=40, name="v1"):
        for pillar, rows in ((Pillar.TRAIN, train), (Pillar.VALIDATION, 20)):
            self.cluster.publish(DATA_VERSIONS, DataVersion(app, pillar, name, rows, "0" * 64, "test"))

    def data(self):
        for app in self.apps:
            self.version(app)
        self.cluster.run()

    # -- what happened -------------------------------------------------------------------------------------------

    def said(self, kind):
        """Return events of a payload type, repetitions under the same id once."""
        events = {e.id: e for e in self.cluster.events(TRIALS) if isinstance(e.data, kind)}
        return list(events.values())

    def assigned(self):
        return [event.data for event in self.said(TrialAssigned)]

    def requests(self):
        return [event.data for event in self.said(TrialRequested)]

    def open(self):
        """Return trials that nobody ended yet, in the order of assignment."""
        over = {event.data.trial for event in self.said(TrialFinished)}
        return list({trial.trial: trial for trial in self.assigned() if trial.trial not in over}.values())

    def device(self, app):
        return f"device{partition_of(app, self.partitions) % self.devices}"

    # -- trainers ------------------------------------------------------------------------------------------------

    def end(self, trial, quality, cost=0.1):
        """End a trial; a quality of None is a failure."""
        failed = quality is None
        outcome = TrialOutcome.FAILED if failed else TrialOutcome.TRAINED
        self.cluster.publish(
            TRIALS,
            TrialFinished(
                trial.app,
                trial.trial,
                trial.algorithm,
                outcome,
                math.nan if failed else quality,
                cost,
                None if failed else f"m-{trial.trial}",
                "it failed" if failed else None,
                self.device(trial.app),
            ),
        )

    def work(self, quality, cost=lambda _: 0.1):
        """Train trial after trial, oldest first, until none is left; return them."""
        done = []
        while trials := self.open():
            assert len(done) < 1000
            done.append(trials[0])
            self.end(trials[0], quality(trials[0]), cost(trials[0]))
            self.cluster.run()
        return done

    def tasks(self):
        """Return what the scheduler counts: tenant -> (algorithm, quality) of its finished runs, in order."""
        scheduler = self.service._house._up_to_date()._scheduler
        names = scheduler.algorithms
        return {
            app: [(names[run[0]], run[1]) for run in tenant["runs"]]
            for app, tenant in scheduler.state()["tenants"].items()
        }
