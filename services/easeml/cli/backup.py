"""``easeml backup`` and ``easeml restore``: a house as files in one folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from easeml import backup as houses
from easeml.cli.session import session


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    secrets: Annotated[
        bool, typer.Option("--secrets", help="With the seed of random choices, the house key and the tokens.")
    ] = False,
) -> None:
    """Copy a stopped house with its topics, states and models into a folder."""
    current = session(context)
    made = houses.backup(current.settings, folder, secrets=secrets)
    text = _told(f"{folder} holds", made)
    if not secrets:
        text += " Without --secrets, a house restored from it draws another seed, and old tokens open nothing."
    current.line(text, files=len(made.files), bytes=made.bytes, secrets=secrets, folder=str(folder))


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder that 'easeml backup' made.")],
) -> None:
    """Bring a backup into an empty home, after a look at every digest."""
    current = session(context)
    made = houses.restore(current.settings, folder)
    text = _told(f"{current.settings.home} has", made) + " Start it with 'easeml up'."
    current.line(text, files=len(made.files), bytes=made.bytes, home=str(current.settings.home))


def _told(begin: str, made: houses.Manifest) -> str:
    return f"{begin} {len(made.files)} files, {made.bytes / 2**20:.1f} MiB."
