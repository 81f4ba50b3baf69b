"""``python -m easeml.broker``: run the embedded broker until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import sys
from pathlib import Path

from easeml.broker.config import BrokerConfig
from easeml.broker.server import serve
from easeml.errors import ConfigurationError, EaseMLError


def main(arguments: list[str] | None = None) -> int:
    """Run the broker; return the exit status."""
    options = _parser().parse_args(arguments)
    # A segment is a file that stays open: sixteen partitions of every topic are more than the usual 1,024.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_run(options))
    except EaseMLError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    if options.stop_on_eof:
        # The parent holds the other end of stdin: however it dies, the kernel closes that, and we go too.
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    await serve(_config(options), ready=lambda address: _announce(address, options.ready_file), stop=stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m easeml.broker", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=9092, help="port to bind; 0 takes a free one")
    parser.add_argument("--advertised-host", help="name that clients are told to connect to")
    parser.add_argument("--advertised-port", type=int, help="port that clients are told to connect to")
    parser.add_argument("--data-dir", type=Path, help="folder of the data")
    parser.add_argument("--memory", action="store_true", help="keep everything in memory")
    parser.add_argument("--auto-create-topics", action="store_true", help="create topics on first use")
    parser.add_argument("--default-partitions", type=int, default=1, help="partitions of such topics")
    parser.add_argument("--min-session-timeout-ms", type=int, default=6000, help="shortest session of a member")
    parser.add_argument("--sasl-users", type=Path, help='JSON file {"user": "password"}; turns SASL/PLAIN on')
    parser.add_argument(
        "--access", type=Path, help='JSON file {"topic": ["user"]}: topics that nobody else may use; needs --sasl-users'
    )
    parser.add_argument("--tls-cert", type=Path, help="certificate chain (PEM); turns TLS on")
    parser.add_argument("--tls-key", type=Path, help="key of the certificate (PEM)")
    parser.add_argument("--ready-file", type=Path, help="write the bound address here when ready")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when stdin, a pipe, is closed")
    return parser


def _config(options: argparse.Namespace) -> BrokerConfig:
    return BrokerConfig(
        host=options.host,
        port=options.port,
        advertised_host=options.advertised_host,
        advertised_port=options.advertised_port,
        data_dir=options.data_dir,
        memory=options.memory,
        auto_create_topics=options.auto_create_topics,
        default_partitions=options.default_partitions,
        min_session_timeout_ms=options.min_session_timeout_ms,
        sasl_users=_users(options.sasl_users),
        restricted_topics=_access(options.access),
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    )


def _users(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    mend = 'Write a JSON object: {"user": "password"}.'
    try:
        users = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The SASL users in {path} cannot be read: {error}.", mend=mend) from error
    if not isinstance(users, dict) or not users or not all(isinstance(each, str) for each in users.values()):
        raise ConfigurationError(f"{path} does not name users and passwords.", mend=mend)
    return users


def _access(path: Path | None) -> dict[str, tuple[str, ...]]:
    if path is None:
        return {}
    mend = 'Write a JSON object: {"topic": ["user"]}.'
    try:
        rules = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The access rules in {path} cannot be read: {error}.", mend=mend) from error
    lists = isinstance(rules, dict) and all(isinstance(users, list) for users in rules.values())
    if not lists or not all(isinstance(user, str) for users in rules.values() for user in users):
        raise ConfigurationError(f"{path} does not name topics and their users.", mend=mend)
    return {topic: tuple(users) for topic, users in rules.items()}


def _announce(address: str, ready_file: Path | None) -> None:
    print(address, flush=True)
    if ready_file is not None:
        fresh = ready_file.with_suffix(".tmp")
        fresh.write_text(address)
        fresh.replace(ready_file)


if __name__ == "__main__":
    sys.exit(main())
