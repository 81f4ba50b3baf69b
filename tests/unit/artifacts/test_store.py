import hashlib
import os

import fsspec
import pytest

from easeml.artifacts import ArtifactStore
from easeml.errors import ArtifactError, ConfigurationError


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    uri = tmp_path.as_uri() + "/with%20space" if request.param == "file" else f"memory://{tmp_path.name}"
    return ArtifactStore(uri, max_bytes=1000)


def test_a_file_comes_back(store):
    stored = store.put(b"weights")
    assert stored.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert stored.size == 7
    assert stored.uri.startswith(store.uri + "/")
    assert store.get(stored.uri, stored.sha256) == b"weights"


def test_put_is_idempotent(store):
    assert store.put(b"weights") == store.put(b"weights")


def test_a_deleted_file_is_gone(store):
    first, other = store.put(b"weights"), store.put(b"others")
    assert store.delete(first.uri)
    assert not store.delete(first.uri)
    with pytest.raises(ArtifactError):
        store.get(first.uri, first.sha256)
    assert store.get(other.uri, other.sha256) == b"others"
    with pytest.raises(ArtifactError):
        store.delete(f"{store.uri}/../x")


def test_put_repairs_a_damaged_file(store):
    stored = store.put(b"weights")
    with store._fs.open(store._path(stored.uri), "wb") as file:
        file.write(b"weighty")
    store.put(b"weights")
    assert store.get(stored.uri, stored.sha256) == b"weights"


def test_a_folder_uri_with_a_space_is_that_folder(tmp_path):
    ArtifactStore((tmp_path / "a b").as_uri(), 1000).put(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a b"]


def test_a_plain_path_is_a_file_uri(tmp_path):
    stored = ArtifactStore(str(tmp_path), 1000).put(b"x")
    assert stored.uri.startswith("file:///")


def test_a_changed_byte_is_noticed(store):
    stored = store.put(b"weights")
    with store._fs.open(store._path(stored.uri), "wb") as file:
        file.write(b"weighty")
    with pytest.raises(ArtifactError, match="digest"):
        store.get(stored.uri, stored.sha256)


def test_another_digest_is_refused(store):
    stored = store.put(b"weights")
    with pytest.raises(ArtifactError, match="announced was"):
        store.get(stored.uri, "0" * 64)
    with pytest.raises(ArtifactError, match="not a SHA-256"):
        store.get(stored.uri, "../../etc/passwd")


def test_too_large_is_refused_on_both_sides(store):
    with pytest.raises(ArtifactError, match="1001 bytes"):
        store.put(b"x" * 1001)
    big = ArtifactStore(store.uri, max_bytes=5000).put(b"x" * 2000)
    with pytest.raises(ArtifactError, match="2000 bytes"):
        store.get(big.uri, big.sha256)


def test_the_limit_holds_when_the_announced_size_lies(store, monkeypatch):
    big = ArtifactStore(store.uri, max_bytes=5000).put(b"x" * 2000)
    monkeypatch.setattr(type(store._fs), "info", lambda *_args, **_kwargs: {"size": 1, "type": "file"})
    with pytest.raises(ArtifactError, match="1001 bytes"):
        store.get(big.uri, big.sha256)


def test_a_missing_file_is_an_artifact_error(store):
    with pytest.raises(ArtifactError, match="no model file"):
        store.get(f"{store.uri}/ab/absent.skops", "0" * 64)


@pytest.mark.parametrize(
    "tail",
    [
        "../secret",
        "ab/../../secret",
        "ab/%2e%2e/secret",
        "",
        "/",
        "ab//x",
        ".hidden",
        "ab/./x",
        "a\\b",
        "a\x00b",
        "x?y",
    ],
)
def test_no_path_leads_out_of_the_store(store, tail):
    with pytest.raises(ArtifactError, match="does not lie in"):
        store.get(f"{store.uri}/{tail}", "0" * 64)


@pytest.mark.parametrize(
    "uri",
    ["http://example.org/m.skops", "file:///etc/passwd", "/etc/passwd", "simplecache::http://x/y", "memory://other"],
)
def test_foreign_uris_are_refused(store, uri):
    with pytest.raises(ArtifactError, match="does not lie in"):
        store.get(uri, "0" * 64)


def test_a_link_out_of_the_store_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "store").mkdir()
    os.symlink(tmp_path / "secret", tmp_path / "store" / "link")
    store = ArtifactStore((tmp_path / "store").as_uri(), 1000)
    with pytest.raises(ArtifactError, match="does not lie in"):
        store.get(f"{store.uri}/link", hashlib.sha256(b"secret").hexdigest())


@pytest.mark.parametrize("uri", ["http://example.org", "zip::file:///x", "ftp://x"])
def test_unknown_schemes_are_configuration_errors(uri):
    with pytest.raises(ConfigurationError, match="EASEML_ARTIFACTS_URI"):
        ArtifactStore(uri, 1000)


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    store = ArtifactStore(tmp_path.as_uri(), 1000)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(Exception, match="disk gone"):
        store.put(b"weights")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_memory_stores_are_shared_in_the_process():
    assert fsspec.filesystem("memory") is fsspec.filesystem("memory")
