"""The secret seed of a house."""

from __future__ import annotations

from easeml.supervisor import seed


def test_drawn_once_kept_and_private(tmp_path, monkeypatch):
    monkeypatch.delenv(seed.VARIABLE, raising=False)
    seed.provide(tmp_path)
    first = seed.os.environ[seed.VARIABLE]
    assert len(first) == 64
    assert (tmp_path / "epoch_seed").stat().st_mode & 0o077 == 0
    monkeypatch.delenv(seed.VARIABLE)
    seed.provide(tmp_path)
    assert seed.os.environ[seed.VARIABLE] == first


def test_a_seed_that_is_set_wins(tmp_path, monkeypatch):
    monkeypatch.setenv(seed.VARIABLE, "mine")
    seed.provide(tmp_path)
    assert seed.os.environ[seed.VARIABLE] == "mine"
    assert not (tmp_path / "epoch_seed").exists()
