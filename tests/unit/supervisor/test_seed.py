"""The secret seed of a house."""

from __future__ import annotations

import pytest

from easeml.supervisor import seed


@pytest.fixture(autouse=True)
def without_a_seed(monkeypatch):
    monkeypatch.setenv(seed.VARIABLE, "")  # so that what a test draws is taken back
    monkeypatch.delenv(seed.VARIABLE)


def test_drawn_once_kept_and_private(tmp_path, monkeypatch):
    seed.provide(tmp_path)
    first = seed.os.environ[seed.VARIABLE]
    assert len(first) == 64
    assert (tmp_path / "epoch_seed").stat().st_mode & 0o077 == 0
    monkeypatch.delenv(seed.VARIABLE)
    seed.provide(tmp_path)
    assert seed.os.environ[seed.VARIABLE] == first


@pytest.mark.parametrize("variable", [seed.VARIABLE, f"{seed.VARIABLE}_FILE"])
def test_a_seed_that_is_set_wins(variable, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, "mine")
    seed.provide(tmp_path)
    assert seed.os.environ[variable] == "mine"
    assert not (tmp_path / "epoch_seed").exists()
