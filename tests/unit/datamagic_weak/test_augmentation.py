"""Augmentation helps or does nothing, touches the train pillar only, and can be taken back."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from easeml.datamagic.supervision.augmentation import (
    PREFIX,
    SOURCE,
    augment,
    is_synthetic,
    synthetic_rows,
    without_synthetic,
)
from easeml.errors import InvalidDataError
from easeml.relation import Relation, validate_batch
from easeml.stream.payloads import AppDefined, Pillar


def mixed(n=120, rare=0.15, seed=0):
    rng = np.random.default_rng(seed)
    label = np.where(rng.random(n) < rare, "yes", "no")
    shift = np.where(label == "yes", 1.5, 0.0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(shift),
            "count": rng.poisson(3 + shift).astype(float),
            "plan": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "paid": rng.random(n) < 0.5,
            "note": [f"note {i}" for i in range(n)],
            "image": [rng.normal(size=(2, 2)) for _ in range(n)],
        },
        index=[f"r{i}" for i in range(n)],
    ).assign(label=label)
    frame.loc[frame.index[:10], "x"] = np.nan
    return Relation.from_frame(frame, label="label")


def rare_class(n=400):
    rng = np.random.default_rng(0)
    label = np.where(np.arange(n) % 10 == 0, "yes", "no")
    frame = pd.DataFrame({"x": rng.normal(np.where(label == "yes", 1.6, 0.0)), "y": rng.normal(size=n), "label": label})
    return Relation.from_frame(frame, label="label", row_ids=[f"r{i}" for i in range(n)])


def test_rare_class_gains_and_the_rows_can_be_taken_back():
    relation = rare_class()
    result = augment(relation, rng=np.random.default_rng(0), methods=("smote",))
    assert result.chosen == "smote"
    assert result.report.loc["smote", "gain"] > 2 * result.report.loc["smote", "error"] > 0
    assert result.report["accepted"].tolist() == [False, True]
    made = is_synthetic(result.relation)
    assert (
        made.sum() == result.report.loc["smote", "rows"] == (relation.labels == 0).sum() - (relation.labels == 1).sum()
    )
    assert (np.bincount(result.relation.labelled().labels) == (relation.labels == 0).sum()).all()
    assert without_synthetic(result.relation).content_hash() == relation.content_hash()
    tags = result.relation.candidates()
    assert set(tags["source"]) == {SOURCE}
    assert tags["row_id"].tolist() == [row for row in result.relation.row_ids if row.startswith(PREFIX)]
    assert result.relation.entropy().total == 0
    again = augment(result.relation, rng=np.random.default_rng(0), methods=("smote",))
    assert again.relation.content_hash() == result.relation.content_hash()


def test_class_weights_are_preferred_where_they_do_as_well():
    relation = rare_class()
    result = augment(relation, rng=np.random.default_rng(0))
    assert result.chosen == "class_weights"
    assert result.relation is relation
    counts = np.bincount(relation.labels)
    weights = np.array([result.class_weights[name] for name in relation.classes])
    assert np.allclose(weights * counts, len(relation) / 2)


def test_nothing_is_added_where_nothing_helps():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "label": rng.choice(["a", "b"], 200)})
    relation = Relation.from_frame(frame, label="label")
    result = augment(relation, rng=np.random.default_rng(1))
    assert result.chosen == "none"
    assert result.relation is relation
    assert set(result.class_weights.values()) == {1.0}
    assert not result.report.loc["none", "gain"]


def test_rows_without_a_certain_label_stay_and_take_no_part():
    relation = mixed(200, 0.15)
    frame = relation.frame()
    frame.loc[frame.index[:20], "label"] = None
    columns = relation.columns
    partly = Relation.from_frame(frame, label="label", classes=relation.classes, columns=columns)
    doubt = pd.DataFrame({"row_id": "r1", "column": "label", "value": ["no", "yes"], "probability": 0.5})
    partly = partly.merge_candidates(doubt, source="other/1")
    result = augment(partly, rng=np.random.default_rng(0), methods=("noise", "smote"))
    assert without_synthetic(result.relation).content_hash() == partly.content_hash()


@pytest.mark.parametrize("method", ["noise", "smote"])
def test_synthetic_rows_are_valid_rows_of_their_kinds(method):
    world = mixed(80, 0.2).most_probable_world()
    made = synthetic_rows(world, method, np.random.default_rng(0))
    assert made.columns == world.columns
    frame = made.frame()
    assert (frame["count"] == frame["count"].round()).all()
    assert frame["plan"].isin(["a", "b", "c"]).all()
    assert np.shape(frame["image"].iloc[0]) == (2, 2)
    assert frame["note"].str.startswith("note ").all()
    if method == "smote":
        assert frame["x"].between(world.frame()["x"].min(), world.frame()["x"].max()).all()
        assert set(frame["label"]) == {"yes"}
    app = AppDefined("churn", "label", world.classes, world.columns)
    for batch in made.to_batches("churn", Pillar.TRAIN, "v1"):
        validate_batch(batch, app)
    assert made.content_hash() == synthetic_rows(world, method, np.random.default_rng(0)).content_hash()


def test_interpolated_rows_lie_between_rows_of_their_class():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": np.append(rng.normal(size=30), [10.5, 11.25, 12.5]), "y": [0.5] * 33})
    world = Relation.from_frame(frame.assign(label=["a"] * 30 + ["b"] * 3), label="label")
    made = synthetic_rows(world, "smote", rng)
    assert len(made) == 27
    assert made.frame()["x"].between(10.5, 12.5).all()
    lone = world.take(np.arange(31))
    assert set(synthetic_rows(lone, "smote", rng).frame()["x"]) == {10.5}


def test_rows_of_tensors_only_carry_their_prefix():
    images = [np.full((2,), float(i)) + 0.5 for i in range(12)]
    frame = pd.DataFrame({"image": images, "label": ["a"] * 9 + ["b"] * 3})
    made = synthetic_rows(Relation.from_frame(frame, label="label"), "smote", np.random.default_rng(0))
    assert len(made) == 6
    assert is_synthetic(made).all()
    assert not len(made.candidates())


def test_only_the_train_pillar_and_only_labelled_rows():
    for pillar in (Pillar.POOL, Pillar.VALIDATION, Pillar.TEST, Pillar.PRODUCTION):
        with pytest.raises(InvalidDataError, match=f"{pillar} pillar"):
            augment(mixed(20), rng=np.random.default_rng(0), pillar=pillar)
    with pytest.raises(InvalidDataError, match="Fewer than two classes"):
        augment(mixed(20).without_labels(), rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match="features and a label"):
        augment(Relation.from_frame(pd.DataFrame({"x": [1.0]})), rng=np.random.default_rng(0))


def test_progress_and_the_users_own_model_and_metric():
    steps = []
    result = augment(
        mixed(100, 0.3),
        rng=np.random.default_rng(0),
        model=LogisticRegression(C=0.1),
        metric="accuracy",
        folds=3,
        repeats=1,
        progress=lambda done, total, what: steps.append((done, total)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert result.report.index.tolist() == ["none", "class_weights", "noise", "smote"]
