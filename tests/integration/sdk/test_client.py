"""The SDK against a real broker."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Producer

from easeml.client import Client
from easeml.errors import (
    BudgetExhaustedError,
    ConditionError,
    InvalidDataError,
    NotFoundError,
    UnavailableError,
)
from easeml.pillars import Follower
from easeml.stream import deadletters
from easeml.stream.admin import create_topics, existing
from easeml.stream.bulk import BulkReader
from easeml.stream.payloads import DataVersion, Pillar, RelationBatch, TestLabels
from easeml.stream.settings import Settings
from easeml.stream.topics import CATALOGUE, DATA_TEST_LABELS

CONDITION = "n > 0.5 +/- 0.2"


def frame(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    color = rng.choice(["red", "blue", None], rows)
    return pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "color": color, "kind": np.where(x[:, 0] > 0, "right", "left")})


def published(client, name, *topics):
    return [event.data for event in client.events(name, *topics, follow=False, restricted=True)]


def test_rows_reach_their_pillars_and_test_labels_stay_apart(client, app):
    done = client.publish(app, frame())
    assert sum(done.rows.values()) == 400
    events = published(client, app)
    rows = {p: [i for b in events if isinstance(b, RelationBatch) and b.pillar == p for i in b.row_ids] for p in Pillar}
    assert {p: tuple(ids) for p, ids in rows.items() if ids} == dict(done.row_ids)
    assert all(not len(b.labels) for b in events if isinstance(b, RelationBatch) and b.pillar == Pillar.TEST)
    assert {e.pillar: e.rows for e in events if isinstance(e, DataVersion)} == dict(done.rows)
    labels = published(client, app, DATA_TEST_LABELS.name)
    assert [i for b in labels if isinstance(b, TestLabels) for i in b.row_ids] == list(done.row_ids[Pillar.TEST])


def test_first_publication_fixes_columns_and_classes(client, app):
    client.publish(app, frame())
    found = client.app(app)
    assert [c.name for c in found.columns] == ["x", "y", "color"]
    assert found.classes == ("left", "right")


def test_the_same_frame_twice_is_one_version(client, app):
    one = client.publish(app, frame())
    before = len(published(client, app))
    two = client.publish(app, frame())
    assert (one.new, two.new) == (True, False)
    assert (one.schema_fixed, two.schema_fixed) == (True, False)
    assert replace(one, new=False, schema_fixed=False) == two
    client.publish(app, frame(60, seed=1), "train")
    assert not client.publish(app, frame()).new, "nor when another version came between"
    versions = [e for e in published(client, app) if isinstance(e, DataVersion)]
    assert len(versions) == 4
    assert len(published(client, app)) == before + 2


def test_a_publication_that_broke_off_is_completed(client, app, monkeypatch):
    send = client._send

    def broken(draft, pillar, *rest):
        if pillar is Pillar.TEST:
            raise UnavailableError("The broker is gone.")
        send(draft, pillar, *rest)

    monkeypatch.setattr(client, "_send", broken)
    with pytest.raises(UnavailableError):
        client.publish(app, frame())
    monkeypatch.undo()
    done = client.publish(app, frame())
    assert done.new
    versions = [e for e in published(client, app) if isinstance(e, DataVersion)]
    assert {v.pillar: v.rows for v in versions} == dict(done.rows)
    assert len(versions) == 3


def test_a_new_life_of_an_app_takes_the_same_file_anew(client, app):
    one = client.publish(app, frame())
    client.delete_app(app)
    client.create_app(app, label="kind", condition=CONDITION, steps=2)
    two = client.publish(app, frame())
    assert two.new
    assert one.version != two.version
    versions = [e for e in client.events(app, follow=False) if isinstance(e.data, DataVersion)]
    assert len({e.id for e in versions}) == 6
    assert {e.data.pillar: e.data.rows for e in versions[3:]} == dict(two.rows), "rows of the old life do not count"
    assert all(not e.data.parents for e in versions)


def test_an_update_is_no_new_life(client, app):
    client.publish(app, frame())
    changed = client.update_app(app, condition="n > 0.4 +/- 0.2", steps=3, add_classes=["up"])
    assert (changed.condition, changed.steps, changed.classes) == ("n > 0.4 +/- 0.2", 3, ("left", "right", "up"))
    assert client.app(app) == changed
    assert not client.publish(app, frame()).new
    before = len(published(client, app))
    assert client.update_app(app, steps=3) == changed
    assert len(published(client, app)) == before, "no change, no event"
    with pytest.raises(ConditionError):
        client.update_app(app, condition="n ~ 3")
    with pytest.raises(NotFoundError):
        client.update_app("nowhere", steps=3)


def test_further_categories_are_appended(client, app):
    client.publish(app, frame())
    green = frame(40, seed=1).assign(color="green")
    with pytest.raises(InvalidDataError, match="'green' is not one of blue, red"):
        client.publish(app, green, "train")
    client.update_app(app, add_categories={"color": ["green", "red"]})
    assert client.publish(app, green, "train").new
    assert client.app(app).columns[2].categories == ("blue", "red", "green")


def test_unknown_categories_in_production_are_missing(client, app):
    client.publish(app, frame())
    done = client.publish(app, frame(3, seed=1).assign(color=["red", "green", None]), "production")
    assert done.unseen == ((1, "color", "green"),)
    (batch,) = (b for b in published(client, app) if isinstance(b, RelationBatch) and b.pillar is Pillar.PRODUCTION)
    assert batch.codes.tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pillar": "test"}, r"\d+ of 400 test rows are already in (train|validation); the first is row"),
        ({"pillar": "validation"}, "validation rows are already in t"),
        ({"pillar": "train"}, "train rows are already in "),
        ({"seed": 5}, "rows are already in"),
        ({"again": True}, "would move from training to test"),
        ({"test_share": 0.4}, "rows are already in"),
    ],
)
def test_rows_do_not_move_between_training_and_test(client, app, options, text):
    client.publish(app, frame())
    before = len(published(client, app))
    with pytest.raises(InvalidDataError, match=text):
        client.publish(app, frame(), **options)
    assert len(published(client, app)) == before


def test_a_test_set_is_not_used_twice(client, app):
    client.publish(app, frame(), "test")
    client.publish(app, frame(200, seed=1), "test")
    with pytest.raises(InvalidDataError, match="A test set judges once"):
        client.publish(app, frame(), "test", again=True)


def test_row_ids_stay_in_their_pillar(client, app):
    ids = [f"customer-{i}" for i in range(400)]
    client.publish(app, frame(), "test", row_ids=ids)
    with pytest.raises(InvalidDataError, match="Row 'customer-0' is already in test"):
        client.publish(app, frame(50, seed=1), "train", row_ids=ids[:50])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.assign(kind="left"), "one class only .'left'"),
        (
            lambda f: f.assign(x=["oops" if i == 7 else str(i) for i in range(len(f))]),
            r"row 7 .of the frame. is 'oops'",
        ),
        (lambda f: f.assign(kind=f["x"]), "version 1 is for classification"),
        (lambda f: f.head(20), "test rows; there are 1. of 20 rows in all"),
        (lambda f: f.assign(kind=f["kind"].where(f.index != 3)), r"row 3 .of the frame.: missing"),
        (lambda _: [1, 2], "not a data frame"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.drop(columns="kind"), "Publish labelled rows first"),
    ],
)
def test_a_refused_first_publication_fixes_no_schema(client, app, change, text):
    with pytest.raises((InvalidDataError, BudgetExhaustedError), match=text):
        client.publish(app, change(frame()))
    assert client.app(app).columns == ()
    assert client.publish(app, frame()).schema_fixed


def test_first_training_rows_need_two_classes(client, app):
    client.publish(app, frame(), "test")
    left = frame(60, seed=1).assign(kind="left")
    with pytest.raises(InvalidDataError, match="All training rows are of class 'left'"):
        client.publish(app, left, "train")
    client.publish(app, frame(60, seed=2), "train")
    assert client.publish(app, left, "train").new, "more of one class is fine"


def test_again_appends(client, app):
    client.publish(app, frame(50), "train")
    client.publish(app, frame(50), "train", again=True)
    versions = [e for e in published(client, app) if isinstance(e, DataVersion)]
    assert [v.rows for v in versions] == [50, 100]
    assert versions[1].parents == (versions[0].version,)


@pytest.mark.parametrize(
    ("change", "pillar", "error", "text"),
    [
        (lambda f: f.drop(columns="x"), "train", InvalidDataError, "Missing column 'x'"),
        (lambda f: f.assign(z=1), "train", InvalidDataError, "z"),
        (lambda f: f.assign(x="wide"), "train", InvalidDataError, "not a numeric value"),
        (lambda f: f.assign(x=np.inf), "production", InvalidDataError, "'inf' is not a numeric value"),
        (lambda f: f.assign(kind=None), "train", InvalidDataError, "Label every row"),
        (lambda f: f.assign(kind="upside down"), "train", InvalidDataError, "upside down"),
        (lambda f: f.head(3), "test", BudgetExhaustedError, "test rows; there are 3"),
        (lambda f: f, "weather", InvalidDataError, "is not a pillar"),
    ],
)
def test_bad_rows_are_refused_with_what_and_where(client, app, change, pillar, error, text):
    client.publish(app, frame())
    before = len(published(client, app))
    with pytest.raises(error, match=text):
        client.publish(app, change(frame()), pillar)
    assert len(published(client, app)) == before, "a refused publication leaves nothing behind"


def test_missing_values_are_welcome(client, app):
    client.publish(app, frame())
    holes = frame(20, seed=1)
    holes.loc[3, "x"] = np.nan
    assert client.publish(app, holes, "train").rows == {Pillar.TRAIN: 20}


def test_unknown_app_names_the_known_ones(client, app):
    with pytest.raises(NotFoundError, match=f"known: .*{app}"):
        client.publish("nowhere", frame())


def test_bad_definitions_are_refused(client, app):
    with pytest.raises(ConditionError, match="Column 3"):
        client.create_app("other", label="kind", condition="n ~ 3")
    with pytest.raises(InvalidDataError, match="exists already"):
        client.create_app(app, label="kind")
    with pytest.raises(InvalidDataError, match="Unknown option"):
        client.create_app("other", label="kind", colour="red")
    with pytest.raises(InvalidDataError, match="is not an app name"):
        client.create_app("Not A Name", label="kind")
    with pytest.raises(InvalidDataError, match="label column has no name"):
        client.create_app("other", label="")
    with pytest.raises(InvalidDataError, match="target=2 is not possible"):
        client.create_app("other", label="kind", target=2)


def test_deleted_apps_are_gone(client, app):
    client.delete_app(app)
    with pytest.raises(NotFoundError):
        client.app(app)
    with pytest.raises(NotFoundError, match=r"to delete\. Known are"):
        client.delete_app(app)


def test_topics_are_created_once_and_checked(cluster):
    assert create_topics(cluster, ["ci"]) == []
    present = existing(cluster)
    assert all(t.name in present and t.dead_letters in present for t in CATALOGUE)
    with pytest.raises(Exception, match="EASEML_PARTITIONS=4"):
        create_topics(cluster.model_copy(update={"partitions": 3}), [])


def test_a_broker_that_is_down_is_named():
    gone = Settings.load(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"No Kafka broker answers at '127\.0\.0\.1:1'"):
        create_topics(gone, [])
    with pytest.raises(UnavailableError, match="easeml up"):
        Client("127.0.0.1:1").apps()


def test_dead_letters_are_found_and_redriven(cluster):
    topic = "easeml.models.v1"
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    marker = uuid.uuid4().hex
    headers = [
        ("ce_id", marker.encode()),
        ("easeml.dlq.reason", b"schema"),
        ("easeml.dlq.message", b"not Avro"),
        ("easeml.dlq.service", b"ci"),
        ("easeml.dlq.topic", topic.encode()),
        ("easeml.dlq.partition", b"1"),
        ("easeml.dlq.offset", b"7"),
    ]
    producer.produce(f"{topic}.dlq", b"broken", b"key", 1, headers=headers)
    producer.flush()
    letter = next(d for d in deadletters.read(cluster, topic) if dict(d.raw.headers)["ce_id"].decode() == marker)
    assert (letter.reason, letter.message, letter.service, letter.offset) == ("schema", "not Avro", "ci", 7)
    assert deadletters.find(cluster, letter.letter) == letter
    twin = replace(letter, id="twin", service="modelpicker")
    assert deadletters.redrive(cluster, [letter, twin]) == 1
    assert letter.letter not in {found.letter for found in deadletters.read(cluster, topic)}
    assert deadletters.find(cluster, letter.letter).state == deadletters.REDRIVEN
    again = [r for r in _raw(cluster, topic) if dict(r.headers).get("ce_id") == marker.encode()]
    assert [(r.partition, r.key, r.value) for r in again] == [(1, b"key", b"broken")]
    headers = dict(again[0].headers)
    assert (headers["easeml.redrive"], headers["easeml.redrive-for"]) == (b"1", b"ci,modelpicker")
    with pytest.raises(NotFoundError):
        deadletters.find(cluster, f"{topic}.dlq:0:999")


def _raw(cluster, topic):
    from easeml.stream.reader import TopicReader

    reader = TopicReader(cluster, [topic])
    found = list(reader.replay_raw())
    reader.close()
    return found


def test_a_pillar_is_read_back_with_what_tools_and_people_say(client, app):
    with pytest.raises(NotFoundError, match="holds no rows"):
        client.relation(app)
    client.publish(app, frame())
    before = client.relation(app)
    assert (before.label, set(before.classes), len(before.uncertain_cells())) == ("kind", {"left", "right"}, 0)
    row = before.row_ids[int(np.argmax(before.frame()["color"].isna()))]
    table = pd.DataFrame({"row_id": row, "column": "color", "value": ["red", "blue"], "probability": [0.75, 0.25]})
    assert client.propose(app, before.merge_candidates(table, source="mine@1"), "mine@1") == 1
    after = client.relation(app)
    assert after.candidates()[["row_id", "value", "probability"]].to_numpy().tolist() == [
        [row, "blue", 0.25],
        [row, "red", 0.75],
    ]
    assert len(client.relation(app, "validation").uncertain_cells()) == 0


def test_who_follows_a_pillar_reads_only_what_has_come_since(client, app, monkeypatch):
    read = []

    def counted(reader, chunk=BulkReader.chunk):
        found = chunk(reader)
        read.extend(found)
        return found

    def news():
        read.clear()
        relation = follower.relation()
        count = len(read)
        assert relation.content_hash() == client.relation(app).content_hash()
        return count

    monkeypatch.setattr(BulkReader, "chunk", counted)
    follower = Follower(client.settings, client.app(app), Pillar.TRAIN)
    with pytest.raises(NotFoundError, match="holds no rows"):
        follower.relation()
    client.publish(app, frame())
    follower = Follower(client.settings, client.app(app), Pillar.TRAIN)
    assert news() >= 1
    assert news() == 0
    rows = follower.relation()
    table = pd.DataFrame({"row_id": rows.row_ids[0], "column": "color", "value": ["red", "blue"], "probability": 0.5})
    client.propose(app, rows.merge_candidates(table, source="mine@1"), "mine@1")
    assert news() == 1


def test_candidates_that_do_not_fit_are_not_sent(client, app):
    client.publish(app, frame())
    rows = client.relation(app)
    with pytest.raises(NotFoundError, match="No candidates of 'nobody'"):
        client.propose(app, rows, "nobody")
    with pytest.raises(InvalidDataError, match="is not a pillar"):
        client.relation(app, "attic")
