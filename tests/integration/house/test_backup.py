"""A house that is backed up and restored goes on where it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "stream"))

from kernel_house import House
from kernel_services import app, note

from brokers import new_broker
from easeml.backup import backup, read_manifest, restore
from easeml.cli.root import app as command
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT


def at(home):
    """A house whose broker keeps its data where 'easeml up' would."""
    house = House(home, ["summer"], memory=False)
    house.broker = new_broker(home / "broker" / "data")
    return house


def everything(house):
    topics = (APPS.name, ANNOTATIONS.name, AUDIT.name, "easeml.summer.state.v1")
    return [
        (r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp_ms)
        for t in topics
        for r in house.raw(t)
    ]


def last_total(house):
    return max((int(e.data.subject) for e in house.events(AUDIT) if e.data.action == "add"), default=0)


def test_a_restored_house_goes_on(tmp_path):
    old, new = Settings(home=tmp_path / "old"), Settings(home=tmp_path / "new")
    old.home.mkdir()
    (old.home / "epoch_seed").write_text("secret")
    (old.home / "epoch_seed").chmod(0o600)
    with at(old.home) as house:
        house.publish(APPS, app())
        for number in range(40):
            house.publish(ANNOTATIONS, note(1), f"id-{number}")
        house.flush()
        house.start("summer")
        house.wait(lambda: last_total(house) == 40, name="summer")
        assert house.stop("summer") == 0
        before = everything(house)
    made = backup(old, tmp_path / "kept", secrets=True)
    assert made == read_manifest(tmp_path / "kept")
    assert restore(new, tmp_path / "kept") == made
    assert (new.home / "epoch_seed").read_text() == "secret"
    assert (new.home / "epoch_seed").stat().st_mode & 0o777 == 0o600
    with at(new.home) as house:
        assert everything(house) == before
        house.publish(ANNOTATIONS, note(1), "id-0")  # a repetition is known
        house.publish(ANNOTATIONS, note(1), "new")
        house.flush()
        house.start("summer")
        house.wait(lambda: last_total(house) == 41, name="summer")
        house.wait(lambda: house.health("summer")[1]["lag"] == 0, name="summer")
        assert last_total(house) == 41


@pytest.fixture
def still(tmp_path):
    """A house that stands still: a broker's file, a model, the seed."""
    settings = Settings(home=tmp_path / "house")
    for name in ("broker/data/topic-0/0.log", "artifacts/ab/model.skops", "epoch_seed", "run/x.json", "logs/ci.log"):
        path = settings.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"pid": 0}' if name.startswith("run") else f"content of {name}")
    return settings


def test_secrets_are_kept_only_if_asked_for_and_run_files_never(still, tmp_path):
    plain = backup(still, tmp_path / "plain", secrets=False)
    assert sorted(plain.files) == ["artifacts/ab/model.skops", "broker/data/topic-0/0.log"]
    assert "epoch_seed" in backup(still, tmp_path / "all", secrets=True).files


def test_models_go_back_where_they_were_and_nowhere_else(still, tmp_path):
    backup(still, tmp_path / "kept", secrets=False)
    with pytest.raises(ConfigurationError, match="EASEML_ARTIFACTS_URI"):
        restore(Settings(home=tmp_path / "other"), tmp_path / "kept")
    moved = still.home.rename(tmp_path / "away")
    restore(Settings(home=still.home), tmp_path / "kept")
    name = "artifacts/ab/model.skops"
    assert (still.home / name).read_bytes() == (moved / name).read_bytes()


def test_a_house_is_never_written_over(still, tmp_path):
    backup(still, tmp_path / "kept", secrets=False)
    with pytest.raises(ConflictError, match="is there already"):
        backup(still, tmp_path / "kept", secrets=False)
    with pytest.raises(ConflictError, match="broker is there already"):
        restore(still, tmp_path / "kept")


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_backup_leaves_nothing_behind(still, tmp_path, damage):
    made = backup(still, tmp_path / "kept", secrets=False)
    path = tmp_path / "kept" / max(made.files)
    path.unlink() if damage == "missing" else path.write_text("other")
    still.home.rename(tmp_path / "away")
    with pytest.raises(InvalidDataError):
        restore(Settings(home=still.home), tmp_path / "kept")
    assert not still.home.exists()


def test_a_backup_that_names_files_outside_is_refused(still, tmp_path):
    backup(still, tmp_path / "kept", secrets=False)
    manifest = tmp_path / "kept" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("broker/data", "../../data"))
    with pytest.raises(InvalidDataError, match="no backup of this version"):
        restore(Settings(home=tmp_path / "other"), tmp_path / "kept")


def test_what_cannot_be_backed_up_is_said(still, tmp_path):
    with pytest.raises(NotFoundError):
        backup(Settings(home=tmp_path / "nowhere"), tmp_path / "kept", secrets=False)
    with pytest.raises(NotFoundError):
        restore(Settings(home=tmp_path / "nowhere"), tmp_path / "no backup")
    with pytest.raises(ConfigurationError, match="means of that cluster"):
        backup(still.model_copy(update={"bootstrap_servers": "kafka:9092"}), tmp_path / "kept", secrets=False)
    write_run_file(still.home, "broker")
    with pytest.raises(ConflictError, match="Stop it first"):
        backup(still, tmp_path / "kept", secrets=False)


def test_the_verbs_say_what_they_did(still, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(command, ["--home", str(still.home), *map(str, arguments)])

    kept = run("backup", tmp_path / "kept")
    assert kept.exit_code == 0, kept.output
    assert "2 files" in kept.output
    assert "Without --secrets" in " ".join(kept.output.split())
    still.home.rename(tmp_path / "away")
    assert "easeml up" in run("restore", tmp_path / "kept").output
