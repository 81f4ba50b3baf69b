"""Verbs against a real broker: what people and programs read."""

from __future__ import annotations

import json
import logging
import uuid

import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Producer

from easeml.client import Client
from easeml.errors import BudgetExhaustedError, InvalidDataError, NotFoundError
from easeml.stream.payloads import (
    Advice,
    AdviceAction,
    AdvicePhase,
    AdviceStep,
    DataVersion,
    ModelPublished,
    Pillar,
    TestSetNeeded,
    Verdict,
)
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import ADVICE, APPS, DATA_VERSIONS, MODELS, TESTSETS, VERDICTS, partition_of


@pytest.fixture
def easeml(invoke):
    """Run a verb and return what it printed; ``as_json=True`` returns its lines as objects."""

    def run(*arguments, as_json=False):
        shown = invoke(*arguments, as_json=as_json)
        return [json.loads(line) for line in shown.stdout.splitlines()] if as_json else shown.output

    return run


@pytest.fixture
def name():
    return f"app-{uuid.uuid4().hex[:8]}"


def frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=rows).round(6)
    return pd.DataFrame(
        {"x": x, "plan": np.where(rng.random(rows) > 0.5, "pro", "basic"), "kind": np.where(x > 0, "a", "b")}
    )


def model(app: str, name: str) -> ModelPublished:
    return ModelPublished(app, name, "logistic", "", "", 0, "external", (), (), "v", "external")


def needed(app: str) -> TestSetNeeded:
    return TestSetNeeded(app, 2, 500, "Test set 1 is used up (steps_exhausted); publish fresh labelled test rows.")


@pytest.fixture
def lived(cluster, name):
    """An app that was deleted, came back, and whose models wait."""
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        client.create_app(name, label="kind")
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(MODELS, model(name, "former"))
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        client.delete_app(name)
        client.create_app(name, label="kind", steps=2)
    with EventPublisher(cluster, "test") as publisher:
        publisher.publish(DATA_VERSIONS, DataVersion(name, Pillar.TEST, "v", 9, "", "", ()))
        publisher.publish(MODELS, model(name, "m1"))
        publisher.publish(VERDICTS, Verdict(name, "m1", True, True))
        publisher.publish(TESTSETS, needed(name))
        publisher.publish(MODELS, model(name, "m2"))
    return name


def test_watch_tells_one_life_in_the_order_it_was_lived(easeml, lived):
    lines = [line.split(lived, 1)[1].strip() for line in easeml("watch", lived, "--once").splitlines()]
    assert [line.split("  ")[0] for line in lines] == [
        "app defined", "data published", "model", "passed", "test set needed", "model",
    ]  # fmt: skip
    told = easeml("watch", lived, "--once", as_json=True)
    assert [one["type"].rpartition(".")[2] for one in told] == [
        "AppDefined", "DataVersion", "ModelPublished", "Verdict", "TestSetNeeded", "ModelPublished",
    ]  # fmt: skip
    assert [one["recorded"] for one in told] == sorted(one["recorded"] for one in told)


def test_models_that_wait_are_named(easeml, lived):
    text = "1 model waits for a new test set of 500 rows"
    found = {row["subject"]: row for row in easeml("doctor", as_json=True)}
    assert found[f"app {lived}"]["state"] == "waits"
    assert found[f"app {lived}"]["finding"].startswith(text)
    assert {"state", "subject", "finding"} == found["python"].keys()
    waiting = next(row for row in easeml("status", as_json=True) if row.get("app") == lived)
    assert (waiting["models"], waiting["rows"]) == (1, 500)
    assert text in easeml("status")


def test_garbage_does_not_disturb_what_is_read(easeml, cluster, lived, caplog):
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for topic in (APPS.name, MODELS.name):
        producer.produce(topic, b"garbage", lived.encode(), partition_of(lived, 4))
    producer.flush()
    with caplog.at_level(logging.INFO):
        assert easeml("apps", "show", lived, as_json=True)[0]["app"] == lived
        easeml("watch", lived, "--once")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    messages = next(row for row in easeml("doctor", as_json=True) if row["subject"] == "messages")
    assert "cannot be read" in messages["finding"]


def test_objects_for_programs(easeml, lived):
    (shown,) = easeml("apps", "show", lived, as_json=True)
    assert (shown["label"], shown["steps"], shown["columns"]) == ("kind", 2, [])
    assert all(isinstance(row["end_offsets"], int) for row in easeml("topics", as_json=True))


def test_a_delete_that_misses_does_not_advise_to_create(easeml):
    with pytest.raises(NotFoundError) as caught:
        easeml("apps", "delete", "nosuch")
    assert "Create" not in caught.value.mend


def test_publishing_tells_what_was_fixed_and_what_is_new(easeml, name, tmp_path):
    file = tmp_path / "rows.csv"
    frame().to_csv(file, index=False)
    created = easeml("apps", "create", name, "--label", "kind", "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
    assert "rows in all" in created
    first = easeml("publish", name, str(file))
    assert "Published version" in first
    assert "numeric     x" in first
    assert "categorical plan (2 values)" in first
    assert "label       kind: a, b" in first
    second = easeml("publish", name, str(file))
    assert "Already there, nothing new" in second
    assert "numeric" not in second
    (again,) = easeml("publish", name, str(file), as_json=True)
    assert again["new"] is False


def test_a_new_app_tells_its_plan_and_one_that_cannot_be_paid_is_refused(easeml, name):
    options = ("--label", "kind", "--condition", "n > 0.5 +/- 0.2", "--steps", "2", "--passes", "1")
    with pytest.raises(BudgetExhaustedError) as caught:
        easeml("apps", "create", name, *options, "--test-label-budget", "2")
    assert "--test-label-budget" in caught.value.mend
    scores = ("--meter", "--score", "a:b=0.5")
    told = easeml("apps", "create", name, *options, *scores, "--test-label-budget", "200")
    assert "at most" in told
    assert "How many labels are needed?" in told
    assert "Why so many?" in told
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert shown["scores"] == [{"label": "a", "prediction": "b", "worth": 0.5}]
    assert (shown["passes"], shown["meter"], shown["test_label_budget"]) == (1, True, 200)
    easeml("apps", "update", name, "--no-meter", "--passes", "2", "--test-label-budget", "300")
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert (shown["passes"], shown["meter"], shown["test_label_budget"]) == (2, False, 300)


def test_errors_and_warnings_name_the_line(easeml, name, tmp_path):
    file, odd = tmp_path / "rows.csv", tmp_path / "production.csv"
    frame().to_csv(file, index=False)
    easeml("apps", "create", name, "--label", "kind", "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
    broken = frame().astype({"x": object})
    broken.loc[100, "x"] = "oops"
    broken.to_csv(odd, index=False)
    with pytest.raises(InvalidDataError, match=r"line 102, column x: 'oops' is not a numeric value"):
        easeml("publish", name, str(odd), "--strict")
    easeml("publish", name, str(file))
    unseen = frame(20)
    unseen.loc[3, "plan"] = "gold"
    unseen.drop(columns="kind").to_csv(odd, index=False)
    said = " ".join(easeml("publish", name, str(odd), "--pillar", "production").split())
    assert "1 value is unknown to the app and taken for missing, first line 5, column plan: 'gold'" in said
    easeml("apps", "update", name, "--add-category", "plan=gold", "--add-class", "c")
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert shown["classes"] == ["a", "b", "c"]
    assert next(c for c in shown["columns"] if c["name"] == "plan")["categories"] == ["basic", "pro", "gold"]


def test_the_share_of_test_rows_is_chosen(easeml, name, tmp_path):
    file = tmp_path / "rows.csv"
    frame().to_csv(file, index=False)
    easeml("apps", "create", name, "--label", "kind", "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
    (done,) = easeml("publish", name, str(file), "--test-share", "0.4", as_json=True)
    assert done["rows"]["test"] == pytest.approx(160, abs=4)
    assert done["columns"] == {"x": "numeric", "plan": "categorical"}


def test_an_app_is_changed_where_it_is_told_to_be(easeml, name):
    easeml("apps", "create", name, "--label", "kind")
    changed = easeml("apps", "update", name, "--steps", "3", "--label-budget", "500")
    assert f"App {name} changed: label_budget, steps." in changed
    assert "publish fresh test rows" in " ".join(changed.split())
    assert "test rows" not in easeml("apps", "update", name, "--target", "0.95")
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert (shown["steps"], shown["label_budget"], shown["label"]) == (3, 500, "kind")


def test_every_budget_has_its_option(easeml, name):
    options = ("--cleaning-budget", "7", "--acquisition-budget", "0", "--price-column", "x")
    easeml("apps", "create", name, "--label", "kind", *options)
    fields = ("cleaning_budget", "acquisition_budget", "price_column")
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert [shown[field] for field in fields] == [7, 0, "x"]
    easeml("apps", "update", name, "--cleaning-budget", "8", "--acquisition-budget", "9", "--price-column", "")
    (shown,) = easeml("apps", "show", name, as_json=True)
    assert [shown[field] for field in fields] == [8, 9, ""]
    assert "cleaning_budget" in easeml("apps", "show", name)


def test_advise_tells_the_newest_steps_of_each_phase(easeml, cluster, name):
    easeml("apps", "create", name, "--label", "kind")
    assert "No advice" in easeml("advise", name)
    publisher = EventPublisher(cluster, "user")
    collect = AdviceStep(
        AdviceAction.COLLECT,
        "Collect 200 rows",
        "The curve still falls.",
        gain=0.04,
        gain_low=0.01,
        gain_high=0.07,
        cost_labels=200,
        cost_minutes=405,
        rows=tuple(f"r{place}" for place in range(12)),
    )
    nothing = AdviceStep(AdviceAction.NOTHING, "Nothing to mend", "All is well.", 0.0, 0.0, 0.0, 0.0, 0.0)
    for phase, steps in (("data", (nothing,)), ("data", (collect, nothing)), ("production", (nothing,))):
        publisher.publish(ADVICE, Advice(name, AdvicePhase(phase), "v1", "m1", steps=steps))
    told = easeml("advise", name)
    first = "1. Collect 200 rows: +4.0% accuracy (+1.0% to +7.0%), 200 answers, about 405 minutes"
    assert first in " ".join(told.split())
    assert "rows r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 and 2 more" in " ".join(told.split())
    assert told.index("From the data") < told.index("From production")
    facts = easeml("advise", name, as_json=True)
    assert [fact["data"]["phase"] for fact in facts] == ["data", "production"]
    with pytest.raises(NotFoundError):
        easeml("advise", "nowhere")
