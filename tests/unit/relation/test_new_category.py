"""A category that only an answer names goes through everything that learns from rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml import snoopy
from easeml.advisor.shift import drifted
from easeml.artifacts import Encoder
from easeml.automl.training import train
from easeml.automl.trial import labelled
from easeml.cpclean.encoding import Encoding
from easeml.datamagic.cleaning.repairs import RepairModel
from easeml.relation import Relation, batch_of
from easeml.relation.answers import as_defined
from easeml.relation.arrivals import Arrivals
from easeml.repairing import SOURCE, proposal
from easeml.snoopy.following import Following
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar, QuestionKind

COLUMNS = (
    Column("city", ColumnKind.CATEGORICAL, ("Zug", "Bern")),
    Column("size", ColumnKind.NUMERIC),
    Column("width", ColumnKind.NUMERIC),
)
APP = AppDefined("shop", "bought", ("no", "yes"), COLUMNS)


def rows(pillar, count, seed):
    rng = np.random.default_rng(seed)
    size = rng.normal(size=count)
    frame = pd.DataFrame(
        {
            "city": rng.choice(np.array(["Zug", "Bern", None], object), count),
            "size": size,
            "width": np.where(rng.random(count) < 0.2, np.nan, 2 * size),
            "bought": np.where(size > 0, "yes", "no"),
        }
    )
    ids = tuple(f"{pillar}-{place}" for place in range(count))
    relation = Relation.from_frame(frame, label="bought", classes=APP.classes, columns=COLUMNS, row_ids=ids)
    arrivals = Arrivals()
    arrivals.add(f"rows of {pillar}", next(iter(relation.to_batches("shop", pillar, "v1"))))
    return arrivals


def answer(place, text):
    return Answer(
        "shop", f"q{place}", QuestionKind.CELL, Pillar.TRAIN, f"train-{place}", -2, text, "cpclean", 1, "city"
    )


@pytest.fixture(scope="module")
def pillars():
    """Training rows before and after answers, and validation rows."""
    train_rows, validation = rows(Pillar.TRAIN, 120, 0), rows(Pillar.VALIDATION, 40, 1)
    before = train_rows.relation(APP)
    for place in range(0, 40, 2):
        train_rows.add(f"answer {place}", answer(place, "Uri" if place % 4 else "Aarau"))
    return before, train_rows.relation(APP), validation.relation(APP)


def test_it_is_one_of_the_columns(pillars):
    before, after, _ = pillars
    assert before.columns == COLUMNS
    assert after.columns[0].categories == ("Zug", "Bern", "Aarau", "Uri")
    assert after.frame()["city"].tolist()[:3:2] == ["Aarau", "Uri"]


@pytest.mark.parametrize("family", ["logistic", "boosting"])
def test_models_train_on_it(pillars, family):
    _, after, validation = pillars
    trained = train(
        *labelled(after), *labelled(validation), columns=APP.columns, classes=APP.classes, family=family,
        parameters="{}", seed=0, clock=lambda: 0.0,
    )  # fmt: skip
    assert trained.accuracy > 0.8


def test_encoders_know_it_from_the_training_rows(pillars):
    before, after, validation = pillars
    encoder = Encoder().fit(after.features(), COLUMNS)
    assert sorted(encoder.categories["city"]) == ["Aarau", "Bern", "Uri", "Zug"]
    assert encoder.transform(validation.features()).shape == (40, encoder.width)
    early = Encoding(before)
    row = after.take(np.array([0]))
    assert early.rows(row).train.features.shape[1] == early.points(validation).points.shape[1]
    late = Encoding(after)
    assert late.rows(row).train.features.shape[1] == 2 + early.rows(row).train.features.shape[1]


def test_studies_and_drift_take_it_over(pillars):
    before, after, validation = pillars
    following = Following(seed=0)
    following.follow(before)
    following.follow(after)
    assert snoopy.Encoding.of(after).rows(after)[0].numbers.shape[0] == 120
    assert drifted(after.features(), validation.features(), COLUMNS, alpha=1.0)


def test_repairs_do_not_propose_it(pillars):
    _, after, validation = pillars
    known = as_defined(after, COLUMNS)
    assert as_defined(known, COLUMNS) is known
    assert known.columns == COLUMNS
    assert known.frame()["city"].isna().tolist()[:3:2] == [True, True]
    model = RepairModel(max_candidates=4).fit(known, rng=np.random.default_rng(0))
    for relation in (after, validation):
        proposed, cells = proposal(model, relation)
        assert cells
        assert batch_of(proposed, SOURCE, "shop", Pillar.TRAIN, max_bytes=900_000)
        values = proposed.candidates().query("column == 'city'")["value"]
        assert {*values} == {"Zug", "Bern"}
