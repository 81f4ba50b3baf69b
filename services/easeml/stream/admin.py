"""Topics are created here, before any service starts, and nowhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from easeml.errors import ConfigurationError, PermissionDeniedError, UnavailableError
from easeml.stream.changelog import changelog_topic
from easeml.stream.grants import PREFIX as ACCOUNTS
from easeml.stream.grants import Grant
from easeml.stream.settings import Settings
from easeml.stream.topics import CATALOGUE, FOREVER, Topic

_TIMEOUT = 15.0
_KAFKA_LIMIT = 1_048_588
"""Kafka's default of ``max.message.bytes``: a topic never takes less, since producers fill whole batches."""
_HEADROOM = 64 * 2**10
"""For headers, the key and the frame of a batch around the largest message."""
_DEAD_LETTER_HEADROOM = 256 * 2**10
"""A dead letter is the largest message with all its headers and the story of its refusal."""
_LARGEST = 64 * 2**20
_LARGE = {"max.message.bytes": str(_LARGEST)}
"""A changelog record is the whole state of an app; no person and no other service writes there."""
_ANYTHING: Any = None
_EVERY_RULE = AclBindingFilter(
    ResourceType.ANY,
    _ANYTHING,
    ResourcePatternType.ANY,
    _ANYTHING,
    _ANYTHING,
    AclOperation.ANY,
    AclPermissionType.ANY,
)
_IN_FORCE = 60.0
_POLL = 0.05
_COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}


def client(settings: Settings) -> AdminClient:
    """Return an admin client of the configured cluster."""
    return AdminClient(
        settings.kafka() | {"socket.timeout.ms": int(_TIMEOUT * 1000)}, logger=logging.getLogger("easeml.kafka")
    )


def metadata(settings: Settings, timeout: float = 5.0) -> Any:
    """Return what the cluster says of itself (``ClusterMetadata``): brokers and topics.

    Raises
    ------
    UnavailableError
        When no broker answers.
    """
    try:
        return client(settings).list_topics(timeout=timeout)
    except KafkaException as error:
        raise UnavailableError(
            f"No Kafka broker answers at {settings.bootstrap_servers!r} ({error.args[0].str()}).",
            mend="Start one with 'easeml up', or point EASEML_BOOTSTRAP_SERVERS or --bootstrap at a running cluster.",
        ) from error


def wire_bytes(settings: Settings) -> int:
    """Return the largest batch (bytes) that topics take and producers send for ``settings.max_message_bytes``."""
    return max(_KAFKA_LIMIT, settings.max_message_bytes + _HEADROOM)


def _dead_letter_bytes(settings: Settings) -> int:
    return max(_KAFKA_LIMIT, settings.max_message_bytes + _DEAD_LETTER_HEADROOM)


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """Topic as the broker has it; ``replicas`` are those of its worst partition."""

    name: str
    partitions: int
    replicas: int = 1


def existing(settings: Settings) -> dict[str, TopicLayout]:
    """Return the Ease.ML topics of the cluster by name."""
    topics = metadata(settings).topics
    return {
        name: TopicLayout(name, len(t.partitions), min((len(p.replicas) for p in t.partitions.values()), default=0))
        for name, t in topics.items()
        if name.startswith("easeml.")
    }


def configs(settings: Settings, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return topic name -> how the broker keeps the topic.

    Raises
    ------
    UnavailableError
        When the broker does not tell.
    """
    handle = client(settings)
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    try:
        return {
            resource.name: {key: entry.value for key, entry in future.result(_TIMEOUT).items()}
            for resource, future in handle.describe_configs(asked, request_timeout=_TIMEOUT).items()
        }
    except KafkaException as error:
        raise UnavailableError(
            f"The broker does not tell how it keeps topics: {error.args[0].str()}.",
            mend="Give this account DESCRIBE_CONFIGS on the topics.",
        ) from error


def rules(settings: Settings) -> frozenset[Grant] | None:
    """Return what Ease.ML's accounts may do on the cluster; None when it checks no rights, or does not tell us.

    Rules that no ``Grant`` can say (denials, other hosts, other operations) are left out.
    """
    handle = client(settings)
    try:
        bindings = handle.describe_acls(_EVERY_RULE, request_timeout=_TIMEOUT).result(_TIMEOUT)
    except KafkaException:
        return None
    found = set()
    for one in bindings:
        name = one.principal.removeprefix("User:")
        if one.permission_type is AclPermissionType.ALLOW and name.startswith(ACCOUNTS):
            prefix = one.resource_pattern_type is ResourcePatternType.PREFIXED
            found.add(Grant(name, one.operation.name.lower(), one.restype.name.lower(), one.name, prefix))
    return frozenset(found)


def check_partitions(settings: Settings, name: str, layout: TopicLayout | None) -> None:
    """Refuse settings that would send an app's events to another partition than the topic's.

    Raises
    ------
    ConfigurationError
        When the topic exists with another number of partitions.
    """
    if layout is not None and layout.partitions != settings.partitions:
        raise ConfigurationError(
            f"Topic {name} has {layout.partitions} partitions, the settings say {settings.partitions}.",
            mend=f"Set EASEML_PARTITIONS={layout.partitions}; the number cannot change once data is there.",
        )


def wanted_configs(
    settings: Settings, services: Iterable[str], topics: Iterable[Topic] = CATALOGUE
) -> dict[str, dict[str, str]]:
    """Return topic name -> what a topic is created with."""
    # The newest segment is never compacted, and a restart reads it whole; Kafka's own may have 1 GiB.
    compacted = _COMPACTED | {"segment.bytes": str(max(_LARGEST, wire_bytes(settings)))}
    wanted: dict[str, dict[str, str]] = {}
    for topic in topics:
        policy = compacted if topic.compacted else {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
        wanted[topic.name] = policy | {"max.message.bytes": str(wire_bytes(settings))}
        wanted[topic.dead_letters] = {
            "cleanup.policy": "delete",
            "retention.ms": str(FOREVER),
            "max.message.bytes": str(_dead_letter_bytes(settings)),
        }
    wanted |= {changelog_topic(service): compacted | _LARGE for service in services}
    return wanted


def create_topics(settings: Settings, services: Iterable[str], topics: Iterable[Topic] = CATALOGUE) -> list[str]:
    """Create the topics that are missing and return their names.

    Raises
    ------
    ConfigurationError
        When a topic exists with another number of partitions: events of an app would change their partition.
    UnavailableError
        When the broker cannot be reached or refuses.
    """
    wanted = wanted_configs(settings, services, topics)
    present = existing(settings)
    for name in wanted:
        check_partitions(settings, name, present.get(name))
    missing = [name for name in wanted if name not in present]
    if missing:
        _create(settings, {name: wanted[name] for name in missing})
    return missing


def _create(settings: Settings, wanted: dict[str, dict[str, str]]) -> None:
    new = [
        NewTopic(
            name, num_partitions=settings.partitions, replication_factor=settings.replication_factor, config=config
        )
        for name, config in wanted.items()
    ]
    handle = client(settings)  # dropping it would end the call
    for name, future in handle.create_topics(new, operation_timeout=_TIMEOUT).items():
        try:
            future.result(_TIMEOUT)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # somebody else was faster
                raise UnavailableError(
                    f"The broker refused to create topic {name}: {error.args[0].str()}.",
                    mend="Check the rights of this account and the replication factor.",
                ) from error


def allow(settings: Settings, rules: Iterable[Grant]) -> None:
    """Give accounts their rights on a cluster that has an authorizer, and return when they are in force.

    What accounts may do already stays allowed.

    Raises
    ------
    PermissionDeniedError
        When this account may not alter access rules.
    ConfigurationError
        When the cluster checks no rights.
    UnavailableError
        When the broker cannot be reached or refuses for another reason.
    """
    metadata(settings)
    handle = client(settings)
    bindings = [_binding(rule) for rule in rules]
    try:
        for future in handle.create_acls(bindings, request_timeout=_TIMEOUT).values():
            future.result(_TIMEOUT)
        deadline = time.monotonic() + _IN_FORCE
        # The controller has taken them; the brokers, which check them, hear of them a moment later.
        while not {*bindings} <= {*handle.describe_acls(_EVERY_RULE, request_timeout=_TIMEOUT).result(_TIMEOUT)}:
            if time.monotonic() > deadline:
                raise UnavailableError("The access rules are not in force yet.", mend="Look again with kafka-acls.")
            time.sleep(_POLL)
    except KafkaException as error:
        raise _refusal(error.args[0]) from error


def _refusal(error: KafkaError) -> Exception:
    if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return PermissionDeniedError(
            "This account may not alter access rules.", mend="Connect as an account with ALTER on the cluster."
        )
    if error.code() in {KafkaError.SECURITY_DISABLED, KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}:
        return ConfigurationError(
            f"The cluster checks no access rules ({error.str()}).",
            mend="Give Apache Kafka an authorizer and accounts, or the embedded broker --sasl-users and --access.",
        )
    return UnavailableError(f"The broker did not take the access rules: {error.str()}.", mend="Check the broker.")


def _binding(rule: Grant) -> AclBinding:
    return AclBinding(
        ResourceType[rule.kind.upper()],
        rule.name,
        ResourcePatternType.PREFIXED if rule.prefix else ResourcePatternType.LITERAL,
        f"User:{rule.account}",
        "*",
        AclOperation[rule.operation.upper()],
        AclPermissionType.ALLOW,
    )
