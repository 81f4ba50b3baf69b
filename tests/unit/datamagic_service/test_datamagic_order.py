"""Uploads one behind the other: what is known of other rows does not depend on how fast they come."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datamagic_town import APP, CLASSES, COLUMNS, Town, chunked, csv, frame, upload

from easeml.datamagic.ingestion import memory
from easeml.datamagic.ingestion import uploads as work
from easeml.datamagic.versions import contents
from easeml.relation import Relation
from easeml.stream.payloads import Pillar, RunState
from easeml.stream.topics import DATA_TRAIN


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))


def sent(uploads, *, together, seed=0, kills=()):
    town = Town(rng=random.Random(seed) if seed else None)
    for point, batch in kills:
        town.cluster.kill("datamagic", point, batch)
    if together:
        town.send(*uploads)
    else:
        for each in uploads:
            town.send(each)
            town.cluster.tick()
    town.cluster.tick(2)
    return town


def sides(town, column="x"):
    found = {}
    for pillar, batch in ((p, batch) for p in town.rows() for batch in town.batches(p)):
        for value in Relation.from_batches([batch]).frame()[column]:
            found.setdefault(value, set()).add(pillar)
    return found


def two_files(size):
    """Return two files that share ids, feature rows and groups."""
    one = frame(size).assign(id=[f"r{at}" for at in range(size)], g=[f"c{at % 23}" for at in range(size)])
    new = frame(size, seed=3).assign(id=[f"n{at}" for at in range(size)], g=[f"c{at % 31}" for at in range(size)])
    again = one.iloc[: size // 2].assign(id=[f"a{at}" for at in range(size // 2)])
    return one, pd.concat([new, one.iloc[size // 3 :], again], ignore_index=True)


@pytest.mark.parametrize("slices", [False, True], ids=["whole", "slices"])
@pytest.mark.parametrize("wish", [{"id_column": "id"}, {"group_column": "g"}, {}], ids=["ids", "groups", "rows"])
def test_uploads_back_to_back_are_those_with_a_pause(request, slices, wish):
    if slices:
        request.getfixturevalue("small_slices")
    keep = ["x", "y", "colour", "bought", *wish.values()]
    one, two = (csv(table[keep]) for table in two_files(150))
    uploads = [upload(one, repairs=0, seed=1, **wish), upload(two, upload_id="u2", repairs=0, seed=2, **wish)]
    pause = sent(uploads, together=False)
    assert pause.letters() == []
    assert not any(a & b for a, b in itertools.combinations(pause.rows().values(), 2))
    if "group_column" not in wish:
        assert all(len(pillars) == 1 for pillars in sides(pause).values())
    for seed, kills in ((0, ()), (1, ()), (2, (("after_outputs", 3), ("half_outputs", 5))), (3, (("half_state", 2),))):
        town = sent(uploads, together=True, seed=seed, kills=kills)
        assert town.rows() == pause.rows()
        names = [{(v.pillar, v.version): (v.rows, v.content_hash) for v in t.versions()} for t in (town, pause)]
        assert names[0] == names[1]
        assert town.cluster.state("datamagic", APP.app).waiting == []


def test_uploads_that_come_while_a_large_one_is_read_wait_for_it(small_slices):
    large, small = csv(frame(400)), [csv(frame(30, seed=seed)) for seed in (1, 2)]
    town = Town()
    town.send(
        upload(large),
        *chunked(small[0], 2, upload_id="u2"),
        upload(small[1], upload_id="u3", pillar="train"),
        upload(b"no table", upload_id="u4"),
    )
    assert sum(map(len, town.rows().values())) == 460
    order = [(run.inputs[0].name, run.state) for run in town.runs()]
    assert [state for _, state in order] == [RunState.START, RunState.COMPLETE] * 3
    assert [message.split()[1] for _, message in town.letters()] == ["'u4'"], "one that fails holds up no other"
    state = town.cluster.state("datamagic", APP.app)
    assert (state.running, state.waiting, state.closing) == ({}, [], None)


def test_only_so_many_uploads_wait(small_slices, monkeypatch):
    monkeypatch.setattr("easeml.datamagic.service.MOST_WAITING", 2)
    town = Town()
    town.send(upload(csv(frame(400))), *(upload(csv(frame(30, seed=n)), upload_id=f"w{n}") for n in range(1, 5)))
    assert {reason for reason, _ in town.letters()} == {"too_many_uploads"}
    assert memory.MOST_WAITING == 100


def test_another_file_under_the_name_of_one_under_way_is_a_conflict(small_slices):
    town = Town()
    town.send(upload(csv(frame(400))), upload(csv(frame(400, seed=1)), name="other.csv"))
    ((reason, message),) = town.letters()
    assert reason == "conflict"
    assert "other.csv" in message
    assert sum(map(len, town.rows().values())) == 400
    waiting = Town()
    waiting.send(
        upload(csv(frame(400))),
        upload(csv(frame(30, seed=1)), upload_id="u2"),
        upload(csv(frame(30, seed=2)), upload_id="u2"),
    )
    assert [reason for reason, _ in waiting.letters()] == ["conflict"]


def test_a_version_counts_what_the_pillar_holds():
    town = Town()
    town.send(upload(csv(frame(200)), pillar="train", repairs=0))
    other = Relation.from_frame(
        frame(50, seed=7), label="bought", classes=CLASSES, columns=COLUMNS, row_ids=[f"o{at}" for at in range(50)]
    )
    (batch,) = other.to_batches(APP.app, Pillar.TRAIN, "mine")
    town.cluster.publish(DATA_TRAIN, batch)
    town.cluster.run()
    town.send(upload(csv(frame(30, seed=8)), upload_id="u9", pillar="train", repairs=0))
    assert [v.rows for v in town.versions()] == [200, 280]
    held = sum(contents.total(contents.row_contents(part)) for part in town.batches(Pillar.TRAIN))
    assert town.versions()[-1].content_hash == contents.hexadecimal(held % contents.MODULUS)


def test_a_state_with_uploads_under_way_is_stored_and_read_back():
    bare = replace(upload(csv(frame(10))), content=b"", uri="memory://uploads/x")
    running = memory.Running(bare, rows={Pillar.TRAIN: 3}, before={Pillar.TEST: 2}, failure="cut off")
    state = memory.DataMagicState(
        running={"u1": running},
        closing=running,
        waiting=[bare],
        sent={Pillar.TRAIN: 4},
        groups={Pillar.TEST: np.array([3, 9], np.uint64)},
    )
    again = memory.unpack(memory.pack(state))
    assert again.groups[Pillar.TEST].tolist() == [3, 9]
    assert replace(again, groups={}) == replace(state, groups={})


def test_no_features_are_kept_of_production_rows(town):
    town.send(upload(csv(frame(40)), pillar="production"), upload(csv(frame(40)), upload_id="u2", pillar="train"))
    sizes = {
        p: sum(len(rows.features) for rows in ledger.batches(APP))
        for p, ledger in town.service._ledgers[APP.app].items()
    }
    assert sizes == {Pillar.PRODUCTION: 0, Pillar.TRAIN: 40}
