"""What is known of an app reaches the workers: each digest once, and all of them."""

from dataclasses import replace

import numpy as np
import pytest
from datamagic_town import APP, Town, csv, frame, upload

from easeml.datamagic.ingestion import shelf as shelves
from easeml.datamagic.ingestion import uploads as work
from easeml.datamagic.ingestion.shelf import Digests, Shelf, read
from easeml.errors import UnavailableError
from easeml.stream.payloads import Pillar


def test_sorted_runs_are_a_set():
    rng = np.random.default_rng(0)
    digests, plain = Digests(), np.empty(0, np.uint64)
    for size in (0, 5, 1, 300, 2, 40, 40, 0, 7):
        new = rng.integers(0, 500, size, np.uint64)
        digests.add(new)
        plain = np.concatenate([plain, new])
        asked = rng.integers(0, 500, 200, np.uint64)
        assert (digests.has(asked) == np.isin(asked, plain)).all()
        assert sorted(digests.every()) == sorted(plain)
        assert len(digests) == len(plain)
    assert len(digests._runs) < 10


def test_a_worker_reads_on_from_where_it_was(monkeypatch):
    things = [np.array([1, 2], np.uint64), np.array([3], np.uint64)]
    shelf = Shelf(lambda words: words)
    first = shelf.mark(things)
    assert sorted(read("a", {"x": first})["x"].every()) == [1, 2, 3]
    things.append(np.array([9], np.uint64))
    second, since = shelf.mark(things), shelf.mark(things, 2)
    seen = []
    monkeypatch.setattr(np, "frombuffer", lambda *a, own=np.frombuffer: seen.append(own(*a)) or seen[-1])
    assert sorted(read("a", {"x": second})["x"].every()) == [1, 2, 3, 9]
    assert [part.tolist() for part in seen] == [[9]], "what it knows is not read again"
    assert read("a", {"x": since})["x"].every().tolist() == [9]
    assert sorted(read("a", {"x": first})["x"].every()) == [1, 2, 3], "an earlier slice sees what it saw"
    other = shelf.mark([np.array([7], np.uint64)])
    assert read("a", {"x": other})["x"].every().tolist() == [7]
    for app in "bcd":
        read(app, {"x": other})
    assert len(shelves._kept) == 2


def test_a_shelf_that_was_cleared_is_no_other_one():
    shelf, words = Shelf(lambda words: words), [np.array([1], np.uint64)]
    mark = shelf.mark(words)
    shelf.mark([np.array([2], np.uint64)])  # the first file is gone, and its path perhaps the second one's
    for cleared in (mark, replace(mark, path="/proc/self/fd/999999")):
        with pytest.raises(UnavailableError, match="no longer"):
            read("a", {"x": cleared})


@pytest.mark.parametrize("pillar", ["", "train"])
def test_a_slice_is_sent_with_the_same_few_bytes_however_much_is_known(monkeypatch, pillar):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))
    import pickle

    sizes = []
    go_on = work.go_on
    monkeypatch.setattr(work, "go_on", lambda task: sizes.append(len(pickle.dumps(task))) or go_on(task))
    town = Town()
    table = frame(900).assign(id=[f"r{at}" for at in range(900)])
    town.send(upload(csv(table), id_column="id", repairs=0, pillar=pillar))
    assert sum(map(len, town.rows().values())) == 900
    assert max(sizes) < min(sizes[1:]) + 200
    assert town.service._shelves == {}, "no file is held between uploads"
    assert town.cluster.state("datamagic", APP.app).running == {}
    assert Pillar.TRAIN in town.rows()
