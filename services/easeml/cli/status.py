"""``easeml status``, ``doctor`` and ``topics``: whether the house is well."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import typer
from rich.markup import escape

from easeml.cli import waiting
from easeml.cli.doors import address, doors
from easeml.cli.session import Session, session
from easeml.errors import EaseMLError
from easeml.stream import admin, deadletters
from easeml.stream.reader import TopicReader
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME, CATALOGUE
from easeml.supervisor.roster import PROCESSES
from easeml.supervisor.stack import alive, connected, discover

_DISK_FLOOR = 2**30


def status(context: typer.Context) -> None:
    """Show every service: whether it is ready, healthy, and how far behind."""
    current = session(context)
    settings = connected(current.settings)
    admin.metadata(settings)
    rows = [service_row(current.settings, name) for name in PROCESSES]
    current.line(f"Broker {settings.bootstrap_servers}", broker=settings.bootstrap_servers)
    current.table(("service", "state", "pid", "lag", "address", "reasons"), rows)
    for one in waiting.read(settings)[0]:
        current.line(f"[yellow]App {escape(one.app)}:[/] {escape(str(one))}", **asdict(one))
    if any(row["state"] != "SERVING" for row in rows):
        raise typer.Exit(1)


def service_row(settings: Settings, name: str) -> dict[str, Any]:
    """Return what a process of the house says of itself."""
    running = read_run_file(settings.home, name)
    row: dict[str, Any] = {
        "service": name,
        "state": "not running",
        "pid": "",
        "lag": "",
        "address": "",
        "reasons": "",
    }
    if running is None or not alive(running["pid"]):
        return row
    health = _health(f"http://{address(settings, running['health_port'])}/health")
    return row | {
        "state": health.get("status", "?"),
        "pid": running["pid"],
        "lag": health.get("lag", ""),
        "address": ", ".join(doors(settings, running.get("ports", {})).values()),
        "reasons": "; ".join(health.get("reasons", [])),
    }


def _health(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:  # noqa: S310 - our own loopback address
            content: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refused:  # 503: not serving, with its reasons
        content = json.load(refused)
    except OSError as error:
        content = {"status": "UNREACHABLE", "reasons": [str(error)]}
    return content


def topics(context: typer.Context) -> None:
    """List the topics with their messages."""
    current = session(context)
    current.table(("topic", "partitions", "end_offsets", "policy"), topic_rows(connected(current.settings)))


def topic_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return the topics of a cluster with their messages."""
    present = admin.existing(settings)
    reader = TopicReader(settings, present)
    ends = reader.ends()
    reader.close()
    return [
        {
            "topic": name,
            "partitions": layout.partitions,
            "end_offsets": sum(end for (topic, _), end in ends.items() if topic == name),
            "policy": _policy(name),
        }
        for name, layout in sorted(present.items())
    ]


def _policy(name: str) -> str:
    topic = BY_NAME.get(name)
    if topic is None:
        return "dead letters" if name.endswith(".dlq") else "state"
    return ", ".join(word for word, on in (("compacted", topic.compacted), ("restricted", topic.restricted)) if on)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    subject: str
    well: bool
    text: str
    waits: bool = False  #: nothing is broken, but somebody has to do something

    @property
    def state(self) -> str:
        """One word for people."""
        return "WRONG" if not self.well else "WAITS" if self.waits else "ok"


def doctor(context: typer.Context) -> None:
    """Look for what is wrong and say how to mend it."""
    current = session(context)
    findings = list(_examine(current))
    rows = [{"state": f.state, "subject": f.subject, "finding": f.text} for f in findings]
    if current.as_json:
        rows = [row | {"state": row["state"].lower()} for row in rows]
    current.table(("state", "subject", "finding"), rows)
    if not all(f.well for f in findings):
        raise typer.Exit(1)


def _examine(current: Session) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", (3, 11) <= sys.version_info[:2] <= (3, 13), f"{version}; 3.11 to 3.13 are tested")
    home = current.settings.home.resolve()
    folder = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    yield Finding("disk", free > _DISK_FLOOR, f"{free / 2**30:.1f} GiB free at {folder}")
    stack = discover(current.settings.home)
    here = f"runs in {stack.home}" if stack else f"does not run in {current.settings.home}; 'easeml up' starts it"
    yield Finding("house", stack is not None or bool(current.settings.bootstrap_servers), here)
    try:
        settings = connected(current.settings)
        present = admin.existing(settings)
    except EaseMLError as error:
        yield Finding("broker", False, str(error))
        return
    yield Finding("broker", True, f"answers at {settings.bootstrap_servers}")
    missing = [t.name for t in CATALOGUE if t.name not in present]
    absent = f"missing: {', '.join(missing)}; 'easeml up' creates them"
    yield Finding("topics", not missing, absent if missing else f"{len(present)} there")
    other = {n: t.partitions for n, t in present.items() if t.partitions != settings.partitions}
    yield Finding(
        "partitions",
        not other,
        f"{other} differ from EASEML_PARTITIONS={settings.partitions}"
        if other
        else f"{settings.partitions} everywhere",
    )
    letters = sum(1 for _ in deadletters.read(settings))
    yield Finding(
        "dead letters", letters == 0, f"{letters}; 'easeml dead-letters list' shows their causes" if letters else "none"
    )
    if not missing:
        yield from _read(settings)
    for name in PROCESSES:
        row = service_row(current.settings, name)
        yield Finding(name, row["state"] == "SERVING", f"{row['state']} {row['reasons']}".strip())


def _read(settings: Settings) -> Iterator[Finding]:
    """Yield what the events themselves tell."""
    idle, unreadable = waiting.read(settings)
    for one in idle:
        yield Finding(f"app {one.app}", True, str(one), waits=True)
    if unreadable:
        text = f"{unreadable} on the topics cannot be read; 'easeml dead-letters list --all' shows their causes"
        yield Finding("messages", True, text)
