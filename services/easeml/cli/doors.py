"""Where a house is entered from outside: the addresses of its services, for people."""

from __future__ import annotations

from collections.abc import Mapping

from easeml.stream.settings import Settings


def address(settings: Settings, port: int) -> str:
    """Return host and port as a caller on this machine writes them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - to call
    return f"{host}:{port}"


def doors(settings: Settings, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what to call, by the name of the port.

    >>> doors(Settings(), {"predict": 50152, "labels": 50151})["labels"]
    '127.0.0.1:50151 (gRPC)'
    """
    scheme = "https" if settings.tls_certificate else "http"
    known = {
        "labels": "{} (gRPC)",
        "predict": scheme + "://{}/v1/apps/APP/predict",
        "dashboard": scheme + "://{}/",
    }
    return {name: known.get(name, "{}").format(address(settings, port)) for name, port in ports.items()}
