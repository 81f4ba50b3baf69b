"""``easeml picker replay`` on topics that a picker, its models and an annotator have filled."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

from easeml.errors import ConfigurationError, InvalidDataError, NotFoundError
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    Column,
    ColumnKind,
    ModelRetired,
    Pillar,
    PredictionBatch,
    QuestionKind,
    Verdict,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import ANSWERS, APPS, MODELS, PREDICTIONS, VERDICTS

CLASSES = ("a", "b", "c")
ROWS, STEP = 400, 40
TRUTH = np.random.default_rng(0).integers(3, size=ROWS)
BUDGET = 40


def guesses(accuracy, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(ROWS) < accuracy, TRUTH, (TRUTH + rng.integers(1, 3, size=ROWS)) % 3)


VOTES = {"weak": guesses(0.5, 1), "strong": guesses(0.9, 2), "middling": guesses(0.7, 3)}


def app(name):
    return AppDefined(name, "y", CLASSES, (Column("x", ColumnKind.NUMERIC),), label_budget=BUDGET, horizon=ROWS)


def answered(name, row):
    label = int(TRUTH[row])
    return Answer(
        name,
        str(uuid.uuid4()),
        QuestionKind.LABEL,
        Pillar.PRODUCTION,
        f"r{row}",
        label,
        CLASSES[label],
        "modelpicker",
        1,
    )


def record(cluster):
    """Record an app with three models and 400 predicted rows, of which every fourth is answered; return its name."""
    name = f"picked{uuid.uuid4().hex[:8]}"
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(APPS, app(name))
    with EventPublisher(cluster, "test") as publisher:
        for model in VOTES:
            publisher.publish(VERDICTS, Verdict(name, model, signal=True, guaranteed=True))
        publisher.publish(VERDICTS, Verdict(name, "rejected", signal=False, guaranteed=True))
    with EventPublisher(cluster, "test") as publisher:
        for start in range(0, ROWS, STEP):
            rows = range(start, start + STEP)
            for model, votes in VOTES.items():
                labels = votes[start : start + STEP].astype(np.int32)
                batch = PredictionBatch(name, model, Pillar.PRODUCTION, tuple(f"r{i}" for i in rows), labels)
                publisher.publish(PREDICTIONS, batch)
            for row in rows[::4]:
                publisher.publish(ANSWERS, answered(name, row))
    return name


@pytest.fixture(scope="module")
def recorded(cluster):
    return record(cluster)


@pytest.fixture
def replayed(invoke):
    """Return the objects that a replay prints, by policy."""

    def run(*arguments):
        lines = invoke("picker", "replay", *arguments, as_json=True).stdout.splitlines()
        return {told["policy"]: told for told in map(json.loads, lines)}

    return run


def test_both_policies_are_told_on_what_was_recorded(replayed, recorded):
    told = replayed(recorded)
    assert set(told) == {"portfolio", "modelpicker"}
    for done in told.values():
        assert done["rows"] == ROWS
        assert done["known"] == ROWS // 4
        # whoever asks about a row that nobody answered asks about another one
        assert done["unanswered"] > 0
        assert 0 < done["labels"] <= BUDGET
        assert done["picks"][0]["rows"] == done["picks"][0]["labels"] == 0
        assert done["picks"][-1]["model"] == "strong"
        assert [pick["rows"] for pick in done["picks"]] == sorted(pick["rows"] for pick in done["picks"])
        assert done["accuracy"] > 0.75
    assert replayed(recorded) == told


def test_labels_of_a_file_make_every_question_answered(replayed, recorded, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("row,label\n" + "".join(f"r{i},{CLASSES[label]}\n" for i, label in enumerate(TRUTH)))
    told = replayed(recorded, "--labels", file, "--id-column", "row", "--policy", "portfolio")
    assert list(told) == ["portfolio"]
    done = told["portfolio"]
    assert (done["labels"], done["unanswered"], done["known"]) == (BUDGET, 0, ROWS)
    # what was served can be counted by hand from the picks
    rows = [pick["rows"] for pick in done["picks"]] + [ROWS]
    served = np.concatenate(
        [VOTES[pick["model"]][begin:end] for pick, begin, end in zip(done["picks"], rows, rows[1:], strict=False)]
    )
    assert done["accuracy"] == np.mean(served == TRUTH)
    assert done["combined_accuracy"] > 0.75
    less = replayed(recorded, "--labels", file, "--id-column", "row", "--budget", 10, "--horizon", 200)
    assert less["portfolio"]["labels"] == 10
    assert less["modelpicker"]["labels"] <= 10


def test_retired_models_and_missing_votes_do_not_hold_a_replay_up(replayed, cluster):
    name = record(cluster)
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(MODELS, ModelRetired(name, "strong", "test"))
        rows = tuple(f"late{i}" for i in range(20))
        publisher.publish(PREDICTIONS, PredictionBatch(name, "weak", Pillar.PRODUCTION, rows, np.zeros(20, np.int32)))
        # not a prediction per row: every service gives it up
        publisher.publish(PREDICTIONS, PredictionBatch(name, "weak", Pillar.PRODUCTION, ("z",), np.zeros(2, np.int32)))
    for done in replayed(name).values():
        assert done["rows"] == ROWS + 20
        assert done["refused"] == 1
        assert done["picks"][-1]["model"] != "strong"


def test_people_get_tables(invoke, recorded):
    words = invoke("picker", "replay", recorded).output
    assert "What each policy would have done" in words
    assert "Its picks" in words
    assert words.count("portfolio") >= 2
    assert "strong" in words


def test_what_cannot_be_replayed_is_told(invoke, cluster, recorded, tmp_path):
    with pytest.raises(ConfigurationError, match="no policy 'magic'"):
        invoke("picker", "replay", recorded, "--policy", "magic")
    with pytest.raises(NotFoundError, match="no app 'nobody'"):
        invoke("picker", "replay", "nobody")
    strange = tmp_path / "strange.csv"
    strange.write_text("id,label\nr0,unheard\n")
    with pytest.raises(InvalidDataError, match="'unheard'"):
        invoke("picker", "replay", recorded, "--labels", strange)
    strange.write_text("id,answer\nr0,a\n")
    with pytest.raises(InvalidDataError, match="has no labels"):
        invoke("picker", "replay", recorded, "--labels", strange)
    fresh = f"fresh{uuid.uuid4().hex[:8]}"
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(APPS, app(fresh))
    with pytest.raises(NotFoundError, match="No production rows"):
        invoke("picker", "replay", fresh)
