"""``easeml status`` and ``topics``: whether the house is well."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import asdict
from typing import Any

import typer
from rich.markup import escape

from easeml.cli import waiting
from easeml.cli.doors import address, doors
from easeml.cli.session import session
from easeml.stream import admin
from easeml.stream.reader import TopicReader
from easeml.stream.runfiles import read_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME
from easeml.supervisor.roster import PROCESSES
from easeml.supervisor.stack import alive, connected


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
        "version": "",
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
        "version": health.get("version", ""),
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
