"""Results on disk: whole or not at all, never more than the limit, never wrong."""

from __future__ import annotations

import json
import os

import pytest
from lineage_rows import relation_of

from easeml.errors import InvalidDataError
from easeml.lineage import Cache, storage
from easeml.lineage.cache import ABSENT, Record
from easeml.lineage.values import address_of, content_hash


def record(value) -> Record:
    return Record(address_of(value), content_hash(value), -1, 1, 0.5)


def keys(number: int) -> list[str]:
    return [f"{place:064x}" for place in range(number)]


@pytest.mark.parametrize("suffix", [".parquet", ".avro"])
@pytest.mark.parametrize("rows", [0, 6])
@pytest.mark.parametrize("label", ["churned", None])
def test_relations_come_back_exactly(tmp_path, suffix, rows, label):
    relation = relation_of(6, label).take(relation_of(6).labels < rows)
    file = tmp_path / f"relation{suffix}"
    storage.write(relation, file)
    back = storage.read(file)
    assert address_of(back) == address_of(relation)
    assert back.label == relation.label
    assert back.row_ids == relation.row_ids


def test_candidates_come_back_exactly(tmp_path, uncertain):
    for suffix in (".parquet", ".avro"):
        storage.write(uncertain, tmp_path / f"relation{suffix}")
        assert storage.read(tmp_path / f"relation{suffix}").candidates().equals(uncertain.candidates())


@pytest.mark.parametrize("damage", [b"", b"\0" * 7, b"\0\0\0\0\0\0\0\xff" + b"x" * 9, b"\0\0\0\0\0\0\0\x04null"])
def test_a_damaged_avro_file_is_refused(tmp_path, damage):
    (tmp_path / "x.avro").write_bytes(damage)
    with pytest.raises((InvalidDataError, ValueError)):
        storage.read(tmp_path / "x.avro")


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "ä\ud800", [1, [2]], {"a": None}])
def test_json_values_come_back_exactly(cache, value):
    (key,) = keys(1)
    cache.store(key, value, record(value))
    assert cache.load(cache.find(key)) == value
    assert type(cache.load(cache.find(key))) is type(value)


def test_addresses_tell_apart_what_content_hashes_do_not(relation):
    empty, other = (one.take(one.labels < -1) for one in (relation, relation_of(3, None)))
    assert empty.content_hash() == other.content_hash()
    assert address_of(empty) != address_of(other)
    renamed = type(relation)(relation.block, label="left", classes=relation.classes)
    assert address_of(renamed) != address_of(relation)


def test_a_restart_finds_what_was_stored(cache):
    (key,) = keys(1)
    cache.store(key, [1], record([1]))
    later = Cache(cache.folder)
    assert later.find(key).content_hash == content_hash([1])
    assert later.load(later.find(key)) == [1]
    assert later.find("f" * 64) is None


def test_equal_results_share_a_file(cache):
    for key in keys(3):
        cache.store(key, "same", record("same"))
    assert len(list((cache.folder / "objects").iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "null"])
def test_a_damaged_record_is_no_record(cache, text):
    (key,) = keys(1)
    cache.store(key, 1, record(1))
    (file,) = (cache.folder / "records").rglob("*.json")
    file.write_text(text)
    assert cache.find(key) is None


def test_a_record_that_was_changed_or_moved_is_no_record(cache):
    first, second = keys(2)
    cache.store(first, 1, record(1))
    (file,) = (cache.folder / "records").rglob("*.json")
    told = json.loads(file.read_text())
    file.with_name(f"{second}.json").write_text(json.dumps(told))
    assert cache.find(second) is None
    told["record"]["address"] = "0" * 64
    file.write_text(json.dumps(told))
    assert cache.find(first) is None


def test_a_damaged_object_is_deleted_and_absent(cache):
    (key,) = keys(1)
    cache.store(key, "text", record("text"))
    (file,) = (cache.folder / "objects").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.load(cache.find(key)) is ABSENT
    assert not file.exists()
    assert cache.load(cache.find(key)) is ABSENT


def test_a_record_cannot_point_out_of_the_folder(cache, tmp_path):
    (tmp_path / "secret.json").write_text("1")
    assert cache.load(Record("", "", -1, 1, 0.0, "../../secret.json")) is ABSENT
    assert (tmp_path / "secret.json").exists()


def used(cache, key, seconds):
    """Set when a result was used last."""
    found = cache.find(key)
    for path in (cache.folder / "objects" / found.file, cache._record(key)):
        os.utime(path, (seconds, seconds))


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = Cache(tmp_path / "cache", limit=11_000)
    texts = {key: key[-1] * 3000 for key in keys(4)}
    first, second, third, fourth = texts
    for place, key in enumerate((first, second, third)):
        cache.store(key, texts[key], record(texts[key]))
        used(cache, key, 1000 + place)
    assert cache.load(cache.find(first)) == texts[first]
    cache.store(fourth, texts[fourth], record(texts[fourth]))
    assert cache.size() <= 11_000
    assert cache.find(second) is None or cache.load(cache.find(second)) is ABSENT
    assert cache.load(cache.find(first)) == texts[first]
    assert cache.load(cache.find(fourth)) == texts[fourth]


def test_a_result_beyond_the_limit_is_not_kept(tmp_path):
    cache = Cache(tmp_path / "cache", limit=2000)
    (key,) = keys(1)
    kept = cache.store(key, "x" * 3000, record("x" * 3000))
    assert kept.file == ""
    assert cache.load(kept) is ABSENT
    assert not list((cache.folder / "objects").iterdir())


def test_half_written_files_of_dead_processes_are_removed(cache):
    first, second = keys(2)
    cache.store(first, 1, record(1))
    old, new = cache.folder / "objects" / "a.part.json", cache.folder / "objects" / "b.part.json"
    old.write_text("1")
    new.write_text("1")
    os.utime(old, (1000, 1000))
    Cache(cache.folder).store(second, 2, record(2))
    assert not old.exists()
    assert new.exists()


def test_nothing_is_left_of_a_value_that_cannot_be_written(cache, monkeypatch):
    def fail(value, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        cache.store(keys(1)[0], 1, record(1))
    assert not list((cache.folder / "objects").iterdir())


def test_clear_forget_and_size(cache):
    assert cache.size() == 0
    first, second = keys(2)
    for key in (first, second):
        cache.store(key, key, record(key))
    assert cache.size() > 0
    cache.forget(first)
    assert cache.find(first) is None
    assert cache.find(second) is not None
    cache.clear()
    assert cache.size() == 0
    with pytest.raises(InvalidDataError, match="0 bytes holds nothing"):
        Cache(cache.folder, limit=0)


def test_timings_are_remembered(cache):
    assert cache.timing("test.slow-1") is None
    cache.note_timing("test.slow-1", 1.5, 1000)
    assert Cache(cache.folder).timing("test.slow-1") == (1.5, 1000)
