"""``easeml picker``: compare policies of the model picker on what production has recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from easeml.cli.ci_files import LABEL, Cells
from easeml.cli.completion import app_names
from easeml.cli.history import present
from easeml.cli.session import Session, session
from easeml.errors import ConfigurationError, InvalidDataError, NotFoundError
from easeml.modelpicker.picker import ENGINES
from easeml.modelpicker.replay import TOPICS, Replay, Replayed, answers
from easeml.stream.payloads import AppDefined

app = typer.Typer(help="Compare policies of the model picker on recorded production streams.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Compare policies of the model picker on recorded production streams."""


@app.command("replay")
def replay(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="App.", metavar="APP", autocompletion=app_names)],
    *,
    policies: Annotated[
        list[str] | None, typer.Option("--policy", help=f"{', '.join(ENGINES)}; repeat it. By default all.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Labels to spend; by default the app's.", min=0)] = None,
    horizon: Annotated[int | None, typer.Option(help="Rows to spread them over; by default the app's.", min=1)] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV with labels of more rows than were asked about.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of that file with the identity of each row.")] = "id",
    seed: Annotated[int, typer.Option(help="Seed of the policies' draws.")] = 0,
) -> None:
    """Tell what each policy would have asked, picked and served on the recorded predictions and answers of an app.

    A question about a row whose label nobody gave is passed over; accuracy is that on rows with a known label.
    """
    current = session(context)
    chosen = list(dict.fromkeys(policies or ENGINES))
    for policy in chosen:
        if policy not in ENGINES:
            raise ConfigurationError(f"There is no policy {policy!r}.", mend=f"Use one of {', '.join(ENGINES)}.")
    with current.client() as client:
        defined = client.app(name)
        history = present(client.events(name, *TOPICS, follow=False))
    known = answers(history) | (_codes(labels, id_column, defined) if labels else {})
    limits = {"label_budget": budget, "horizon": horizon}
    changed = {field: value for field, value in limits.items() if value is not None}
    found = [
        Replay(name, changed | {"picker_policy": policy}, known, np.random.default_rng(seed)).run(history)
        for policy in chosen
    ]
    if not found[0].rows:
        raise NotFoundError(
            f"No production rows of {name!r} have been predicted by models that passed.",
            mend="Publish production rows, and ask again once models serve them.",
        )
    _tell(current, found)


def _codes(path: Path, id_column: str, defined: AppDefined) -> dict[str, int]:
    """Return the classes of a file by row."""
    names = Cells.read(path, id_column).optional(LABEL)
    strange = next((name for name in names.values() if name not in defined.classes), None)
    if strange is not None or not names:
        wrong = "has no labels" if strange is None else f"has the label {strange!r}"
        raise InvalidDataError(
            f"{path} {wrong}.", mend=f"Write a column {LABEL!r} with classes of the app: {', '.join(defined.classes)}."
        )
    return {row: defined.classes.index(name) for row, name in names.items()}


def _tell(current: Session, found: list[Replayed]) -> None:
    if current.as_json:
        for done in found:
            current.line("", **asdict(done), accuracy=done.accuracy, combined_accuracy=done.combined_accuracy)
        return
    columns = ("policy", "rows", "labels", "not answered", "rows known", "pick right", "picker right", "picks", "pick")
    current.table(columns, map(_summary, found), title="What each policy would have done")
    picks = (
        {"policy": done.policy, **asdict(pick), "drift": "yes" if pick.drift else ""}
        for done in found
        for pick in done.picks
    )
    current.table(("policy", "rows", "labels", "model", "drift"), picks, title="Its picks")


def _summary(done: Replayed) -> dict[str, Any]:
    return {
        "policy": done.policy,
        "rows": f"{done.rows:,}",
        "labels": done.labels,
        "not answered": done.unanswered,
        "rows known": f"{done.known:,}",
        "pick right": _share(done.accuracy),
        "picker right": _share(done.combined_accuracy),
        "picks": len(done.picks),
        "pick": done.picks[-1].model if done.picks else "",
    }


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
