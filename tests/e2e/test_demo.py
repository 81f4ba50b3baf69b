"""The demo as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("easeml")


def run_demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EASEML_")}
    return subprocess.run(
        [COMMAND, "demo", *arguments],
        cwd=folder,
        env=clean | environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_loop_closes_on_real_data(tmp_path):
    done = run_demo(tmp_path)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The loop closed." in done.stdout
    seconds = [float(s) for s in re.findall(r"^\s*([\d.]+) s  model ", done.stdout, re.MULTILINE)]
    assert seconds, "no model was published"
    answered = int(re.search(r"(\d+) production labels", done.stdout).group(1))
    assert 0 < answered <= 120


@pytest.mark.timeout(300)
def test_no_model_passes_on_permuted_labels(tmp_path):
    done = run_demo(tmp_path, "--permute-labels")
    print(done.stdout, done.stderr)
    assert done.returncode == 1
    assert re.search(r" 0 passed", done.stdout)
    assert "The loop did not close." in done.stdout
