"""``easeml watch``: follow an app live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from easeml.cli import story
from easeml.cli.session import session
from easeml.stream import codec
from easeml.stream.payloads import PredictionBatch, RelationBatch


def watch(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The app; all by default.")] = None,
    from_now: Annotated[bool, typer.Option(help="Only events from now on.")] = False,
    once: Annotated[bool, typer.Option(help="Stop at the present end.")] = False,
) -> None:
    """Show what happens to an app: data, models, verdicts, questions, picks. Ctrl-C ends it."""
    current = session(context)
    with current.client() as client:
        if name is not None:
            client.app(name)
        try:
            for event in client.events(name, from_beginning=not from_now, follow=not once):
                if current.as_json:
                    if not isinstance(event.data, RelationBatch | PredictionBatch):
                        current.line(
                            "", topic=event.topic, id=event.id, time=event.time, data=codec.json_of(event.data)
                        )
                    continue
                text = story.line(event)
                if text is not None:
                    clock = datetime.fromtimestamp(event.time, UTC).astimezone().strftime("%H:%M:%S")
                    current.line(f"[dim]{clock}[/]  [blue]{event.app}[/]  {text}")
        except KeyboardInterrupt:
            return
