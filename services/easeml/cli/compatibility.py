"""Whether versions fit: Python and libraries what the package asks for, brokers and processes what is installed.

A broker is asked with ``ApiVersions`` 0, the one request that every broker since 0.10 answers, before any login.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from importlib import metadata
from typing import NamedTuple

import confluent_kafka
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from easeml.cli.findings import Finding, some
from easeml.stream.settings import Settings

PACKAGE = "easeml-streaming"
CLIENTS = ("aiokafka", "confluent-kafka", "fastavro", "faust-streaming", "grpcio")
"""Packages whose versions are told even where they fit: they speak to others."""
TESTED = "4"
"""The Apache Kafka that we test on."""
_TIMEOUT = 5.0
_LARGEST = 2**20
_API_VERSIONS = 18


class Need(NamedTuple):
    """An API that our clients call, the versions of it that serve us, and the Apache Kafka that brought the first."""

    key: int
    name: str
    low: int
    high: int
    since: str


NEEDS = (
    Need(0, "Produce", 3, 8, "0.11"),  # headers, and writes that a retry does not double
    Need(1, "Fetch", 4, 11, "0.11"),
    Need(2, "ListOffsets", 1, 5, "0.10.1"),
    Need(3, "Metadata", 1, 8, "0.10"),
    Need(8, "OffsetCommit", 7, 7, "2.3"),  # this and the next three: a member keeps its partitions over a restart
    Need(11, "JoinGroup", 5, 5, "2.3"),
    Need(12, "Heartbeat", 3, 3, "2.3"),
    Need(14, "SyncGroup", 3, 3, "2.3"),
    Need(9, "OffsetFetch", 1, 5, "0.9"),
    Need(10, "FindCoordinator", 0, 2, "0.9"),
    Need(19, "CreateTopics", 2, 4, "0.11"),
    Need(21, "DeleteRecords", 0, 1, "0.11"),  # an app's data is erased
    Need(22, "InitProducerId", 0, 1, "0.11"),
    Need(32, "DescribeConfigs", 1, 3, "1.1"),
)


# -- what is installed -----------------------------------------------------------------------------------------------


def python(version: str, asked: str) -> Finding:
    """Say whether Python is one of those that the package asks for (a specifier such as ``>=3.11,<3.14``)."""
    if SpecifierSet(asked).contains(version, prereleases=True):
        return Finding("python", True, f"{version}; {asked} is tested")
    return Finding(
        "python", False, f"{version}, but {asked} is needed: make the environment anew (make clean setup PYTHON=...)"
    )


def this_python() -> Finding:
    """Say whether the Python that runs is one that the package asks for."""
    return python(".".join(map(str, sys.version_info[:3])), metadata.metadata(PACKAGE)["Requires-Python"])


def libraries() -> Finding:
    """Say which installed packages are not those that the package and they themselves ask for."""
    wrong = list(_unmet())
    if wrong:
        return Finding("libraries", False, some(wrong, "; "))
    told = ", ".join(f"{name} {metadata.version(name)}" for name in CLIENTS)
    return Finding("libraries", True, f"as asked for; {told}")


def _unmet() -> Iterator[str]:
    """Yield what is missing or of a wrong version, with the mend, as far as requirements lead from the package."""
    extras = frozenset(metadata.metadata(PACKAGE).get_all("Provides-Extra") or ())
    seen = {(canonicalize_name(PACKAGE), extras)}
    waiting = [(PACKAGE, extras)]
    while waiting:
        name, extras = waiting.pop()
        for text in metadata.requires(name) or ():
            asked = Requirement(text)
            always = asked.marker is None or asked.marker.evaluate({"extra": ""})
            if not always and not _in_one_of(asked, extras):
                continue
            try:
                version = metadata.version(asked.name)
            except metadata.PackageNotFoundError:
                # Which extras somebody wants is not recorded: only what is there of one must fit.
                if always:
                    yield f"{asked.name} is missing, which {name} asks for: pip install '{_plain(asked)}'"
                continue
            if not asked.specifier.contains(version, prereleases=True):
                told = f"{asked.name} is {version}, but {name} asks for {asked.specifier}"
                yield f"{told}: pip install '{_plain(asked)}'"
            further = (canonicalize_name(asked.name), frozenset(asked.extras))
            if further not in seen:
                seen.add(further)
                waiting.append((asked.name, further[1]))


def _in_one_of(asked: Requirement, extras: Iterable[str]) -> bool:
    return asked.marker is not None and any(asked.marker.evaluate({"extra": extra}) for extra in extras)


def _plain(asked: Requirement) -> str:
    return f"{asked.name}{asked.specifier}"


def kafka_library(client: str, library: str) -> Finding:
    """Say whether confluent-kafka runs on the librdkafka that it was made for: their versions go together."""
    if Version(library).release[:2] == Version(client).release[:2]:
        return Finding("librdkafka", True, library)
    text = (
        f"confluent-kafka {client} runs on librdkafka {library}, another one than it was made for: "
        "pip install --force-reinstall --only-binary :all: confluent-kafka"
    )
    return Finding("librdkafka", False, text)


def this_kafka_library() -> Finding:
    """Say whether the loaded librdkafka is the one that confluent-kafka was made for."""
    return kafka_library(str(confluent_kafka.version()), confluent_kafka.libversion()[0])


def running(version: str) -> str:
    """Return what is wrong with the version of a process that runs; empty where nothing is, or it tells none."""
    installed = metadata.version(PACKAGE)
    if version in ("", installed):
        return ""
    return f"runs {version}, but {installed} is installed here: start it again ('easeml up' starts a house)"


# -- what brokers speak ----------------------------------------------------------------------------------------------


def broker(settings: Settings, host: str, port: int) -> Finding:
    """Say whether a broker of the cluster speaks what our clients need."""
    subject = f"broker {host}:{port}"
    try:
        found = spoken(settings, host, port)
    except (OSError, struct.error, ValueError) as error:
        text = (
            f"does not tell what it speaks ({error}); is it Apache Kafka 0.10 or newer, and does "
            f"EASEML_SECURITY_PROTOCOL={settings.security_protocol} fit its port?"
        )
        return Finding(subject, False, text)
    older = [need for need in NEEDS if found.get(need.key, (0, -1))[1] < need.low]
    newer = [need.name for need in NEEDS if found.get(need.key, (0, 0))[0] > need.high]
    if older:
        since = max((need.since for need in older), key=Version)
        names = some([f"{need.name} {need.low}" for need in older])
        text = (
            f"older than Apache Kafka {since}: it has no {names}; upgrade it to {since} at least ({TESTED} is tested)"
        )
        return Finding(subject, False, text)
    if newer:
        text = f"speaks only newer versions of {some(newer)} than this program: upgrade Ease.ML and confluent-kafka"
        return Finding(subject, False, text)
    return Finding(subject, True, f"speaks what is needed, {len(found)} APIs in all")


def spoken(settings: Settings, host: str, port: int) -> dict[int, tuple[int, int]]:
    """Return API key -> lowest and highest version that a broker speaks.

    Raises
    ------
    OSError, struct.error, ValueError
        When nobody answers, or with something else.
    """
    with ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((host, port), _TIMEOUT))
        if settings.security_protocol.endswith("SSL"):
            context = ssl.create_default_context(cafile=settings.ssl_ca_file or None)
            connection = opened.enter_context(context.wrap_socket(connection, server_hostname=host))
        wire = opened.enter_context(connection.makefile("rwb"))
        request = struct.pack(">hhih", _API_VERSIONS, 0, 0, -1)  # version 0, correlation id 0, no client id
        wire.write(struct.pack(">i", len(request)) + request)
        wire.flush()
        (size,) = struct.unpack(">i", wire.read(4))
        if not 10 <= size <= _LARGEST:
            raise ValueError("this is no Kafka protocol")
        answer = wire.read(size)
        if len(answer) < size:
            raise ValueError("the connection was closed within the answer")
    correlation, error, count = struct.unpack_from(">ihi", answer)
    if correlation or error:
        raise ValueError(f"Kafka error {error}")
    return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])}
