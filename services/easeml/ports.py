"""Free ports that no outgoing connection of this machine is given.

The ports that the system hands out for port 0 are those of outgoing connections too. A client that tries such a port
again and again while its server is away is at last given that very port for its own end: it is connected to itself,
hears its own request as the answer and keeps the server from coming back.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 10_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OUTGOING_ELSEWHERE = 49_152  # the range that IANA sets aside and macOS, BSD and Windows use
_TRIES = 200


def first_outgoing() -> int:
    """Return the lowest port that the system gives to outgoing connections."""
    try:
        return int(_OUTGOING.read_text().split()[0])
    except FileNotFoundError:
        return _OUTGOING_ELSEWHERE


def free_port(host: str) -> int:
    """Return a port to listen on that is free now; 0, for the system to choose, where none is found."""
    end = first_outgoing()
    if end <= _LOWEST:
        return 0
    # Not seeded: two houses that start at the same moment shall not try the same ports in the same order.
    dice = random.SystemRandom()
    ports = (dice.randrange(_LOWEST, end) for _ in range(_TRIES))
    return next((port for port in ports if is_free(host, port)), 0)


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on a port now."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in places:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError:
        return False
    return True
