"""CPClean as a process beside a broker and a label service; an oracle answers by gRPC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cleaning_stack import CleaningStack

from easeml.cpclean.cleaning import Cleaning, Material
from easeml.cpclean.service import CPCleanService
from easeml.labels.oracle import Oracle
from easeml.relation import Relation, batch_of
from easeml.relation.arrivals import Arrivals
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import AppDefined, Column, ColumnKind, Pillar
from easeml.stream.topics import (
    ANSWERS,
    APPS,
    CANDIDATES,
    CLEANING,
    DATA_TRAIN,
    DATA_VALIDATION,
    QUESTIONS,
)

COLUMNS = (
    Column("length", ColumnKind.NUMERIC),
    Column("weight", ColumnKind.NUMERIC),
    Column("water", ColumnKind.CATEGORICAL, ("lake", "river", "sea")),
)
APP = AppDefined("pond", "kind", ("carp", "perch", "pike"), COLUMNS, cleaning_budget=500)
SOURCE = "guesses@1"


def fish(count, prefix, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=count)
    frame = pd.DataFrame({"length": 2.0 * codes + rng.normal(size=count), "weight": codes + rng.normal(size=count)})
    frame = frame.round(3)
    frame["water"] = np.array(COLUMNS[2].categories, object)[np.where(rng.random(count) < 0.7, codes, 0)]
    frame["kind"] = np.array(APP.classes, object)[codes]
    return frame.set_axis([f"{prefix}{place:03}" for place in range(count)])


def relation(frame):
    return Relation.from_frame(frame, label=APP.label, classes=APP.classes, columns=COLUMNS, row_ids=tuple(frame.index))


def doubts(frame):
    """Return candidates for a third of the cells; one in ten leaves the true value out."""
    rng = np.random.default_rng(5)
    lines = []
    for row in frame.index:
        for column in (*(own.name for own in COLUMNS), APP.label):
            if rng.random() < 0.33:
                values = sorted({*rng.choice(frame[column].to_numpy(object), 3).tolist()} - {frame.loc[row, column]})
                values += [frame.loc[row, column]] if rng.random() < 0.9 or column == APP.label else []
                lines += [(row, column, value, 1 / len(values)) for value in values]
    return pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"])


TRUTH = fish(60, "t", 1)
VALIDATION = fish(80, "v", 2)
PROPOSED = relation(TRUTH).merge_candidates(doubts(TRUTH), source=SOURCE)
CELLS = {(row, own.name): str(TRUTH.loc[row, own.name]) for row in TRUTH.index for own in COLUMNS}


def say(publish):
    publish(APPS, APP)
    for pillar, topic, frame in (
        (Pillar.TRAIN, DATA_TRAIN, TRUTH),
        (Pillar.VALIDATION, DATA_VALIDATION, VALIDATION),
    ):
        for batch in relation(frame).to_batches(APP.app, pillar, "v1"):
            publish(topic, batch)
    for batch in batch_of(PROPOSED, SOURCE, APP.app, Pillar.TRAIN):
        publish(CANDIDATES, batch)


def undisturbed(answers):
    """Return what is asked and the last report in a life without kills in which the same answers come."""
    cluster = MemoryCluster([CPCleanService()])
    say(cluster.publish)
    cluster.tick()
    for answer in answers:
        cluster.publish(ANSWERS, answer)
        cluster.run()
    cluster.tick()
    return [event.data for event in cluster.events(QUESTIONS)], cluster.events(CLEANING)[-1].data


@pytest.fixture
def stack(tmp_path):
    with CleaningStack(tmp_path) as stack:
        say(stack.publish)
        stack.spawn_cleaning()
        stack.start()
        yield stack


def test_a_kill_amid_cleaning_changes_nothing_and_the_end_is_that_of_the_true_values(stack):
    with Oracle(stack.target, APP.app, TRUTH["kind"].to_dict(), cells=CELLS) as oracle:
        stack.until(lambda: oracle.answered >= 12)
        stack.kill_cleaning()
        stack.spawn_cleaning()
        stack.until(stack.cleaning)
        stack.until(stack.done)
    answers = once(stack.events(ANSWERS))
    asked = once(stack.events(QUESTIONS))
    report = stack.events(CLEANING)[-1].data
    expected, last = undisturbed(answers)
    assert [str(one) for one in asked] == [str(one) for one in expected]
    assert (report.certain, report.outside, report.entropy) == (80, last.outside, 0.0)
    assert oracle.skipped == 0
    assert last.outside > 0
    assert 20 < len(answers) < 0.7 * len(doubts(TRUTH)[["row_id", "column"]].drop_duplicates())
    predicted_as_by_the_truth(stack)


def once(events):
    """Return the payloads of events, each once."""
    return list({event.id: event.data for event in events}.values())


def predicted_as_by_the_truth(stack):
    """Hold what the topics say about the rows to the true rows: the same predictions, and none that is uncertain."""
    view = Arrivals()
    for topic in (DATA_TRAIN, CANDIDATES, ANSWERS):
        for event in stack.events(topic):
            view.add(event.id, event.data)
    cleaned = view.relation(APP)
    assert cleaned.entropy().total > 0, "not every cell had to be told"
    ends = [
        Cleaning(Material(train, PROPOSED, (), relation(VALIDATION)))._predictions
        for train in (cleaned, relation(TRUTH))
    ]
    assert ends[0].done
    np.testing.assert_array_equal(ends[0].label_mass, ends[1].label_mass)
