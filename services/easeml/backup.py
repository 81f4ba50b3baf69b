"""A house as files in one folder, and back: topics, states, models and, if asked for, its secrets.

A house is what its broker keeps. Services know where they are by offsets, and those are the same only in a copy of the
broker's own files; messages that are published again take others. So a backup is a copy of a house that stands still,
with the digest of every file. A house on another Kafka cluster has its topics there: they are backed up by the means of
that cluster.

What is made anew at a start is left out: run files, logs and caches. Addresses of models are absolute, so models go
back where they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.supervisor.stack import alive, discover

FORMAT = 1
MANIFEST = "manifest.json"
BROKER, ARTIFACTS, CHECKPOINTS = "broker", "artifacts", "checkpoints"
SECRETS = ("epoch_seed", "house.key", "tokens.json")
"""The seed of all random choices, the key of the house's own tools, and digests of people's tokens."""
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Parameters
    ----------
    format : int
        Version of this layout.
    store_uri : str
        Where the models were.
    files : dict of str to str
        Path below the folder -> SHA-256, hexadecimal.
    bytes : int
        Size of all files.
    """

    format: int
    store_uri: str
    files: dict[str, str]
    bytes: int


def backup(settings: Settings, folder: Path, *, secrets: bool) -> Manifest:
    """Copy a house that stands still into a new folder; the folder appears when it is complete.

    Raises
    ------
    ConfigurationError
        When the topics are on another Kafka cluster.
    ConflictError
        When the house runs, or the folder is there already.
    NotFoundError
        When there is no house.
    """
    _refuse_running(settings)
    home = settings.home
    if not (home / BROKER).is_dir():
        raise NotFoundError(f"There is no house in {home}.", mend="Name its folder with --home.")
    if folder.exists():
        raise ConflictError(f"{folder} is there already.", mend="Name a new folder.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    files, size = {}, 0
    for name, source in _sources(settings, secrets=secrets):
        files[name] = _copy(source, partial / name)
        size += source.stat().st_size
    manifest = Manifest(FORMAT, settings.store_uri, files, size)
    (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
    partial.replace(folder)
    return manifest


def restore(settings: Settings, folder: Path) -> Manifest:
    """Bring a backup into a home without a house; nothing is there before every digest was found right.

    Raises
    ------
    ConfigurationError
        When the topics are to be on another Kafka cluster, or models would come to another place.
    ConflictError
        When the home has a house, or the place of the models is taken.
    InvalidDataError
        When a file is missing, was changed, or is none of a backup.
    NotFoundError
        When the folder holds no backup.
    """
    _refuse_running(settings)
    manifest = read_manifest(folder)
    home, store = settings.home, _store(settings)
    models = [name for name in manifest.files if name.startswith(f"{ARTIFACTS}/")]
    if models and settings.store_uri != manifest.store_uri:
        raise ConfigurationError(
            f"The models of this backup were at {manifest.store_uri}, the settings say {settings.store_uri}.",
            mend=f"Restore into the home it had, or set EASEML_ARTIFACTS_URI={manifest.store_uri} for good.",
        )
    taken = [home / name for name in (BROKER, CHECKPOINTS, *SECRETS) if (home / name).exists()]
    if models and store is not None and store.exists():
        taken.append(store)
    if taken:
        raise ConflictError(f"{taken[0]} is there already.", mend="Restore into a home without a house.")
    _verify(folder, manifest)
    for name, digest in manifest.files.items():
        target = store / name.removeprefix(f"{ARTIFACTS}/") if name in models and store else home / name
        if _copy(folder / name, target) != digest:
            raise InvalidDataError(f"{target} was not written as it was read.", mend="Check the disk.")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup says it holds.

    Raises
    ------
    InvalidDataError
        When it is not one that this program can read.
    NotFoundError
        When the folder holds no backup.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text())
        manifest = Manifest(**content)
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} holds no backup.", mend="Name a folder that 'easeml backup' made.") from error
    except (ValueError, TypeError) as error:
        raise InvalidDataError(f"{folder / MANIFEST} cannot be read: {error}.", mend="Take another backup.") from error
    inside = all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in manifest.files)
    if manifest.format != FORMAT or not inside:
        raise InvalidDataError(f"{folder} is no backup of this version.", mend="Restore it with the version it is of.")
    return manifest


def _refuse_running(settings: Settings) -> None:
    if settings.bootstrap_servers:
        raise ConfigurationError(
            f"The topics are on {settings.bootstrap_servers}, not in {settings.home}.",
            mend="Back them up by the means of that cluster; a backup is of a house with the embedded broker.",
        )
    broker = read_run_file(settings.home, BROKER)
    if discover(settings.home) is not None or (broker is not None and alive(broker["pid"])):
        raise ConflictError(
            f"The house in {settings.home} runs; what it writes meanwhile would not fit together.",
            mend="Stop it first (Ctrl-C, or SIGTERM to 'easeml up'), and start it again afterwards.",
        )


def _store(settings: Settings) -> Path | None:
    """Return the folder of the models, None when they are not in a folder."""
    uri = settings.store_uri
    return Path(uri.removeprefix("file://")) if uri.startswith("file://") else None


def _sources(settings: Settings, *, secrets: bool) -> Iterator[tuple[str, Path]]:
    """Yield name in the backup and path of every file, in order."""
    home, store = settings.home, _store(settings)
    for name, root in ((BROKER, home / BROKER), (CHECKPOINTS, home / CHECKPOINTS), (ARTIFACTS, store)):
        if root is not None:
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    yield f"{name}/{path.relative_to(root).as_posix()}", path
    for name in SECRETS if secrets else ():
        if (home / name).exists():
            yield name, home / name


def _copy(source: Path, target: Path) -> str:
    """Copy a file with its rights, wait for the disk, and return the digest of what was read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    mode = source.stat().st_mode & 0o777
    with source.open("rb") as read, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _verify(folder: Path, manifest: Manifest) -> None:
    for name, digest in manifest.files.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidDataError(f"{folder / name} cannot be read: {error}.", mend="Take another backup.") from error
        if found != digest:
            raise InvalidDataError(f"{folder / name} is not as it was written.", mend="Take another backup.")
