"""``easeml doctor``: what is wrong with a house, and how to mend it.

Every check looks at one thing as it is: the machine, the cluster, its topics, what lies on them, the secrets, the
processes. A check that finds something wrong says the mend in the same line.
"""

from __future__ import annotations

import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from easeml.cli import compatibility, waiting
from easeml.cli.findings import Finding, some
from easeml.cli.session import Session, session
from easeml.cli.status import service_row
from easeml.errors import EaseMLError
from easeml.stream import admin, deadletters
from easeml.stream.bulk import BulkReader
from easeml.stream.grants import Grant, grants
from easeml.stream.messages import Record
from easeml.stream.runfiles import read_run_file, run_folder
from easeml.stream.schemas import released
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME, CATALOGUE, TICKS
from easeml.supervisor.roster import PROCESSES, SERVICES
from easeml.supervisor.stack import STACK, alive, connected, discover

_DISK_FLOOR = 2**30
_RECENT = 60
"""Messages at the end of each partition that are looked at: a minute of the clock."""
_SKEW = 5.0
"""Seconds that the clocks of broker and machine may differ."""
_SECRETS = ("epoch_seed", "house.key")


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
    yield from machine(current.settings)
    yield secrets(current.settings.home)
    yield run_files(current.settings.home)
    stack = discover(current.settings.home)
    here = f"runs in {stack.home}" if stack else f"does not run in {current.settings.home}; 'easeml up' starts it"
    yield Finding("house", stack is not None or bool(current.settings.bootstrap_servers), here)
    try:
        settings = connected(current.settings)
        brokers = admin.metadata(settings).brokers.values()
        present = admin.existing(settings)
    except EaseMLError as error:
        yield Finding("broker", False, str(error))
        return
    yield Finding("broker", True, f"answers at {settings.bootstrap_servers}")
    yield from (compatibility.broker(settings, one.host, one.port) for one in brokers)
    try:
        yield from cluster(settings, present)
    except EaseMLError as error:
        yield Finding("broker", False, str(error))
    for name in PROCESSES:
        row = service_row(current.settings, name)
        other = compatibility.running(row["version"])
        told = f"{row['state']} {'; '.join(filter(None, (row['reasons'], other)))}".strip()
        yield Finding(name, row["state"] == "SERVING" and not other, told)


def machine(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say of Python, its libraries and the disks."""
    yield compatibility.this_python()
    yield compatibility.libraries()
    yield compatibility.this_kafka_library()
    places = {"disk": settings.home}
    if settings.artifacts_uri.startswith("file://"):
        places["disk of models"] = Path(settings.artifacts_uri.removeprefix("file://"))
    for subject, place in places.items():
        there = place.resolve()
        folder = next(p for p in (there, *there.parents) if p.exists())
        free = shutil.disk_usage(folder).free
        text = f"{free / 2**30:.1f} GiB free at {folder}"
        enough = free > _DISK_FLOOR
        yield Finding(subject, enough, text if enough else f"{text}; make room: topics and models stop growing at 0")


def secrets(home: Path) -> Finding:
    """Say which secrets of the house others on this machine may read."""
    open_ones = [
        name for name in _SECRETS if (home / name).exists() and stat.S_IMODE((home / name).stat().st_mode) & 0o077
    ]
    names = " ".join(str(home / name) for name in open_ones)
    return Finding("secrets", not open_ones, f"others may read them: chmod 600 {names}" if open_ones else "kept")


def run_files(home: Path) -> Finding:
    """Say whose run files are left of processes that are gone."""
    names = sorted(path.stem for path in run_folder(home).glob("*.json"))
    gone = []
    for name in names:
        content = read_run_file(home, name)
        if name != STACK and content is not None and not alive(content["pid"]):
            gone.append(name)
    text = f"{', '.join(gone)} ended without a word; 'easeml up' starts what belongs here, see the logs in {home}"
    return Finding("run files", not gone, text if gone else f"{len(names)} of processes that run")


# -- the cluster -----------------------------------------------------------------------------------------------------


def cluster(settings: Settings, present: Mapping[str, admin.TopicLayout]) -> Iterator[Finding]:
    """Yield what there is to say of topics and what lies on them."""
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
    fewer = [name for name, layout in present.items() if layout.replicas < settings.replication_factor]
    yield Finding(
        "replicas",
        not fewer,
        f"{some(fewer)} have fewer than EASEML_REPLICATION_FACTOR={settings.replication_factor}; move them with "
        "kafka-reassign-partitions"
        if fewer
        else f"{settings.replication_factor} of each partition at least",
    )
    yield keeping(settings, present)
    yield rights(admin.rules(settings))
    letters = sum(1 for _ in deadletters.read(settings))
    yield Finding(
        "dead letters", letters == 0, f"{letters}; 'easeml dead-letters list' shows their causes" if letters else "none"
    )
    if not missing:
        recent = latest(settings)
        yield versions(recent)
        yield clock([record for record in recent if record.topic == TICKS.name], time.time())
        yield from _read(settings)


def keeping(settings: Settings, present: Mapping[str, admin.TopicLayout]) -> Finding:
    """Say which topics the broker keeps otherwise than they were created."""
    wanted = {n: config for n, config in admin.wanted_configs(settings, SERVICES).items() if n in present}
    found = admin.configs(settings, wanted)
    wrong = [
        f"{name} has {key}={found[name].get(key)}, not {value} (kafka-configs --alter --topic {name} --add-config "
        f"{key}={value})"
        for name, config in wanted.items()
        for key, value in config.items()
        if key != "min.cleanable.dirty.ratio" and found[name].get(key) != value
    ]
    return Finding("retention", not wrong, some(wrong, "; ") if wrong else f"{len(wanted)} topics as created")


def rights(found: frozenset[Grant] | None) -> Finding:
    """Say what the accounts on the cluster may do too little and too much."""
    if not found:
        return Finding("rights", True, "the cluster checks none, or has no accounts of ours")
    wanted = frozenset(grants(SERVICES))
    lacking = [f"{r.account} may not {r.operation} {r.kind} {r.name}" for r in sorted(wanted - found)]
    beyond = [f"{r.account} may {r.operation} {r.kind} {r.name}" for r in sorted(found - wanted)]
    texts = []
    if lacking:
        texts.append(f"{some(lacking)}; 'easeml acls --apply' gives the rights")
    if beyond:
        texts.append(f"more than the catalogue says: {some(beyond)}; take it away with kafka-acls --remove")
    return Finding("rights", not texts, "; ".join(texts) or f"{len(found)}, as the catalogue of topics says")


def latest(settings: Settings) -> list[Record]:
    """Return the newest messages of every topic."""
    reader = BulkReader(settings)
    places = [(topic.name, partition) for topic in CATALOGUE for partition in range(settings.partitions)]
    found: list[Record] = []
    try:
        bounds = reader.bounds(places)
        reader.begin({place: (max(low, high - _RECENT), high) for place, (low, high) in bounds.items()})
        while records := reader.chunk():
            found += records
    finally:
        reader.close()
    return found


def versions(records: list[Record]) -> Finding:
    """Say which messages carry a schema that this program does not know, or one of another topic's payloads."""
    strange: Counter[str] = Counter()
    for record in records:
        value = record.value
        if value is None or len(value) < 5 or value[0]:
            continue  # no schema at all: its dead letter tells
        number = int.from_bytes(value[1:5])
        schema = released().get(number)
        if schema is None:
            strange[f"schema id {number} on {record.topic}"] += 1
        elif schema.payload not in BY_NAME[record.topic].payloads:
            strange[f"{schema.subject} on {record.topic}"] += 1
    told = [f"{name} ({count} messages)" for name, count in sorted(strange.items())]
    text = f"unknown here: {some(told)}; upgrade this program if they are newer, or stop who writes them"
    return Finding("schemas", not strange, text if strange else f"{len(records)} newest messages are of released ones")


def clock(ticks: list[Record], now: float) -> Finding:
    """Say whether one clock ticks, and shows the time that this machine shows."""
    if not ticks:
        return Finding("clock", True, "no tick yet; 'easeml up' runs the clock", waits=True)
    newest = max(ticks, key=lambda tick: tick.seconds)
    ahead = newest.seconds - now
    if ahead > _SKEW:
        text = f"the broker is {ahead:.0f} s ahead of this machine; set both by NTP, or leases end too early"
        return Finding("clock", False, text)
    own = [tick for tick in ticks if tick.partition == newest.partition and tick.seconds > newest.seconds - 20]
    span = max(newest.seconds - min(tick.seconds for tick in own), 1.0)
    if len(own) - 1 > 1.5 * span + 2:
        text = f"{len(own)} ticks in {span:.0f} s: two clocks tick; stop one house or one clock process"
        return Finding("clock", False, text)
    return Finding("clock", True, f"the last tick came {max(-ahead, 0):.0f} s ago")


def _read(settings: Settings) -> Iterator[Finding]:
    """Yield what the events themselves tell."""
    idle, unreadable = waiting.read(settings)
    for one in idle:
        yield Finding(f"app {one.app}", True, str(one), waits=True)
    if unreadable:
        text = f"{unreadable} on the topics cannot be read; 'easeml dead-letters list --all' shows their causes"
        yield Finding("messages", True, text)
