"""``easeml models``: list the models of an app, and take one out of the house."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from easeml.artifacts import ArtifactStore
from easeml.artifacts.export import Target, export
from easeml.automl.choice import preferred
from easeml.cli.completion import App
from easeml.cli.history import present
from easeml.cli.session import session
from easeml.client import Client
from easeml.errors import ArtifactError, NotFoundError
from easeml.stream import codec
from easeml.stream.payloads import ModelPublished, ModelRetired
from easeml.stream.topics import APPS, MODELS

app = typer.Typer(help="List the models of an app, and export one.", no_args_is_help=True)


@app.command("list")
def list_models(context: typer.Context, name: App) -> None:
    """List the models that are not retired, the oldest first; a star is at the one that promises most on new rows."""
    current = session(context)
    with current.client() as client:
        known = _models(client, name)
    best = preferred(known.values())
    rows = [
        {
            "model": model.model,
            "best": "*" if model is best else "",
            "algorithm": model.algorithm,
            "accuracy": f"{model.metrics['accuracy']:.3f}" if "accuracy" in model.metrics else "",
            "format": model.format,
            "bytes": model.size,
            "version": model.data_version,
            "parents": ", ".join(model.parents),
        }
        for model in known.values()
    ]
    current.table(("model", "best", "algorithm", "accuracy", "format", "bytes", "version", "parents"), rows)


@app.command("export")
def export_model(
    context: typer.Context,
    name: App,
    model: Annotated[str, typer.Argument(help="The model, see 'easeml models list'.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet.")],
    to: Annotated[Target, typer.Option(help="As what; mlflow and onnx need the extra of that name.")] = Target.SKOPS,
) -> None:
    """Write a model to a folder, its size, digest and types checked."""
    current = session(context)
    with current.client() as client:
        known = _models(client, name)
        settings = client.settings
    if model not in known:
        raise NotFoundError(
            f"App {name!r} has no model {model!r}.",
            mend=f"See 'easeml models list {name}'; models of other apps and retired ones cannot be exported.",
        )
    found = known[model]
    if not found.uri:
        raise ArtifactError(
            f"The model {model!r} is external: it publishes predictions and has no file here.",
            mend="Ask whoever runs it.",
        )
    data = ArtifactStore(settings.store_uri, settings.max_artifact_bytes).get(found.uri, found.sha256)
    export(data, codec.json_of(found), folder, to)
    current.line(
        f"Wrote {escape(model)} ({len(data):,} bytes) to {escape(str(folder))} as {to}.",
        model=model, folder=str(folder), format=to.value, sha256=found.sha256,
    )  # fmt: skip


def _models(client: Client, name: str) -> dict[str, ModelPublished]:
    """Return the models of an app's present life that are not retired, by name."""
    client.app(name)
    known: dict[str, ModelPublished] = {}
    for event in present(client.events(name, APPS.name, MODELS.name, follow=False)):
        if isinstance(event.data, ModelPublished):
            known[event.data.model] = event.data
        elif isinstance(event.data, ModelRetired):
            known.pop(event.data.model, None)
    return known
