"""What the Dockerfile takes in is there, and what it installs is locked; without Docker it cannot be built."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from fnmatch import fnmatch

import pytest
from deploy_files import DEPLOY, ROOT

from easeml.stream.schemas import released

DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", re.MULTILINE)


def context(path: str) -> bool:
    """Return whether a path goes into the build, by the rules of .dockerignore: the last that fits decides."""
    taken = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        begins = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch(begin, pattern) for begin in (parts if "**/" in line else begins)):
            taken = line.startswith("!")
    return taken


def copied() -> list[str]:
    lines = [shlex.split(line) for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [source for line in lines for source in line[1:-1]]


def test_all_that_is_copied_is_there_and_in_the_context():
    assert {"services", "schemas", "proto", "pyproject.toml"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists(), source
        assert context(source), source


@pytest.mark.parametrize(
    "path",
    [".git/config", "deploy/secrets/token", ".easeml/house.key", ".venv/bin/python", "services/__pycache__/x.pyc"],
)
def test_what_is_nobody_elses_business_stays_out(path):
    assert not context(path)


def test_what_is_built_is_the_package_that_the_repository_describes(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"easeml/schemas/{s.subject}/{s.version}.avsc" for s in released().values()} <= names
    assert {"easeml/schemas/registry.lock.json", "easeml/py.typed", "easeml/stream/probe.py"} <= names
    assert any(name.startswith("easeml/dashboard/static/") for name in names)
    assert any(name.endswith("labels.proto") for name in names)


@pytest.mark.parametrize("lock", ["image.lock", "build.lock"])
def test_the_image_holds_the_versions_that_are_tested(lock):
    ours, tested = (dict(PINNED.findall(path.read_text())) for path in (DEPLOY / lock, ROOT / "requirements.lock"))
    assert ours
    assert {name: tested.get(name) for name in ours} == ours
    for line in (DEPLOY / lock).read_text().split("\n    # via")[:-1]:
        assert "--hash=sha256:" in line


def test_nothing_of_the_tests_is_in_the_image():
    names = dict(PINNED.findall((DEPLOY / "image.lock").read_text()))
    assert not {"pytest", "ruff", "mypy", "playwright", "ipykernel", "hypothesis"} & names.keys()
    assert {"pyarrow", "s3fs", "openpyxl"} <= names.keys()


def test_it_runs_as_nobody_in_particular_and_asks_itself_how_it_is():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert 'CMD ["python", "-m", "easeml.stream.probe"]' in DOCKERFILE
    assert 'ENTRYPOINT ["tini", "--"]' in DOCKERFILE
    assert not re.search(r"^(ADD|MAINTAINER)|latest|curl|wget", DOCKERFILE, re.MULTILINE)
