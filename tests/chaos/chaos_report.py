"""The ledger as JSON lines, one file for each part of it, and as one page of all parts.

The first line of a file tells what its part was and found, in the fields of ``Summary``; then come the faults, in those
of ``Entry``, and the deaths at named points of a batch.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chaos_checks import Verdicts
from chaos_faults import ENDS, Entry

YOUNG = 900.0
"""Seconds after its start in which a process still takes memory for what it begins with: windows of rows fill first."""
WRONG = 100
"""Things that are wrong, of which no more are told."""


@dataclass(frozen=True)
class Sample:
    """What a process took at a moment: seconds since the run began, MiB, seconds since it started, messages behind."""

    at: float
    service: str
    megabytes: float
    age: float
    lag: int


@dataclass
class Summary:
    """What a part of the ledger was and found.

    Parameters
    ----------
    part, date, machine, command, broker : str
        The part, when it began (UTC), where, how, and on which broker.
    minutes : float
        From the first fault to the last look.
    busy : float
        Load average of the last minute before it began: what else the machine had to do.
    capacity, rate : float
        Production messages a second that the services can do together (0: not measured), and that they were sent.
    counts : dict
        How many messages the broker took, how many of them were lost, and so on, as the page says it.
    wrong : list of str
        What is wrong, in words.
    memory : dict
        Process -> largest MiB, MiB an hour (None for few samples), most messages behind.
    """

    part: str
    date: str
    machine: str
    command: str
    broker: str
    minutes: float
    busy: float
    capacity: float
    rate: float
    counts: dict[str, int]
    wrong: list[str]
    memory: dict[str, tuple[float, float | None, int]]


def counts(found: Verdicts, faults: int, deaths: int, produced: int) -> dict[str, int]:
    """Return the numbers of a part."""
    return {
        "faults": faults,
        "deaths at a named point of a batch": deaths,
        "acked messages": found.acked,
        "of them by the load itself": produced,
        "lost": len(found.lost),
        "unseen": len(found.unseen),
        "duplicate effects": len(found.twice),
        "broken invariants": len(found.broken),
        "duplicates (the same id again, harmless)": found.duplicates,
        "corrupt messages given up, once by each reader": found.dead_letters,
    }


def wrong(found: Verdicts) -> list[str]:
    """Return what is wrong, in words."""
    return [*found.lost, *found.unseen, *found.twice, *found.broken][:WRONG]


def memory(samples: Iterable[Sample]) -> dict[str, tuple[float, float | None, int]]:
    """Return what each process took: largest MiB, MiB an hour, most messages behind."""
    by_service: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_service[sample.service].append(sample)
    return {
        name: (max(s.megabytes for s in some), slope(some), max(s.lag for s in some))
        for name, some in sorted(by_service.items())
    }


def slope(samples: list[Sample]) -> float | None:
    """Return the growth of memory in MiB an hour: the median of the slopes of pairs (Theil and Sen), None for few."""
    grown = [sample for sample in samples if sample.age >= YOUNG]
    if len(grown) < 10:
        return None
    at = np.array([sample.at for sample in grown])
    size = np.array([sample.megabytes for sample in grown])
    left, right = np.triu_indices(len(at), 1)
    apart = at[right] - at[left]
    return float(np.median((size[right] - size[left])[apart > 0] / apart[apart > 0])) * 3600


def write(folder: Path, summary: Summary, ledger: list[Entry], deaths: list[dict[str, Any]]) -> str:
    """Write the part, and the page of all parts that are in the folder; return the page."""
    lines = [asdict(summary), *map(asdict, ledger), *deaths]
    (folder / f"{summary.part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    parts = []
    for path in sorted(folder.glob("*.jsonl")):
        first, *rest = map(json.loads, path.read_text().splitlines())
        parts.append((Summary(**first), [Entry(**line) for line in rest if "fault" in line]))
    page = text(parts)
    (folder / "LEDGER.md").write_text(page)
    return page


def text(parts: list[tuple[Summary, list[Entry]]]) -> str:
    """Return the page."""
    page = ["# Ledger of the faults", ""]
    for one, _ in parts:
        page += _heading(one)
    columns = {one.part: one.counts for one, _ in parts}
    if len(parts) > 1:
        columns["all"] = {name: sum(each[name] for each in columns.values()) for name in parts[0][0].counts}
    page += [_row("", *columns), f"|---|{'---:|' * len(columns)}"]
    page += [_row(name, *(f"{each[name]:,}" for each in columns.values())) for name in parts[0][0].counts]
    entries = [entry for _, some in parts for entry in some]
    if entries:
        page += ["", "## Until the next message is applied", "", *_recoveries(entries)]
        page += ["", "## Recovery of each service", "", *_services(entries)]
    for one, _ in parts:
        page += ["", f"## Memory and messages behind: {one.part}", "", *_memory(one)]
    told = [each for one, _ in parts for each in one.wrong]
    if told:
        page += ["", "## What is wrong", "", *(f"- {each}" for each in told)]
    return "\n".join(page) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(one: Summary) -> list[str]:
    rate = f"{one.rate:.1f} production messages a second, and all that follows from them"
    able = f", of the {one.capacity:.1f} that the services can do together" if one.capacity else ""
    made = f"`{one.command}` on {one.broker}, {one.date}, {one.minutes:.0f} minutes"
    where = f"{one.machine}, load average {one.busy:.1f} before"
    lines = f"[`{one.part}.jsonl`]({one.part}.jsonl)"
    return [f"- **{one.part}** ({lines}): {made}; {where}. Load: {rate}{able}.", ""]


def _recoveries(entries: list[Entry]) -> list[str]:
    by_fault: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_fault[entry.fault].append(entry)
    page = [
        "Seconds; of a STOP from its end, of all others from the injection, so a bounce counts the broker's own start.",
        "",
        "| fault | times | with input in flight | p50 | p95 | worst |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for fault, some in sorted(by_fault.items()):
        busy = sum(bool(entry.in_flight) for entry in some)
        page.append(_row(fault, str(len(some)), str(busy), *_quantiles(some)))
    return page


def _services(entries: list[Entry]) -> list[str]:
    page = [
        "Seconds after TERM, KILL and lost state.",
        "",
        "| service | faults | p50 | p95 | worst |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in sorted({entry.service for entry in entries}):
        some = [entry for entry in entries if entry.service == name]
        ended = [entry for entry in some if entry.fault in ENDS]
        page.append(_row(name, str(len(some)), *_quantiles(ended)))
    return page


def _memory(one: Summary) -> list[str]:
    told = f"Resident memory (RSS) with worker processes; its growth after the first {YOUNG / 60:.0f} minutes"
    page = [
        f"{told}, which faults leave to none." if one.counts["faults"] else f"{told}.",
        "",
        "| service | MiB | MiB an hour | most messages behind |",
        "|---|---:|---:|---:|",
    ]
    for name, (largest, growth, behind) in one.memory.items():
        short = growth is None or one.counts["faults"] > 0
        page.append(_row(name, f"{largest:.0f}", "-" if short else f"{growth:.1f}", f"{behind:,}"))
    return page


def _quantiles(entries: list[Entry]) -> tuple[str, ...]:
    seconds = [entry.recovery for entry in entries if entry.recovery is not None]
    if not seconds:
        return ("-", "-", "-")
    return tuple(f"{value:.1f}" for value in (*np.percentile(seconds, [50, 95]), max(seconds)))
