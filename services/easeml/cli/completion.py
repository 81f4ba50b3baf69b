"""Names of apps, while somebody types one: ``easeml --install-completion`` makes the shell ask."""

from __future__ import annotations

from typing import Annotated

import typer

from easeml.cli.session import Session
from easeml.errors import EaseMLError


def app_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the apps whose names begin so; none where no house answers: a shell has no place for errors there."""
    # Imported here: whoever asks for help shall not wait for what reads topics.
    from easeml.stream.reader import TopicReader  # noqa: PLC0415
    from easeml.stream.topics import APPS  # noqa: PLC0415
    from easeml.stream.views import Broadcast  # noqa: PLC0415
    from easeml.supervisor.stack import connected  # noqa: PLC0415

    options = context.find_root().params
    seen = Broadcast(live=True)
    try:
        said = Session.of(options.get("bootstrap") or "", options.get("home"), as_json=False)
        reader = TopicReader(connected(said.settings), [APPS.name])
        try:
            for record in reader.replay_raw():
                seen.apply(record)
        finally:
            reader.close()
    except EaseMLError:
        return []
    return sorted(name for name in seen.apps if name.startswith(incomplete))


App = Annotated[str, typer.Argument(help="The app.", autocompletion=app_names)]
"""The argument that names an app."""
