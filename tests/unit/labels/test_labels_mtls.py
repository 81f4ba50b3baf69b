"""A label service that asks its callers for certificates: who gets in, who does not, and what its log says."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.dashboard.asking import Desk
from easeml.errors import ConfigurationError, UnavailableError
from easeml.labels.client import LabelClient
from easeml.labels.oracle import Oracle
from easeml.labels.server import LabelServer
from easeml.labels.status import UnauthenticatedError
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings

REFUSED = {
    # who shows what, and what the log says about it
    "": "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "eve": "unable to get local issuer certificate",
    "old": "certificate has expired",
}


@pytest.fixture
async def locked(house, serve, question, shows):
    """Address of a service with one question that asks for certificates."""
    house.ask(question())
    return await serve(**shows("server"))


def ask(target, tls):
    with LabelClient(target, tls=tls, patience=0.0) as labels:
        return [one.question for one in labels.questions("churn")]


async def test_a_caller_with_a_certificate_of_the_authority_gets_in(locked, shows):
    assert await asyncio.to_thread(ask, locked, Settings(**shows("ada"))) == ["q"]


@pytest.mark.parametrize("who", REFUSED)
async def test_others_are_refused_and_the_log_says_why(locked, shows, who, capfd):
    with pytest.raises(UnavailableError) as caught:
        await asyncio.to_thread(ask, locked, Settings(**shows(who)))
    assert "EASEML_TLS_CA" in caught.value.mend
    # The log is written by gRPC itself, after the caller knows.
    deadline = time.monotonic() + 30
    said = capfd.readouterr().err
    while REFUSED[who] not in said:
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.01)
        said += capfd.readouterr().err


async def test_without_tls_nothing_is_heard(locked):
    with pytest.raises(UnavailableError):
        await asyncio.to_thread(ask, locked, False)


async def test_a_server_of_another_authority_is_not_trusted(locked, shows):
    with pytest.raises(UnavailableError):
        await asyncio.to_thread(ask, locked, Settings(tls_ca=shows("", "foreign")["tls_ca"]))


async def test_a_token_is_asked_for_besides(house, serve, question, shows):
    house.ask(question())
    target = await serve(token="secret", **shows("server"))
    with LabelClient(target, "secret", tls=Settings(**shows("ada")), patience=0.0) as labels:
        assert len(await asyncio.to_thread(lambda: list(labels.questions()))) == 1
    with pytest.raises(UnauthenticatedError):
        await asyncio.to_thread(ask, target, Settings(**shows("ada")))


async def test_terminal_dashboard_and_notebook_get_in_with_settings_alone(locked, shows, tmp_path):
    port = int(locked.rpartition(":")[2])
    write_run_file(tmp_path, "labels", health_port=0, ports={"labels": port}, ready=True)
    environment = {f"EASEML_{name.upper()}": value for name, value in shows("ada").items()} | {
        "EASEML_HOME": str(tmp_path),
        "EASEML_BOOTSTRAP_SERVERS": "",
    }
    arguments = ["--json", "label", "churn", "--annotator", "ada"]
    said = await asyncio.to_thread(lambda: CliRunner().invoke(command, arguments, input="q\n", env=environment))
    assert json.loads(said.output.splitlines()[0])["question"] == "q", said.output
    # The dashboard lives beside the services, and the notebook's buttons go through the same desk.
    for who in ("ada", "server"):
        desk = Desk(Settings(home=tmp_path, **shows(who)))
        found = await asyncio.to_thread(desk.questions, "churn", "ada")
        assert [one["question"] for one in found] == ["q"]
        desk.close()


async def test_a_program_that_answers_gets_in(house, locked, shows):
    oracle = Oracle(locked, "churn", {"row-q": "yes"}, tls=Settings(**shows("ada")))
    task = asyncio.ensure_future(oracle.run())
    while not house.answers():
        await asyncio.sleep(0.01)
    task.cancel()
    assert [answer.text for answer in house.answers()] == ["yes"]


async def test_files_that_cannot_be_used_are_named(house, shows, tmp_path):
    absent = str(tmp_path / "absent.crt")
    for changes in ({"tls_ca": absent}, {"tls_certificate": absent}, {"tls_key": absent}):
        settings = Settings(labels_port=0, **(shows("server") | changes))
        with pytest.raises(ConfigurationError, match="absent"):
            await LabelServer(house.service, settings).start(house)
        with pytest.raises(ConfigurationError, match=r"absent.crt cannot be read.*EASEML_TLS_CERTIFICATE"):
            LabelClient("127.0.0.1:1", tls=settings)
    with pytest.raises(ConfigurationError, match="EASEML_TLS_CA asks callers for certificates"):
        await LabelServer(house.service, Settings(labels_port=0, **shows())).start(house)
