"""The ledger as JSON lines and as a page."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chaos_checks import Verdicts
from chaos_faults import ENDS, Entry

YOUNG = 30.0
"""Seconds after its start in which a process still takes memory for what it begins with."""


@dataclass(frozen=True)
class Sample:
    """What a process took at a moment: seconds since the run began, MiB, seconds since it started, messages behind."""

    at: float
    service: str
    megabytes: float
    age: float
    lag: int


@dataclass
class Run:
    """What a run was and found."""

    command: str
    broker: str
    minutes: float
    capacity: float
    rate: float
    produced: int
    ledger: list[Entry]
    samples: list[Sample]
    found: Verdicts
    deaths: list[dict[str, Any]]
    """What services said that died in the middle of a batch: name, point, batch, offsets in flight, lag."""


def slope(samples: list[Sample]) -> float:
    """Return the growth of memory in MiB an hour: the median of the slopes of pairs (Theil and Sen), NaN for few."""
    grown = [sample for sample in samples if sample.age >= YOUNG]
    if len(grown) < 10:
        return float("nan")
    at = np.array([sample.at for sample in grown])
    size = np.array([sample.megabytes for sample in grown])
    left, right = np.triu_indices(len(at), 1)
    apart = at[right] - at[left]
    return float(np.median((size[right] - size[left])[apart > 0] / apart[apart > 0])) * 3600


def write(run: Run, lines: Path, page: Path) -> None:
    """Write both."""
    with lines.open("w") as file:
        for entry in run.ledger:
            file.write(json.dumps(asdict(entry)) + "\n")
        for death in run.deaths:
            file.write(json.dumps(death) + "\n")
    page.write_text(text(run, lines.name))


def text(run: Run, lines: str) -> str:
    """Return the page."""
    found = run.found
    words = [
        ("faults", len(run.ledger)),
        ("deaths at a named point of a batch", len(run.deaths)),
        ("acked messages", found.acked),
        ("of them by the load itself", run.produced),
        ("lost", len(found.lost)),
        ("unseen", len(found.unseen)),
        ("duplicate effects", len(found.twice)),
        ("broken invariants", len(found.broken)),
        ("duplicates (the same id again, harmless)", found.duplicates),
        ("corrupt messages given up, once by each reader", found.dead_letters),
    ]
    made = f"Made by `{run.command}` on {run.broker}, {run.minutes:.0f} minutes."
    load = f"Load: {run.rate:.1f} production messages a second, and all that follows from them."
    if run.capacity:
        load += f" The services can do {run.capacity:.1f} together, measured at the start of the same run."
    page = [
        "# Ledger of the faults",
        "",
        f"{made} Each fault, with the offsets in flight, is a line of [`{lines}`]({lines}).",
        "",
        load,
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in words),
        "",
        "## Until the next message is applied",
        "",
        "Seconds; of a STOP from its end, of all others from the injection, so a bounce counts the broker's own start.",
        "",
        *_recoveries(run.ledger),
        "",
        "## Each service",
        "",
        "Recovery is that of TERM, KILL and lost state. Memory is resident (RSS) with worker processes.",
        "",
        *_services(run),
    ]
    wrong = [*found.lost, *found.unseen, *found.twice, *found.broken]
    if wrong:
        page += ["", "## What is wrong", "", *(f"- {each}" for each in wrong[:100])]
    return "\n".join(page) + "\n"


def _recoveries(ledger: list[Entry]) -> list[str]:
    by_fault: dict[str, list[Entry]] = defaultdict(list)
    for entry in ledger:
        by_fault[entry.fault].append(entry)
    page = ["| fault | times | with input in flight | p50 | p95 | worst |", "|---|---:|---:|---:|---:|---:|"]
    for fault, entries in sorted(by_fault.items()):
        busy = sum(bool(entry.in_flight) for entry in entries)
        page.append(f"| {fault} | {len(entries)} | {busy} | {_quantiles(entries)} |")
    return page


def _services(run: Run) -> list[str]:
    page = [
        "| service | faults | p50 | p95 | worst | MiB | MiB an hour | most messages behind |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in sorted({entry.service for entry in run.ledger}):
        entries = [entry for entry in run.ledger if entry.service == name]
        restarts = [entry for entry in entries if entry.fault in ENDS]
        samples = [sample for sample in run.samples if sample.service == name]
        largest = max((sample.megabytes for sample in samples), default=0.0)
        behind = max((sample.lag for sample in samples), default=0)
        page.append(
            f"| {name} | {len(entries)} | {_quantiles(restarts)} | {largest:.0f} | {slope(samples):.1f} | {behind} |"
        )
    return page


def _quantiles(entries: list[Entry]) -> str:
    seconds = [entry.recovery for entry in entries if entry.recovery is not None]
    if not seconds:
        return "- | - | -"
    return " | ".join(f"{value:.1f}" for value in (*np.percentile(seconds, [50, 95]), max(seconds)))
