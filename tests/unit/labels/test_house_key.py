"""The key of a house: the first token makes it, and the house's own tools show it where they have no token."""

from __future__ import annotations

import asyncio
import stat

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.dashboard.asking import Desk
from easeml.labels.client import LabelClient
from easeml.labels.oracle import Oracle
from easeml.labels.status import UnauthenticatedError
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings
from easeml.tokens import TokenFile, house_token


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, token="")


def test_the_first_token_makes_a_key_and_it_stays(settings, tmp_path):
    assert house_token(settings) == ""
    tokens, path = TokenFile(tmp_path), tmp_path / "house.key"
    ada = tokens.create("ada")
    key = house_token(settings)
    assert len(key) == 43, "256 random bits"
    assert key != ada
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"house.key", "tokens.json"}, "nothing half-written is left"
    assert key not in (tmp_path / "tokens.json").read_text()
    tokens.create("bob")
    tokens.revoke("ada")
    tokens.revoke("bob")
    tokens.create("cy")
    assert house_token(settings) == key
    assert house_token(Settings(home=tmp_path, token="set")) == "set"


@pytest.mark.parametrize("left", [None, "", "\n"], ids=["gone", "empty", "blank"])
def test_a_key_that_is_gone_opens_nothing_until_the_next_token_makes_another(settings, tmp_path, left):
    tokens, path = TokenFile(tmp_path), tmp_path / "house.key"
    tokens.create("ada")
    before = house_token(settings)
    path.unlink()
    if left is not None:
        path.write_text(left)
    assert house_token(settings) == ""
    tokens.create("bob")
    assert house_token(settings) not in {"", before}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_terminal_dashboard_and_programs_go_on_when_the_first_token_is_made(
    house, serve, question, settings, tmp_path
):
    house.ask(question())
    address = await serve()
    write_run_file(tmp_path, "labels", health_port=0, ports={"labels": int(address.rpartition(":")[2])}, ready=True)
    desk = Desk(settings)
    with LabelClient(address, lambda: house_token(settings)) as labels:

        def see():
            """Return what the dashboard, a program that began before the first token and the terminal are asked."""
            terminal = CliRunner().invoke(
                command,
                ["--json", "label", "churn", "--annotator", "ada"],
                input="q\n",
                env={"EASEML_HOME": str(tmp_path), "EASEML_TOKEN": "", "EASEML_BOOTSTRAP_SERVERS": ""},
            )
            told = [one["question"] for one in desk.questions("churn", "ada")]
            return told, [one.question for one in labels.questions()], terminal.exit_code, '"q"' in terminal.output

        assert await asyncio.to_thread(see) == (["q"], ["q"], 0, True)
        TokenFile(tmp_path).create("ada")
        assert await asyncio.to_thread(see) == (["q"], ["q"], 0, True)
    desk.close()


@pytest.mark.parametrize("reads", [True, False], ids=["of the house", "foreign"])
async def test_an_oracle_at_work_goes_on_if_it_may_read_the_home(house, serve, question, settings, tmp_path, reads):
    house.ask(question("before"))
    truth = {"row-before": "yes", "row-after": "no"}
    oracle = Oracle(await serve(), "churn", truth, token=lambda: house_token(settings) if reads else "")
    work = asyncio.ensure_future(oracle.run())
    async with asyncio.timeout(20):
        while not house.answers():
            await asyncio.sleep(0.01)
        TokenFile(tmp_path).create("ada")
        house.ask(question("after"))
        if reads:
            while len(house.answers()) < 2:
                await asyncio.sleep(0.01)
            work.cancel()
        with pytest.raises(asyncio.CancelledError if reads else UnauthenticatedError):
            await work
    assert [answer.text for answer in house.answers()] == ["yes", "no"][: 1 + reads]
