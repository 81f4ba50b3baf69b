"""``easeml watch``: follow an app live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from easeml.cli import history, story
from easeml.cli.completion import app_names
from easeml.cli.session import Session, session
from easeml.stream import codec, envelope
from easeml.stream.events import Event
from easeml.stream.payloads import AppDefined
from easeml.stream.reader import TopicReader


def watch(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The app; all by default.", autocompletion=app_names)] = None,
    from_now: Annotated[bool, typer.Option(help="Only events from now on.")] = False,
    once: Annotated[bool, typer.Option(help="Stop at the present end.")] = False,
) -> None:
    """Show what happens to an app: data, models, verdicts, questions, picks. Ctrl-C ends it."""
    current = session(context)
    with current.client() as client:
        if name is not None:
            client.app(name)
        known = client.apps() if from_now else {}
        reader = TopicReader(client.settings, history.TOLD, from_beginning=not from_now)
        try:
            for event in history.follow(reader, history=not from_now, once=once):
                if name in {None, event.app}:
                    _tell(current, event, known.get(event.app))
                if isinstance(event.data, AppDefined):
                    known[event.app] = event.data
        except KeyboardInterrupt:
            return
        finally:
            reader.close()


def _tell(current: Session, event: Event[Any], before: AppDefined | None) -> None:
    text = "" if current.as_json else story.line(event, before)
    if text is None:
        return
    clock = datetime.fromtimestamp(event.recorded, UTC).astimezone().strftime("%H:%M:%S")
    current.line(
        f"[dim]{clock}[/]  [blue]{escape(event.app)}[/]  {text}",
        type=envelope.type_of(event.data),
        app=event.app,
        topic=event.topic,
        id=event.id,
        time=event.time,
        recorded=event.recorded,
        data=codec.json_of(event.data),
    )
