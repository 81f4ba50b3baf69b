"""A whole house as ``easeml up`` runs it: ready, restarted, refused twice, and gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from easeml.client import Client
from easeml.stream.runfiles import read_run_file
from easeml.supervisor import discover, wait_ready
from easeml.supervisor.roster import PROCESSES
from easeml.supervisor.stack import alive
from waiting import until

COMMAND = Path(sys.executable).with_name("easeml")


def environment(home: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EASEML_")}
    return clean | {"EASEML_HOME": str(home), "EASEML_LABELS_PORT": "0", "EASEML_SERVING_PORT": "0"}


def start(home: Path, *options: str, **more) -> subprocess.Popen[bytes]:
    home.mkdir(exist_ok=True)
    with (home / "up.log").open("ab") as log:
        return subprocess.Popen([COMMAND, "up", *options], env=environment(home), stdout=log, stderr=log, **more)


def said(home: Path) -> str:
    return (home / "up.log").read_text()


def easeml(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env=environment(home), capture_output=True, text=True, timeout=60, check=False
    )


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("house")
    house = start(home)
    try:
        wait_ready(home, 120, while_alive=house.pid)
        yield home
    finally:
        house.send_signal(signal.SIGINT)
        house.wait(60)


def test_every_service_is_healthy(home):
    shown = easeml(home, "--json", "status")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    states = {row["service"]: row["state"] for row in map(json.loads, shown.stdout.splitlines()) if "service" in row}
    assert states == dict.fromkeys(PROCESSES, "SERVING")
    doctor = easeml(home, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "WRONG" not in doctor.stdout


def test_every_service_has_metrics(home):
    for service in PROCESSES:
        port = read_run_file(home, service)["health_port"]
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        assert "easeml_" in text


def test_a_killed_service_comes_back(home):
    before = read_run_file(home, "labels")["pid"]
    os.kill(before, signal.SIGKILL)
    after = until(lambda: (f := read_run_file(home, "labels")) and f["pid"] != before and f.get("ready") and f["pid"])
    assert alive(after)
    assert not alive(before)
    # it is announced again, with the address it has now
    address = f"labels on 127.0.0.1:{read_run_file(home, 'labels')['ports']['labels']}"
    until(lambda: said(home).rpartition("labels      died")[2].count(f"labels      ready, {address}") == 1)


def test_a_killed_broker_comes_back_where_it_was(home):
    stack = discover(home)
    with Client(home=home) as client:
        client.create_app("keeps", label="y")
    broker = next(p for p in children(stack.pid) if f":{stack.bootstrap_servers.split(':')[1]}" in listening(p))
    os.kill(broker, signal.SIGKILL)
    until(lambda: read_run_file(home, "broker") and broker not in children(stack.pid))
    with Client(home=home) as client:
        assert client.settings.bootstrap_servers == stack.bootstrap_servers
        assert "keeps" in until(client.apps)
    until(lambda: easeml(home, "status").returncode == 0, 60)


def listening(pid: int) -> str:
    """Return the listening ports of a process, as ``:port`` each."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(descriptor))
        except FileNotFoundError:
            continue
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    ports = [
        f":{int(f[1].split(':')[1], 16)}"
        for f in map(str.split, lines)
        if f[3] == "0A" and f"socket:[{f[9]}]" in sockets
    ]
    return " ".join(ports)


def test_a_second_house_in_the_same_home_is_refused(home):
    second = easeml(home, "up")
    assert second.returncode == 1
    assert "runs in" in second.stderr
    assert discover(home) is not None


def test_a_house_leaves_nothing_behind_and_forgets_nothing(tmp_path):
    home = tmp_path / "house"
    house = start(home)
    stack = wait_ready(home, 120, while_alive=house.pid)
    with Client(home=home) as client:
        client.create_app("stays", label="y")
    family = children(stack.pid)
    house.send_signal(signal.SIGTERM)
    assert house.wait(60) == 0
    assert not [p for p in family if alive(p)]
    assert discover(home) is None
    house = start(home)
    try:
        stack = wait_ready(home, 120, while_alive=house.pid)
        with Client(home=home) as client:
            assert "stays" in client.apps()
        family = children(stack.pid)
        os.kill(stack.pid, signal.SIGKILL)  # no process outlives its supervisor, however it dies
        until(lambda: not [p for p in family if running(p)])
    finally:
        house.kill()
        house.wait()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_bad_broker_address_is_an_error_not_a_hang(tmp_path):
    refused = easeml(tmp_path, "--bootstrap", "127.0.0.1:1", "up")
    assert refused.returncode == 1
    assert "127.0.0.1:1" in refused.stderr


def test_a_taken_port_ends_the_house_and_says_so(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        refused = subprocess.run(
            [COMMAND, "up", "--only", "serving"],
            env=environment(tmp_path) | {"EASEML_SERVING_PORT": port, "COLUMNS": "500"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert refused.returncode == 2
    assert f"serving cannot start: EASEML_SERVING_PORT: 127.0.0.1:{port}" in refused.stderr
    assert str(tmp_path / "logs" / "serving.log") in refused.stderr
    assert "restart" not in refused.stdout
    assert discover(tmp_path) is None


def test_ctrl_c_stops_the_services_before_their_broker(tmp_path):
    # As a terminal does, send it to the whole group, of whom all but the supervisor must ignore it.
    house = start(tmp_path, "--only", "labels", process_group=0)
    try:
        wait_ready(tmp_path, 120, while_alive=house.pid)
        until(lambda: "labels      ready" in said(tmp_path))
        log = tmp_path / "logs" / "labels.log"
        begun = log.stat().st_size
        os.killpg(house.pid, signal.SIGINT)
        assert house.wait(60) == 0
        assert "onnect" not in log.read_text()[begun:]
        assert "did not stop" not in said(tmp_path)
    finally:
        house.kill()
        house.wait()


def test_a_home_that_cannot_be_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    refused = easeml(tmp_path / "file" / "home", "up")
    assert refused.returncode == 2
    assert "cannot be used" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
