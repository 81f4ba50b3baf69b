"""Settings of the embedded broker: one frozen class, every default named."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from easeml.errors import ConfigurationError

_PORT_LIMIT = 65535


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """What a broker needs to know before it starts.

    Parameters
    ----------
    host : str
        Address to bind.
    port : int
        Port to bind; 0 takes a free one.
    advertised_host : str, optional
        Name that clients are told to connect to; the bound address unless given.
    advertised_port : int, optional
        Port that clients are told to connect to; the bound port unless given.
    data_dir : Path, optional
        Folder of the log segments and the journal. Needed unless ``memory`` is set.
    memory : bool
        Keep everything in memory: nothing survives the process.
    auto_create_topics : bool
        Create a topic when it is first produced to or asked for. Off, so that a misspelt name is an error.
    default_partitions : int
        Partitions of a topic whose creator left the number to the broker.
    max_request_bytes : int
        Largest request frame (bytes); a larger one closes its connection.
    initial_rebalance_delay_ms, min_session_timeout_ms, max_session_timeout_ms : int
        Consumer groups: wait for more members of a new group, and bounds of the session timeout.
    flush_interval_ms : int
        Written segments are synced to the disk this often, and when the broker stops.
    cleanup_interval_ms : int
        Retention and compaction are looked at this often.
    topic_defaults : dict
        Overrides of the topic configuration defaults, e.g. ``{"retention.ms": "-1"}``.
    sasl_users : dict
        User name to password. Not empty: every client must authenticate by SASL/PLAIN.
    restricted_topics : dict
        Topic name to the users who alone may use it. Needs ``sasl_users``.
    tls_cert, tls_key : Path, optional
        Certificate chain and key (PEM). Given: the listener speaks TLS only.

    Raises
    ------
    ConfigurationError
        If settings are missing or contradict each other.
    """

    host: str = "127.0.0.1"
    port: int = 0
    advertised_host: str | None = None
    advertised_port: int | None = None
    data_dir: Path | None = None
    memory: bool = False
    auto_create_topics: bool = False
    default_partitions: int = 1
    max_request_bytes: int = 100 * 1024 * 1024
    initial_rebalance_delay_ms: int = 100
    min_session_timeout_ms: int = 6_000
    max_session_timeout_ms: int = 1_800_000
    flush_interval_ms: int = 1_000
    cleanup_interval_ms: int = 1_000
    topic_defaults: dict[str, str] = field(default_factory=dict)
    sasl_users: dict[str, str] = field(default_factory=dict)
    restricted_topics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        if not self.memory and self.data_dir is None:
            raise ConfigurationError(
                "The broker has no place for its data.", mend="Give data_dir, or memory=True for a test."
            )
        if not 0 <= self.port <= _PORT_LIMIT:
            raise ConfigurationError(f"Port {self.port} is not within 0-{_PORT_LIMIT}.")
        strangers = {user for users in self.restricted_topics.values() for user in users} - self.sasl_users.keys()
        if strangers or (self.restricted_topics and not self.sasl_users):
            raise ConfigurationError(
                f"Topics are restricted to {', '.join(sorted(strangers)) or 'nobody'}, who cannot log in.",
                mend="Give every user a password among the SASL users.",
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("TLS needs both a certificate and a key.", mend="Give tls_cert and tls_key.")
