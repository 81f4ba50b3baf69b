"""Market as a process beside a real broker, DataMagic, the gRPC label service and an oracle that knows the pool."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from easeml.labels.oracle import Oracle
from easeml.relation import Relation
from easeml.stream.payloads import AppDefined, Column, ColumnKind, DataVersion, Pillar
from easeml.stream.topics import (
    ANSWERS,
    APPS,
    BUDGETS,
    DATA_TRAIN,
    DATA_VERSIONS,
    PILLAR_TOPICS,
    QUESTIONS,
    VALUES,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

from house import Said
from street import Street

BUDGET, OWNED, SURE = 16, 20, 50
CLASSES = ("barolo", "grignolino", "barbera")


class Town(Street):
    """The broker and the three services that the pool's loop needs."""

    def start(self, names=("labels", "datamagic", "market")):
        super().start(names)

    def kill(self, name):
        """kill -9, and start again as a supervisor would."""
        os.kill(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].join()
        self.start([name])

    def data(self, topic):
        """Return what was said on a topic, once per event id."""
        return list({event.id: event.data for event in self.events(topic.name)}.values())


@pytest.fixture
def town(tmp_path):
    with Town(tmp_path) as running:
        yield running


def wines():
    wine = load_wine(as_frame=True)
    frame = wine.data.assign(kind=np.array(CLASSES, object)[wine.target])
    mixed = np.random.default_rng(0).permutation(len(frame))
    return frame.iloc[mixed].set_axis([f"wine-{place}" for place in range(len(frame))])


def fill(town, app, frame):
    """Publish 20 training rows, 50 validation rows, and the others as the pool."""
    cuts = {Pillar.TRAIN: frame[:OWNED], Pillar.VALIDATION: frame[OWNED : OWNED + SURE]}
    cuts[Pillar.POOL] = frame[OWNED + SURE :].assign(kind=None)
    town.say([Said(APPS, app, "app")])
    for pillar, part in cuts.items():
        relation = Relation.from_frame(
            part, label="kind", classes=CLASSES, row_ids=tuple(part.index), columns=app.columns
        )
        (batch,) = relation.to_batches(app.app, pillar, "v1")
        version = DataVersion(app.app, pillar, "v1", len(part), relation.content_hash(), "first")
        town.say([Said(PILLAR_TOPICS[pillar], batch, f"rows-{pillar}"), Said(DATA_VERSIONS, version, f"v-{pillar}")])


@pytest.mark.timeout(240)
def test_the_pool_is_asked_until_the_budget_ends_and_a_killed_market_loses_and_doubles_nothing(town):
    frame = wines()
    truth = frame["kind"].to_dict()
    columns = tuple(Column(name, ColumnKind.NUMERIC) for name in frame.columns[:-1])
    fill(town, AppDefined("cellar", "kind", CLASSES, columns, acquisition_budget=BUDGET), frame)
    target = lambda: f"127.0.0.1:{town.run_file('labels')['ports']['labels']}"  # noqa: E731
    with Oracle(target, "cellar", truth) as oracle:
        town.until(lambda: oracle.answered >= 4)
        town.kill("market")
        town.until(lambda: oracle.answered >= BUDGET)
        town.until(lambda: max(v.rows for v in town.data(DATA_VERSIONS) if v.pillar is Pillar.TRAIN) >= OWNED + BUDGET)
        town.until(lambda: any(report.final and report.rows == OWNED + BUDGET for report in town.data(VALUES)))

    for topic in (QUESTIONS, DATA_TRAIN):
        repetitions: dict[bytes, bytes] = {}
        for record in town.raw(topic.name):
            identity = dict(record.headers)["ce_id"]
            assert repetitions.setdefault(identity, record.value) == record.value
    asked = town.data(QUESTIONS)
    assert len({question.row_id for question in asked}) == len(asked) == BUDGET
    assert {question.asked_by for question in asked} == {"market"}
    answers = town.data(ANSWERS)
    assert Counter(answer.question for answer in answers) == Counter(question.question for question in asked)
    acquired = [batch for batch in town.data(DATA_TRAIN) if batch.version == "acquired"]
    assert sorted(row for batch in acquired for row in batch.row_ids) == sorted(question.row_id for question in asked)
    rows = Relation.from_batches(acquired, label="kind").frame()
    assert {row: str(label) for row, label in rows["kind"].items()} == {row: truth[row] for row in rows.index}
    pd.testing.assert_frame_equal(
        rows.drop(columns="kind"), frame.loc[list(rows.index)].drop(columns="kind"), check_index_type=False,
        check_names=False,
    )  # fmt: skip
    assert [budget.spent for budget in town.data(BUDGETS) if budget.asker == "market"][-1] == BUDGET
    last = [report for report in town.data(VALUES) if report.final][-1]
    assert (last.rows, last.pool_rows, last.spent) == (OWNED + BUDGET, len(frame) - OWNED - SURE - BUDGET, BUDGET)
