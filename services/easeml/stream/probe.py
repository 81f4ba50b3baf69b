"""``python -m easeml.stream.probe``: exit with 0 when the process at ``EASEML_HEALTH_PORT`` of this machine is serving.

What a container asks itself every few seconds, so it needs the standard library alone and starts at once.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

_SECONDS = 5.0


def probe(port: str) -> list[str]:
    """Return why the process at a health port is not serving; empty when it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=_SECONDS):
            return []
    except urllib.error.HTTPError as refused:  # 503, with its reasons
        reasons: list[str] = json.load(refused).get("reasons") or [str(refused)]
        return reasons
    except (OSError, ValueError, http.client.HTTPException) as error:
        return [f"EASEML_HEALTH_PORT={port}: {error}"]


if __name__ == "__main__":
    sys.exit("; ".join(probe(os.environ.get("EASEML_HEALTH_PORT", ""))) or 0)
