"""``easeml snoopy``: whether a file's rows can reach a target accuracy; needs no broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from easeml import appearance
from easeml.cli.file_options import WholeFileOptions, reads_a_file
from easeml.cli.reading import Told, progress_bar
from easeml.cli.session import session
from easeml.datamagic.reading import FORMATS
from easeml.relation.overview import short
from easeml.snoopy import Encoding as Encoder
from easeml.snoopy import FeasibilityReport, estimate
from easeml.snoopy.report import check_target
from easeml.snoopy.wording import percent

_LONGEST = 100


@reads_a_file
def snoopy(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help=f"A path or a URL: {', '.join(FORMATS)}, plain or compressed.")],
    target: Annotated[float, typer.Option(help="Accuracy to reach, between 0 and 1.")],
    label: Annotated[str | None, typer.Option(help="Label column; a folder of classes needs none.")] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Share of labels drawn at random, if known: tells what cleaning brings."),
    ] = None,
    *,
    how: WholeFileOptions,
    seed: Annotated[int, typer.Option(help="Seed of the order in which rows are read.")] = 0,
    page: Annotated[Path | None, typer.Option("--html", help="Write the report as a page.")] = None,
) -> None:
    """Tell whether the data can reach a target accuracy, before anything is trained."""
    current = session(context)
    check_target(target)
    if page is not None and not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {page.absolute().parent}.", param_hint="--html")
    found = how.read(file, label=label)
    told = Told(found)
    relation = found.relation
    inputs, labels, _ = Encoder.of(relation).rows(relation)
    with progress_bar(current, "rows read") as progress:
        report = estimate(
            inputs,
            labels,
            target,
            rng=np.random.default_rng(seed),
            n_classes=len(relation.classes),
            noise_rate=noise,
            progress=progress,
        )
    if current.as_json:
        current.line("", read=told.facts(), **report.facts())
    else:
        current.console.print(told.summary(row_id=found.row_id))
        print(report.text(width=min(current.console.width, 100)))
    if page is not None:
        page.write_text(_page(report, found.account.name), encoding="utf-8")
        if not current.as_json:
            current.console.print(f"Wrote {escape(str(page))}.")


def _page(report: FeasibilityReport, name: str) -> str:
    title = f"Can {short(Path(name).name, _LONGEST)} reach {percent(report.target_accuracy)}?"
    return appearance.page(title, report.html())
