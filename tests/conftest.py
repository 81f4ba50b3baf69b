"""What all tests share: where the reference data is, certificates, small forests, and the time each folder took."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

# Workers of a parallel run are told the width of a terminal that nobody reads here; verbs would wrap their lines at it.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).parents[1]
_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of the reference data; a test that needs it is skipped only where the folder is not there."""
    folder = Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set EASEML_REFERENCE_DATA")
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``ca.crt`` and what it issued (``server``, ``ada``, the expired ``old``), and of the foreign ``eve``.

    Each has a certificate ``.crt`` and a key ``.key``.
    """
    folder = tmp_path_factory.mktemp("certificates")
    new = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
    ]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "foreign"):
        openssl(
            "req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}"
        )
    for name, authority, days in (
        ("server", "ca", "2"),
        ("ada", "ca", "2"),
        ("old", "ca", "-1"),
        ("eve", "foreign", "2"),
    ):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        issued = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", days]
        openssl("x509", "-req", "-in", f"{name}.csr", *issued, "-copy_extensions", "copy", "-out", f"{name}.crt")
    return folder


@pytest.fixture(scope="session")
def shows(certificates: Path) -> Callable[..., dict[str, str]]:
    """Return what makes the TLS settings of somebody who shows the certificate of a name (none: nothing)."""

    def settings(name: str = "", authority: str = "ca") -> dict[str, str]:
        pair = (
            {"tls_certificate": f"{certificates / name}.crt", "tls_key": f"{certificates / name}.key"} if name else {}
        )
        return pair | {"tls_ca": f"{certificates / authority}.crt"}

    return settings


@pytest.fixture(scope="session")
def small_forests() -> Callable[[], AbstractContextManager[None]]:
    """Return what keeps Market's forests small while it is open."""

    @contextmanager
    def opened() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("prediction._VALUE_TREES", "prediction._RESEMBLANCE_TREES", "belief._MEMBERS"):
                patch.setattr(f"easeml.market.{name}", 5)
            yield

    return opened


@pytest.fixture(scope="module")
def few_trees(small_forests: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Small forests in a module of tests, and no longer: others judge what Market finds."""
    with small_forests():
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    parts = Path(report.nodeid.split("::")[0]).parts
    _seconds[parts[1] if len(parts) > 2 else "tests"] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seconds per folder")
    for folder, seconds in sorted(_seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{seconds:8.1f}  {folder}")
