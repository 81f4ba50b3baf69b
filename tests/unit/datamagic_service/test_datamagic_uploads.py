"""Uploads: files in, rows with candidates in their pillars out."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datamagic_town import APP, CLASSES, COLUMNS, Town, chunked, csv, frame, upload

from easeml.datamagic.ingestion import uploads as work
from easeml.relation import Relation
from easeml.stream.payloads import AppDefined, Pillar, RunState
from easeml.stream.topics import APPS, PILLAR_TOPICS, UPLOADS, UPLOADS_TEST

SPLIT = {Pillar.TRAIN, Pillar.VALIDATION, Pillar.TEST}


def test_a_file_becomes_rows_in_three_pillars_with_versions_and_lineage(town):
    table = frame(missing=0.1)
    town.send(upload(csv(table)))
    rows = town.rows()
    assert set(rows) == SPLIT
    assert sum(map(len, rows.values())) == 200
    assert len(rows[Pillar.TEST]) == pytest.approx(50, abs=2)
    assert not any(one & other for one, other in itertools.combinations(rows.values(), 2))
    assert set(town.labels()) == rows[Pillar.TEST]
    assert all(not len(batch.labels) for batch in town.batches(Pillar.TEST))
    versions = {v.pillar: v for v in town.versions()}
    assert {p: v.rows for p, v in versions.items()} == {p: len(r) for p, r in rows.items()}
    names = {v.version for v in versions.values()}
    assert names == {batch.version for p in SPLIT for batch in town.batches(p)}
    assert names.pop().startswith("vab12-")
    start, complete = town.runs()
    assert (start.state, complete.state, complete.job) == (RunState.START, RunState.COMPLETE, "datamagic.upload")
    assert start.run == complete.run
    assert json.loads(complete.parameters["seed"]) == 0
    assert json.loads(complete.parameters["rows.test"]) == len(rows[Pillar.TEST])
    assert {one.content_hash for one in complete.outputs} == {v.content_hash for v in versions.values()}
    train = Relation.from_batches(town.batches(Pillar.TRAIN))
    candidates = train.candidates()
    assert set(candidates["column"]) == {"y"}
    assert set(candidates["source"].str.split(".").str[0]) == {"datamagic"}
    cells = candidates.groupby(["row_id", "column"])
    assert cells["value"].nunique().max() <= 5
    assert json.loads(complete.parameters["candidates"]) == int(table["y"].isna().sum())
    assert town.letters() == []


def test_labels_and_rows_are_those_of_the_file(town):
    table = frame(100)
    town.send(upload(csv(table), repairs=0))
    truth = dict(zip(table["x"], table["bought"], strict=True))
    labels = town.labels()
    for pillar in SPLIT:
        part = Relation.from_batches(town.batches(pillar)).frame()
        found = part["label"].astype(object) if "label" in part else pd.Series(labels).reindex(part.index)
        assert [truth[x] for x in part["x"]] == list(found)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 2, 0, 3, 0, 1)])
def test_chunks_in_any_order_make_the_same_rows(order):
    content = csv(frame())
    whole, parts = Town(), Town()
    whole.send(upload(content))
    pieces = chunked(content, 4)
    parts.send(*(pieces[place] for place in order))
    assert parts.rows() == whole.rows()
    assert [v.content_hash for v in parts.versions()] == [v.content_hash for v in whole.versions()]


def test_a_missing_chunk_waits_also_over_a_restart(town):
    pieces = chunked(csv(frame()), 3)
    town.send(pieces[2], pieces[0])
    assert town.rows() == {}
    town.cluster.restart("datamagic")
    town.send(pieces[1])
    assert set(town.rows()) == SPLIT


def test_uploads_may_be_interleaved(town):
    one, two = chunked(csv(frame()), 2), chunked(csv(frame(seed=1)), 2, upload_id="u2")
    town.send(one[0], two[0], two[1], one[1])
    assert sum(map(len, town.rows().values())) == 400


@pytest.mark.parametrize(("topic", "pillar"), [(UPLOADS, ""), (UPLOADS, "test"), (UPLOADS_TEST, "train")])
def test_files_that_may_hold_test_rows_travel_apart(town, topic, pillar):
    town.cluster.publish(topic, upload(csv(frame()), pillar=pillar))
    town.cluster.run()
    ((reason, message),) = town.letters(topic)
    assert reason == "wrong_topic"
    assert f"came on {topic.name}" in message
    assert town.rows() == {}


def test_a_file_on_the_one_topic_does_not_push_chunks_from_the_other(town):
    split, more = chunked(csv(frame()), 2), chunked(csv(frame(seed=1)), 2, upload_id="u2", pillar="train")
    town.send(split[0], more[0], split[1], more[1])
    assert town.letters() == []
    assert len(town.runs()) == 4, "both were read"


def test_done_uploads_leave_no_bytes(town):
    town.send(*chunked(csv(frame()), 2))
    town.send(*chunked(csv(frame(seed=1)), 2, upload_id="u2")[:1])
    assert list(town.service._chunks[APP.app][UPLOADS_TEST.name]._open) == ["u2"]
    town.cluster.restart("datamagic")
    assert list(town.service._chunks[APP.app][UPLOADS_TEST.name]._open) == ["u2"]


def test_the_same_file_again_changes_nothing_unless_asked(town):
    content = csv(frame())
    town.send(upload(content))
    before = (town.runs(), town.versions(), [town.batches(pillar) for pillar in Pillar])
    town.send(upload(content, upload_id="u2", name="copy.csv"))
    assert (town.runs(), town.versions(), [len(town.batches(pillar)) for pillar in Pillar]) == (
        *before[:2],
        list(map(len, before[2])),
    )
    town.send(upload(content, upload_id="u3", pillar="train", again=True))
    assert town.letters()[0][0] == "shared_rows"
    town.send(upload(csv(frame().head(0 + 30)), upload_id="u4", pillar="production"))
    town.send(upload(csv(frame().head(0 + 30)), upload_id="u5", pillar="production", again=True))
    assert len(town.rows()[Pillar.PRODUCTION]) == 60


def test_equal_rows_and_groups_stay_on_one_side(town):
    table = pd.concat([frame(60), frame(60)], ignore_index=True)
    table["customer"] = [f"c{place % 20}" for place in range(120)]
    town.send(upload(csv(table), group_column="customer", repairs=0))
    sides = {}
    for pillar in SPLIT:
        for x in Relation.from_batches(town.batches(pillar)).frame()["x"]:
            sides.setdefault(x, set()).add(pillar)
    assert all(len(pillars) == 1 for pillars in sides.values())
    customer = dict(zip(table["x"], table["customer"], strict=True))
    groups = {}
    for x, pillars in sides.items():
        groups.setdefault(customer[x], set()).update(pillars)
    assert all(len(pillars) == 1 for pillars in groups.values())
    later = frame(40, seed=9).assign(customer=[f"c{place % 20}" for place in range(40)])
    town.send(upload(csv(later), upload_id="u2", group_column="customer", repairs=0))
    for pillar in SPLIT:
        for batch in town.batches(pillar):
            for x in Relation.from_batches([batch]).frame()["x"]:
                row = later[later["x"] == x]
                if len(row):
                    assert groups[row["customer"].iloc[0]] == {pillar}


def test_rows_known_in_a_pillar_stay_there(town):
    first = frame()
    town.send(upload(csv(first), repairs=0))
    before = {p: set(Relation.from_batches(town.batches(p)).frame()["x"]) for p in SPLIT}
    town.send(upload(csv(pd.concat([first, frame(100, seed=3)])), upload_id="u2", repairs=0, seed=5))
    for pillar in SPLIT:
        after = set(Relation.from_batches(town.batches(pillar)[-1:]).frame()["x"])
        others = set().union(*(before[other] for other in SPLIT - {pillar}))
        assert not after & others


def test_ids_of_the_file_are_kept_and_upserted(town):
    table = frame(80).assign(customer=[f"c{place}" for place in range(80)])
    town.send(upload(csv(table), id_column="customer", repairs=0))
    assert set().union(*town.rows().values()) == set(table["customer"])
    changed = table.assign(y=table["y"] + 1)
    town.send(upload(csv(changed), upload_id="u2", id_column="customer", repairs=0))
    rows = town.rows()
    assert sum(map(len, rows.values())) == 80, "every row stays in its pillar"
    last = {v.pillar: v.rows for v in town.versions()}
    assert last == {pillar: len(ids) for pillar, ids in rows.items()}


def test_unlabelled_rows_of_a_split_go_to_the_pool(town):
    table = frame(100)
    table.loc[table.index[::4], "bought"] = None
    town.send(upload(csv(table)))
    assert len(town.rows()[Pillar.POOL]) == 25
    assert all((batch.labels == -1).all() for batch in town.batches(Pillar.POOL))


@pytest.mark.parametrize("pillar", ["train", "pool", "validation", "production"])
def test_a_named_pillar_gets_all_rows(town, pillar):
    town.send(upload(csv(frame(40)), pillar=pillar))
    assert {p: len(rows) for p, rows in town.rows().items()} == {Pillar(pillar): 40}


def test_the_test_set_is_as_large_as_the_condition_needs(town):
    town.send(upload(csv(frame(200)), test_rows=90))
    assert len(town.rows()[Pillar.TEST]) >= 90
    other = Town()
    other.send(upload(csv(frame(200)), test_rows=150))
    assert other.letters()[0][0] == "too_few_test_rows"
    share = Town()
    share.send(upload(csv(frame(200)), test_share=0.4))
    assert len(share.rows()[Pillar.TEST]) == pytest.approx(80, abs=3)


def test_a_row_that_does_not_fit_is_told_and_the_others_go_on(town):
    table = frame(100).astype(object)
    table.loc[7, "colour"] = "green"
    table.loc[9, "bought"] = "perhaps"
    table.loc[11, "x"] = "a lot"
    town.send(upload(csv(table)))
    assert sum(map(len, town.rows().values())) == 98
    complete = town.runs()[-1]
    assert json.loads(complete.parameters["rejected"]) == 2
    assert json.loads(complete.parameters["clashes"]) == 1
    assert "line 9, column 'colour': 'green'" in complete.message
    assert "line 11, column 'bought': 'perhaps'" in complete.message
    assert "line 13, column 'x': 'a lot'" in complete.message
    assert all("2 rows rejected, 1 cells made missing" in version.change for version in town.versions())
    assert town.letters() == []


def test_an_upload_waits_for_the_columns_of_its_app():
    bare = AppDefined(APP.app, APP.label, (), (), life=APP.life)
    town = Town(app=bare)
    town.send(upload(csv(frame())))
    assert town.rows() == {}
    town.cluster.publish(APPS, APP)
    town.cluster.run()
    assert set(town.rows()) == SPLIT
    never = Town(app=bare)
    never.send(upload(csv(frame())))
    never.cluster.tick(15)
    assert never.letters()[0][0] == "no_schema"
    assert "'easeml upload'" in never.letters()[0][1]


def bad(content, name="shop.csv", **options):
    return pytest.param(upload(content, name=name, **options), id=options.pop("upload_id", name))


def table_bytes(change):
    table = frame(50).astype(object)
    change(table)
    return csv(table)


BAD = {
    "no label column": (lambda t: t.pop("bought"), {}, "no label column 'bought'"),
    "missing column": (lambda t: t.pop("y"), {}, "Missing column 'y'"),
    "unknown column": (lambda t: t.insert(0, "z", np.arange(50) % 7 + 0.5), {}, "Unknown column 'z'"),
    "no id column": (lambda t: None, {"id_column": "nr"}, "no id column 'nr'"),
    "no group column": (lambda t: None, {"group_column": "nr"}, "no group column 'nr'"),
    "words for numbers": (lambda t: t.__setitem__("x", "lots"), {}, "line 2"),
    "foreign classes": (lambda t: t.__setitem__("bought", "maybe"), {}, "line 2, column 'bought': 'maybe'"),
    "one class": (lambda t: t.__setitem__("bought", "yes"), {}, "single class"),
    "no pillar": (lambda t: None, {"pillar": "nowhere"}, "'nowhere' is not a pillar"),
    "unknown format": (lambda t: None, {"format": "betamax"}, "betamax"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_dead_letters_with_their_cause(town, case):
    change, options, says = BAD[case]
    town.send(upload(table_bytes(change), upload_id="mine", **options))
    ((_, message),) = town.letters()
    assert "Upload 'mine' (shop.csv)" in message
    assert says in message
    assert town.rows() == {}
    assert town.runs() == []
    town.send(upload(csv(frame()), upload_id="next"))
    assert set(town.rows()) == SPLIT, "the next one goes on"


def test_twice_named_columns_and_files_that_are_none(town):
    contents = {
        "twice.csv": b"x,x,colour,bought\n1,2,red,yes\n2,3,red,no\n",
        "empty.csv": b"",
        "header.csv": b"x,y,colour,bought\n",
        "broken.parquet": b"PAR1 and no more",
        "broken.xlsx": b"PK\x03\x04 and no more",
        "broken.json": b'[{"x": 1},',
        "odd.exe": b"MZ\x90\0\3\0\0\0",
    }
    for name, content in contents.items():
        town.send(upload(content, name=name, upload_id=name))
    messages = [message for _, message in town.letters()]
    assert len(messages) == len(contents)
    assert all(f"Upload {name!r}" in message for name, message in zip(contents, messages, strict=True))
    assert town.cluster.restarts == 0


def test_wrong_bytes_are_given_up(town):
    content = csv(frame())
    one, two = chunked(content, 2)
    town.send(replace(upload(content), sha256="0" * 64))
    town.send(one, replace(one, content=one.content[:-1] + b"!"), replace(two, seed=3))
    town.send(replace(upload(content), sha256="xyz"), replace(one, chunk=5), replace(one, chunks=0))
    town.send(replace(upload(content), uri="memory://uploads/x"))
    reasons = [reason for reason, _ in town.letters()]
    assert reasons == ["wrong_digest", "conflict", "conflict", *["bad_upload"] * 4]
    assert all("u1" in message for _, message in town.letters())
    town.send(two)
    assert set(town.rows()) == SPLIT, "the sound chunks still count"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("file:///etc/passwd", "forbidden_uri"),
        ("https://example.org/x.csv", "forbidden_uri"),
        ("memory://elsewhere/x.csv", "forbidden_uri"),
        ("memory://uploads/../x.csv", "forbidden_uri"),
        ("simplecache::memory://uploads/x.csv", "forbidden_uri"),
        ("memory://uploads/nothing.csv", "not_found"),
    ],
)
def test_uris_outside_the_house_are_refused(town, uri, reason):
    town.send(replace(upload(csv(frame())), uri=uri, content=b""))
    ((found, message),) = town.letters()
    assert found == reason
    assert "u1" in message


def test_links_that_lead_out_of_the_store_are_refused(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "secret.csv").write_bytes(csv(frame()))
    (tmp_path / "store" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "store" / "own.csv").write_bytes(csv(frame()))
    town = Town(roots=((tmp_path / "store").as_uri(),))
    whole = upload(csv(frame()))
    town.send(replace(whole, uri=(tmp_path / "store" / "link.csv").as_uri(), content=b""))
    assert town.letters()[0][0] == "forbidden_uri"
    town.send(replace(whole, upload="u2", uri=(tmp_path / "store" / "own.csv").as_uri(), content=b""))
    assert set(town.rows()) == SPLIT


# -- large files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))


def large(town, content, tmp_path, name="shop.csv", **options):
    path = tmp_path / "store" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    whole = upload(content, name=name, **options)
    return replace(whole, uri=path.as_uri(), content=b"")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_large_file_is_read_in_slices(tmp_path, small_slices, form):
    table = frame(600, missing=0.1)
    target = tmp_path / f"t.{form}"
    if form == "csv":
        table.to_csv(target, index=False)
    elif form == "jsonl":
        table.to_json(target, orient="records", lines=True)
    else:
        table.to_parquet(target, row_group_size=100)
    town = Town(roots=((tmp_path / "store").as_uri(),))
    town.send(large(town, target.read_bytes(), tmp_path, f"shop.{form}", test_rows=250))
    assert town.letters() == []
    rows = town.rows()
    assert sum(map(len, rows.values())) == 600
    assert len(rows[Pillar.TEST]) == pytest.approx(250, abs=60)
    assert len(town.versions()) == 3
    assert [run.state for run in town.runs()] == [RunState.START, RunState.COMPLETE]
    assert len(town.cluster.events(UPLOADS_TEST)) >= 6
    assert {v.pillar: v.rows for v in town.versions()} == {p: len(r) for p, r in rows.items()}
    assert town.cluster.state("datamagic", APP.app).running == {}
    known = set(Relation.from_batches(town.batches(Pillar.TRAIN)).frame()["x"])
    assert known <= set(table["x"])


def test_chunks_of_a_large_file_are_stored_and_sliced(small_slices):
    content = csv(frame(400))
    town = Town()
    town.send(*chunked(content, 3))
    assert sum(map(len, town.rows().values())) == 400
    again = Town()
    again.send(upload(content))
    assert again.rows() == town.rows()


def test_slices_survive_kills_and_restarts(tmp_path, small_slices):
    content = csv(frame(500))
    undisturbed = Town(roots=((tmp_path / "store").as_uri(),))
    undisturbed.send(large(undisturbed, content, tmp_path))
    for point, batch in (("after_outputs", 2), ("after_state", 3), ("half_outputs", 1), ("after_journal", 4)):
        town = Town(roots=((tmp_path / "store").as_uri(),))
        town.cluster.kill("datamagic", point, batch)
        town.send(large(town, content, tmp_path))
        assert town.cluster.restarts == 1
        assert town.rows() == undisturbed.rows()
        ids = {e.id for topic in PILLAR_TOPICS.values() for e in town.cluster.events(topic)}
        assert ids == {e.id for topic in PILLAR_TOPICS.values() for e in undisturbed.cluster.events(topic)}
        assert {v.version: v.content_hash for v in town.versions()} == {
            v.version: v.content_hash for v in undisturbed.versions()
        }


def test_quoted_line_feeds_do_not_cut_records(tmp_path, small_slices):
    columns = (*COLUMNS, replace(COLUMNS[0], name="note", kind="text"))
    app = replace(APP, columns=columns)
    table = frame(300).assign(note=[f'first "{place}",\nsecond\n\nlast' for place in range(300)])
    town = Town(roots=((tmp_path / "store").as_uri(),), app=app)
    town.send(large(town, csv(table), tmp_path, repairs=0))
    assert town.letters() == []
    notes = {n for p in SPLIT for n in Relation.from_batches(town.batches(p)).frame()["note"]}
    assert notes == set(table["note"])


def test_bad_rows_of_a_slice_are_told_by_their_lines(tmp_path, small_slices):
    lines = csv(frame(400)).splitlines()
    lines[250] = b"1,2"
    lines[300] = b"1,2,green,yes"
    town = Town(roots=((tmp_path / "store").as_uri(),))
    town.send(large(town, b"\n".join(lines) + b"\n", tmp_path))
    assert sum(map(len, town.rows().values())) == 398
    complete = town.runs()[-1]
    assert complete.state is RunState.COMPLETE
    assert "line 301, column 'colour': 'green'" in complete.message
    assert json.loads(complete.parameters["rejected"]) == 2
    assert "251" in complete.message


def test_a_large_file_that_breaks_ends_with_fail_and_keeps_its_rows(tmp_path, small_slices):
    content = csv(frame(400))
    half = content[: content.index(b"\n", len(content) // 2) + 1]
    town = Town(roots=((tmp_path / "store").as_uri(),))
    town.send(large(town, half + b"lots,2,red,yes\n" * 2000, tmp_path))
    last = town.runs()[-1]
    assert last.state is RunState.FAIL
    assert "'x'" in last.message
    assert "line" in last.message
    rows = town.rows()
    assert sum(map(len, rows.values())) >= 150
    assert {v.pillar: v.rows for v in town.versions()} == {p: len(r) for p, r in rows.items()}
    assert town.cluster.state("datamagic", APP.app).running == {}
    assert CLASSES == ("no", "yes")
    assert APPS.compacted
