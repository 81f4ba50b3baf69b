"""Every service is killed hard once during the demo, at a named point; the demo still ends right.

The ledger of the kills (service, point, batch, offsets in flight, lag) is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from easeml.supervisor.roster import SERVICES

COMMAND = Path(sys.executable).with_name("easeml")
BATCH = {
    "labels": 8,
    "serving": 12,
    "automl": 3,
    "trainer": 3,
    "ci": 6,
    "modelpicker": 25,
    "datamagic": 12,
    "snoopy": 6,
    "cpclean": 60,
    "market": 60,
    "advisor": 10,
}
"""Which batch of the service is cut: in the middle of its work."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", ["after_outputs", "after_state", "before_commit"])
def test_demo_survives_the_death_of_every_service(tmp_path, point):
    kills = ",".join(f"{service}:{point}:{BATCH[service]}" for service in SERVICES)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EASEML_")}
    done = subprocess.run(
        [COMMAND, "demo"],
        cwd=tmp_path,
        env=clean | {"EASEML_KILL_POINT": kills, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    ledger = list(_ledger(tmp_path / ".easeml" / "demo" / "logs"))
    for entry in ledger:
        print(json.dumps(entry))
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The loop closed." in done.stdout
    assert {entry["killed"] for entry in ledger} == set(SERVICES)
    assert all(entry["point"] == point for entry in ledger)
    assert all(entry["lag"] > 0 and entry["in_flight"] for entry in ledger)


def _ledger(logs: Path):
    for log in sorted(logs.glob("*.log")):
        for line in log.read_text().splitlines():
            if line.startswith('{"killed"'):
                yield json.loads(line)
