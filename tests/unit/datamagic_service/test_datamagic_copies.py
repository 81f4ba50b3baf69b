"""Copies of uploads in the store: there while somebody reads them, gone afterwards, whatever is killed when."""

import io
import itertools
import os
import time
from dataclasses import replace

import pytest
from datamagic_town import Town, chunked, csv, frame, upload

from easeml.datamagic.ingestion import sources
from easeml.datamagic.ingestion import uploads as work
from easeml.datamagic.ingestion.sources import Sources
from easeml.errors import Poison
from easeml.stream.payloads import RunState

SHA = "a" * 64


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))


def stored(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_copies_are_removed_when_their_uploads_are_done(tmp_path, small_slices):
    town = Town(roots=(tmp_path.as_uri(),))
    town.send(*chunked(csv(frame(400)), 3), run=False)
    town.send(upload(csv(frame(40, seed=1)), upload_id="waits"))
    assert sum(map(len, town.rows().values())) == 440
    assert stored(tmp_path) == []


def test_a_client_s_copy_is_removed_and_a_file_of_somebody_else_stays(tmp_path):
    content = csv(frame(60))
    whole = upload(content)
    uri = Sources((tmp_path.as_uri(),)).put(io.BytesIO(content), whole.sha256, whole.name)
    (tmp_path / "own.csv").write_bytes(csv(frame(50, seed=2)))
    own = upload(csv(frame(50, seed=2)), upload_id="own", pillar="train")
    town = Town(roots=(tmp_path.as_uri(),))
    bare = {"content": b""}
    town.send(_at(whole, uri, **bare), _at(own, (tmp_path / "own.csv").as_uri(), **bare))
    assert sum(map(len, town.rows().values())) == 110
    assert stored(tmp_path) == [tmp_path / "own.csv"]
    again = Sources((tmp_path.as_uri(),)).put(io.BytesIO(content), whole.sha256, whole.name)
    assert again != uri
    town.send(_at(whole, again, upload="again", **bare))
    assert stored(tmp_path) == [tmp_path / "own.csv"], "a repeated upload is not read, but its copy goes"


def _at(whole, uri, **changes):
    return replace(whole, uri=uri, **changes)


def test_the_same_file_for_two_apps_is_two_copies(tmp_path):
    store = Sources((tmp_path.as_uri(),))
    one, two = (store.put(io.BytesIO(b"x"), SHA, "x.csv", owner) for owner in ("a/1", "b/1"))
    assert one == store.put(io.BytesIO(b"x"), SHA, "x.csv", "a/1")
    store.remove(one)
    store.remove(one)
    assert store.size(two) == 1


@pytest.mark.parametrize("point", ["after_journal", "half_outputs", "after_outputs", "half_state", "after_state"])
def test_a_kill_between_end_and_removal_leaves_no_copy_and_takes_none_too_early(tmp_path, small_slices, point):
    content = csv(frame(300))
    undisturbed = Town(roots=((tmp_path / "one").as_uri(),))
    undisturbed.send(*chunked(content, 2))
    for batch in itertools.count(1):
        folder = tmp_path / f"two{batch}"
        town = Town(roots=(folder.as_uri(),))
        town.cluster.kill("datamagic", point, batch)
        town.send(*chunked(content, 2))
        assert town.rows() == undisturbed.rows()
        assert town.letters() == []
        assert stored(folder) == []
        if not town.cluster.restarts:  # the work had fewer batches: every one of them was cut off once
            break
    assert batch > 4


def test_a_file_that_fails_leaves_no_copy(tmp_path, small_slices):
    content = csv(frame(400))
    half = content[: content.index(b"\n", len(content) // 2) + 1]
    town = Town(roots=(tmp_path.as_uri(),))
    town.send(upload(half + b"lots,2,red,yes\n" * 2000))
    town.send(upload(b"x,y\n" + b"1,2\n" * 5000, upload_id="u2"))
    assert town.runs()[-1].state is RunState.FAIL
    assert len(town.letters()) == 1
    assert stored(tmp_path) == []


def test_only_copies_are_removed(tmp_path):
    store = Sources((tmp_path.as_uri(),))
    (tmp_path / "own.csv").write_bytes(b"x")
    with pytest.raises(Poison, match="no copy"):
        store.remove((tmp_path / "own.csv").as_uri())
    assert not store.is_copy("file:///etc/passwd")
    assert not store.is_copy(f"{tmp_path.as_uri()}/uploads/aa/{SHA}.csv")


def test_leftovers_of_crashes_are_collected(tmp_path):
    store, now = Sources((tmp_path.as_uri(),)), time.time()
    assert store.collect(now) == 0
    uri = store.put(io.BytesIO(b"x"), SHA, "x.csv")
    copy = next(tmp_path.rglob("*.csv"))
    part = copy.with_name(f"{copy.name}.{'0' * 12}.part")
    own = tmp_path / "uploads" / "mine.csv"
    for path in (part, own):
        path.write_bytes(b"y")
    assert store.collect(now + 60) == 0
    for path in (copy, own):
        os.utime(path, (now - sources.COPY_SECONDS / 2,) * 2)
    os.utime(part, (now - sources.PART_SECONDS - 60,) * 2)
    assert store.collect(now) == 1
    assert store.size(uri) == 1
    os.utime(copy, (now - sources.COPY_SECONDS - 60,) * 2)
    os.utime(own, (now - sources.COPY_SECONDS - 60,) * 2)
    assert store.collect(now) == 1
    assert stored(tmp_path) == [own]
    assert Sources(("memory://nowhere",)).collect(now) == 0
