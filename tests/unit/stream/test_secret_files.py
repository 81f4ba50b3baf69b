"""Secrets that come in files, as containers get them."""

from __future__ import annotations

import pytest

from easeml.errors import ConfigurationError
from easeml.stream.settings import Settings


@pytest.mark.parametrize("name", ["token", "sasl_password", "epoch_seed"])
def test_a_secret_may_come_in_a_file(name, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("of the file\n")
    monkeypatch.setenv(f"EASEML_{name.upper()}_FILE", str(tmp_path / "secret"))
    assert getattr(Settings.load(), name).get_secret_value() == "of the file"
    monkeypatch.setenv(f"EASEML_{name.upper()}", "of the environment")
    assert getattr(Settings.load(), name).get_secret_value() == "of the environment"


def test_a_file_opens_the_doors_to_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("EASEML_HOST", "0.0.0.0")
    with pytest.raises(ConfigurationError, match="without a token"):
        Settings.load()
    (tmp_path / "token").write_text("word")
    monkeypatch.setenv("EASEML_TOKEN_FILE", str(tmp_path / "token"))
    assert Settings.load().host == "0.0.0.0"


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"\xff", "cannot be read"), (b" \n", "empty")]
)
def test_a_file_without_a_secret_is_refused(content, words, tmp_path, monkeypatch):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    monkeypatch.setenv("EASEML_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(ConfigurationError, match=f"EASEML_TOKEN_FILE.*{words}"):
        Settings.load()


def test_what_is_no_secret_comes_in_no_file(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("/elsewhere")
    monkeypatch.setenv("EASEML_HOME_FILE", str(tmp_path / "home"))
    assert str(Settings.load().home) == ".easeml"
