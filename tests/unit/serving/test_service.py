import hashlib

import numpy as np
import pytest
from automl.conftest import CLASSES, COLUMNS, rows

from easeml.artifacts import Classifier, load
from easeml.errors import UnavailableError
from easeml.serving.live import Scored
from easeml.serving.service import FAILURES, LOOKBACK, predictions
from easeml.stream import codec
from easeml.stream.payloads import (
    AppDefined,
    AppDeleted,
    Column,
    ColumnKind,
    ModelPicked,
    ModelRetired,
    Pillar,
    TrialFinished,
    Verdict,
)
from easeml.stream.topics import APPS, DATA_PRODUCTION, DATA_TEST, MODELS, PICKS, TRIALS, VERDICTS

from .conftest import Harbour


def test_from_data_to_predictions(tmp_path):
    harbour = Harbour(tmp_path, with_training=True)
    harbour.data()
    harbour.test_rows(30)
    harbour.cluster.run()
    harbour.production(20)
    harbour.cluster.run()
    models = [event.data.model for event in harbour.cluster.events(MODELS)]
    assert len(models) == 2
    truth = {name: CLASSES.index(label) for name, label in rows(30, 3, "e")["label"].items()}
    for model in models:
        found = harbour.predicted(model, Pillar.TEST)
        assert found.keys() == truth.keys()
        assert np.mean([found[name] == truth[name] for name in truth]) >= 0.8
        assert len(harbour.predicted(model, Pillar.PRODUCTION)) == 20
    ends = [event.data for event in harbour.cluster.events(TRIALS) if isinstance(event.data, TrialFinished)]
    assert [end.model for end in ends] == models
    assert not harbour.letters()


def test_predictions_are_those_of_the_file(harbour):
    published = harbour.publish_model()
    harbour.test_rows(5)
    harbour.cluster.run()
    (batch,) = harbour.predictions()
    classifier = load(harbour.store.get(published.uri, published.sha256))
    frame = rows(5, 3, "e")
    expected = classifier.predict_proba(frame)
    np.testing.assert_allclose(batch.probabilities.reshape(5, 3), expected, atol=1e-6)
    np.testing.assert_array_equal(batch.labels, expected.argmax(axis=1))
    assert batch.probabilities.dtype == np.float32
    assert batch.labels.dtype == np.int32


@pytest.mark.parametrize("model_first", [True, False])
def test_model_and_rows_may_come_in_any_order(harbour, model_first):
    def rows_come():
        harbour.test_rows(7)
        harbour.production(6)
        harbour.cluster.run()

    if not model_first:
        rows_come()
    harbour.publish_model()
    if model_first:
        rows_come()
    assert len(harbour.predicted("m1", Pillar.TEST)) == 7
    assert len(harbour.predicted("m1", Pillar.PRODUCTION)) == 6
    assert len(harbour.predictions()) == 2


def test_a_new_model_is_shown_the_last_production_rows(harbour):
    for part in range(5):
        harbour.production(LOOKBACK * 3 // 10, part, f"p{part}-")
    harbour.cluster.run()
    harbour.publish_model()
    found = harbour.predicted("m1", Pillar.PRODUCTION)
    assert len(found) == LOOKBACK
    assert "p4-599" in found
    assert "p1-400" in found
    assert "p1-399" not in found


def test_a_new_model_is_shown_many_small_batches_at_once(harbour):
    for row in range(30):
        harbour.production(1, row, f"p{row}-")
    harbour.production(3, 2, "p2-")  # one of them repeats a row, under its name
    harbour.cluster.run()
    harbour.publish_model()
    assert [len(batch.row_ids) for batch in harbour.predictions()] == [30, 3]
    assert not harbour.letters()


def test_the_same_model_again_says_nothing_new(harbour):
    harbour.test_rows(3)
    harbour.publish_model()
    harbour.publish_model()
    assert len(harbour.predictions()) == 1


def test_a_model_that_did_not_pass_is_scored_no_more(harbour):
    for name in ("passed", "failed", "baseline"):
        harbour.publish_model(name)
    harbour.cluster.publish(VERDICTS, Verdict("churn", "passed", True, True))
    harbour.cluster.publish(VERDICTS, Verdict("churn", "failed", False, True))
    harbour.cluster.publish(VERDICTS, Verdict("churn", "baseline", False, False))
    harbour.cluster.run()
    harbour.test_rows(3)
    harbour.cluster.run()
    assert {batch.model for batch in harbour.predictions()} == {"passed", "baseline"}


def test_another_file_under_a_published_name_is_refused(harbour):
    harbour.test_rows(3)
    harbour.publish_model()
    before = harbour.cluster.state("serving", "churn").models["m1"].sha256
    harbour.publish_model(classifier=harbour.classifier("lda"))
    assert harbour.letters() == ["conflict"]
    assert harbour.cluster.state("serving", "churn").models["m1"].sha256 == before
    assert len(harbour.predictions()) == 1


def test_retired_and_external_models_are_not_asked(harbour):
    harbour.publish_model("m1")
    harbour.publish_model("m2")
    harbour.publish_model("theirs", uri="", sha256="", size=0, format="external")
    harbour.cluster.publish(MODELS, ModelRetired("churn", "m1", "old"))
    harbour.cluster.run()
    harbour.test_rows(3)
    harbour.cluster.run()
    assert {batch.model for batch in harbour.predictions()} == {"m2"}
    assert not harbour.letters()


@pytest.mark.parametrize(
    ("topic", "gone"),
    [
        (MODELS, ModelRetired("churn", "m1", "old")),
        (VERDICTS, Verdict("churn", "m1", False, True, "m2")),
        (APPS, AppDeleted("churn")),
    ],
    ids=["retired", "failed", "of a deleted app"],
)
def test_models_that_are_asked_no_more_leave_the_memory(harbour, topic, gone):
    kept = harbour.publish_model("m2")
    harbour.publish_model("m1", harbour.classifier("lda"))
    harbour.cluster.publish(topic, gone)
    harbour.cluster.run()
    live = [] if topic is APPS else [kept.uri]
    assert [uri for uri, _, _ in harbour.serving.live._loaded] == live
    assert harbour.serving.live.held == (kept.size if live else 0)


def changed_byte(harbour, published):
    path = harbour.store._path(published.uri)
    with open(path, "r+b") as file:
        file.seek(30)
        byte = file.read(1)
        file.seek(30)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "0" * 64}, "artifact"),
        ({"size": 1}, "artifact"),
        ({"uri": "file:///etc/passwd"}, "artifact"),
        ({"uri": "http://127.0.0.1/model"}, "artifact"),
        ({"format": "onnx"}, "artifact"),
        ({"format": "pickle"}, "artifact"),
        ({"columns": ("colour", "x")}, "artifact"),
        ({"columns": ("x",)}, "artifact"),
        ({"columns": ("x", "height")}, "signature"),
        ({"columns": ()}, "signature"),
        ({"classes": ("no", "yes")}, "artifact"),
        ({"classes": ("no", "yes", "else")}, "signature"),
    ],
)
def test_a_model_that_is_not_what_was_announced_never_gets_in(harbour, changes, reason):
    harbour.test_rows(3)
    harbour.publish_model(**changes)
    assert harbour.letters(MODELS) == [reason]
    assert not harbour.predictions()
    harbour.publish_model("good")
    assert len(harbour.predictions("good")) == 1


def test_a_changed_file_is_an_artifact_dead_letter(harbour):
    published = harbour.model()
    changed_byte(harbour, published)
    harbour.cluster.publish(MODELS, published)
    harbour.cluster.run()
    assert harbour.letters() == ["artifact"]


def test_a_file_that_is_no_model_is_an_artifact_dead_letter(harbour):
    stored = harbour.store.put(b"not a model")
    harbour.publish_model(uri=stored.uri, sha256=hashlib.sha256(b"not a model").hexdigest(), size=stored.size)
    assert harbour.letters() == ["artifact"]


def broken(monkeypatch, names):
    """Let the models of these families raise while predicting."""
    whole = Classifier.predict_proba

    def predict_proba(self, frame, encoded=None):
        if type(self.estimator).__name__ in names:
            raise RuntimeError("this model is broken")
        return whole(self, frame, encoded)

    monkeypatch.setattr(Classifier, "predict_proba", predict_proba)


def test_a_failing_model_is_left_out_then_retired(harbour, monkeypatch):
    harbour.publish_model("good")
    harbour.publish_model("bad", harbour.classifier("lda"))
    broken(monkeypatch, {"LinearDiscriminantAnalysis"})
    for part in range(FAILURES):
        harbour.production(4, part, f"p{part}-")
        harbour.cluster.run()
    assert len(harbour.predictions("good")) == FAILURES
    assert not harbour.predictions("bad")
    (retired,) = [event.data for event in harbour.cluster.events(MODELS) if isinstance(event.data, ModelRetired)]
    assert retired.model == "bad"
    assert "this model is broken" in retired.reason
    assert list(harbour.cluster.state("serving", "churn").models) == ["good"]
    assert not harbour.letters()


def test_failures_that_are_not_in_a_row_are_forgiven(harbour, monkeypatch):
    harbour.publish_model("good")
    harbour.publish_model("bad", harbour.classifier("lda"))
    for part in range(2 * FAILURES):
        with monkeypatch.context() as patch:
            if part % 2:
                broken(patch, {"LinearDiscriminantAnalysis"})
            harbour.production(4, part, f"p{part}-")
            harbour.cluster.run()
    assert "bad" in harbour.cluster.state("serving", "churn").models
    assert len(harbour.predictions("bad")) == FAILURES


def test_a_batch_on_which_every_model_fails_is_dead_lettered(harbour, monkeypatch):
    harbour.publish_model("one")
    harbour.publish_model("two", harbour.classifier("lda"))
    with monkeypatch.context() as patch:
        broken(patch, {"LinearDiscriminantAnalysis", "LogisticRegression"})
        harbour.production(4)
        harbour.cluster.run()
    assert harbour.letters() == ["prediction"]
    assert "this model is broken" in harbour.cluster.dead_letters(DATA_PRODUCTION)[0].message
    harbour.production(4, 9, "q")
    harbour.cluster.run()
    assert len(harbour.predictions()) == 2


def test_a_model_that_fails_on_the_backlog_does_not_join(harbour, monkeypatch):
    harbour.test_rows(4)
    published = harbour.model()
    broken(monkeypatch, {"LogisticRegression"})
    harbour.cluster.publish(MODELS, published)
    harbour.cluster.run()
    assert harbour.letters() == ["prediction"]
    assert not harbour.cluster.state("serving", "churn").models
    assert not harbour.serving.live.held


def test_a_store_that_is_away_is_waited_for(harbour, monkeypatch):
    published = harbour.model()
    harbour.test_rows(4)
    with monkeypatch.context() as patch:
        patch.setattr(type(harbour.store), "get", lambda *_: (_ for _ in ()).throw(UnavailableError("away")))
        harbour.cluster.publish(MODELS, published)
        harbour.cluster.run()
        assert not harbour.predictions()
        assert not harbour.letters()
    harbour.cluster.run()
    assert len(harbour.predictions("m1")) == 1


def test_rows_that_do_not_fit_the_app_are_dead_lettered(harbour):
    wrong = (Column("x", ColumnKind.NUMERIC), Column("size", ColumnKind.NUMERIC))
    for batch in harbour.batches(Pillar.TEST, rows(5, 1, "w").drop(columns="colour").assign(size=1.0), columns=wrong):
        harbour.cluster.publish(DATA_TEST, batch)
    harbour.test_rows(4)
    harbour.cluster.run()
    harbour.publish_model()
    assert harbour.letters() == ["unknown_column"]
    assert len(harbour.predicted("m1", Pillar.TEST)) == 4


def test_missing_and_unseen_values_are_predicted(harbour):
    harbour.publish_model()
    frame = rows(6, 1, "n")
    frame["x"] = np.nan
    frame["colour"] = None
    harbour.rows(Pillar.PRODUCTION, frame)
    harbour.cluster.run()
    (batch,) = harbour.predictions()
    assert np.isfinite(batch.probabilities).all()


def test_a_restart_keeps_models_pick_and_backlog(harbour):
    harbour.publish_model()
    harbour.test_rows(4)
    harbour.production(5)
    harbour.cluster.publish(PICKS, ModelPicked("churn", "m1", 3, 5, False, 1, {"m1": 1.0}))
    harbour.cluster.run()
    before = harbour.serving.pack(harbour.cluster.state("serving", "churn"))
    harbour.cluster.restart("serving")
    assert harbour.serving.pack(harbour.cluster.state("serving", "churn")) == before
    assert harbour.serving.states["churn"].pick["model"] == "m1"
    assert harbour.serving.states["churn"].columns == COLUMNS
    count = len(harbour.predictions())
    harbour.cluster.run()
    assert len(harbour.predictions()) == count
    harbour.publish_model("m2", harbour.classifier("lda"))
    assert len(harbour.predicted("m2", Pillar.TEST)) == 4
    assert len(harbour.predicted("m2", Pillar.PRODUCTION)) == 5


def test_a_model_of_other_class_order_speaks_the_apps_codes(harbour):
    turned = ("maybe", "yes", "no")
    harbour.publish_model("turned", harbour.classifier(classes=turned))
    harbour.publish_model("plain")
    harbour.test_rows(20)
    harbour.cluster.run()
    assert harbour.predicted("turned", Pillar.TEST) == harbour.predicted("plain", Pillar.TEST)
    (batch,) = harbour.predictions("turned")
    np.testing.assert_array_equal(batch.probabilities.reshape(20, 3).argmax(axis=1), batch.labels)


def test_a_class_that_the_app_drops_costs_the_model_its_place(harbour):
    harbour.publish_model()
    harbour.publish_model("two", harbour.classifier(classes=("no", "yes")))
    harbour.cluster.publish(APPS, AppDefined("churn", "label", ("no", "yes"), COLUMNS))
    for part in range(FAILURES):
        harbour.production(3, part, f"p{part}-")
        harbour.cluster.run()
    assert list(harbour.cluster.state("serving", "churn").models) == ["two"]


def test_an_app_that_is_forgotten_leaves_nothing(harbour):
    harbour.publish_model()
    harbour.test_rows(3)
    harbour.cluster.run()
    harbour.serving.forget("churn")
    assert not harbour.serving.states
    assert not harbour.serving._backlogs


@pytest.mark.parametrize(("count", "classes", "length"), [(2500, 3, 8), (1000, 500, 30), (3, 200_000, 8), (1, 2, 5)])
def test_prediction_messages_stay_small(count, classes, length):
    ids = [f"{i:0{length}d}" for i in range(count)]
    scored = Scored(np.zeros(count, np.int32), np.full((count, classes), 1 / classes, np.float32))
    batches = [output.data for output in predictions("churn", "m", Pillar.TEST, ids, scored)]
    assert [name for batch in batches for name in batch.row_ids] == ids
    assert sum(len(batch.labels) for batch in batches) == count
    for batch in batches:
        assert len(batch.row_ids) <= 1000
        assert len(codec.encode(batch)) <= 900_000
