"""A slice of ``make fuzz``: damaged requests crash or hang no server, and are never called a fault of the server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))

from fuzz_ports import HOUSE, house_targets, kafka_target
from port_house import PortHouse
from ports import ROUND, Siege, tracebacks

INPUTS = 300


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    with PortHouse(tmp_path_factory.mktemp("ports")) as house:
        yield house_targets(house)


@pytest.fixture
def embedded(tmp_path):
    with kafka_target(tmp_path) as target:
        yield target


def besieged(target):
    tally = asyncio.run(Siege(target, seed=0).lay(INPUTS))
    assert tally.faults == []
    assert (tally.inputs, tally.hangs, sum(tally.outcomes.values())) == (INPUTS, 0, INPUTS)
    assert tally.good == -(-INPUTS // ROUND) + 2
    return tally


@pytest.mark.parametrize("name", HOUSE)
def test_a_port_of_a_service_stands(targets, name):
    tally = besieged(targets[name])
    refused = {"UNAUTHENTICATED", "INVALID_ARGUMENT"} if name == "labels" else {"400", "404"}
    assert refused <= tally.outcomes.keys()


def test_the_port_of_the_embedded_broker_stands(embedded):
    assert {"answered", "closed"} <= besieged(embedded).outcomes.keys()


def test_a_siege_notices_a_server_that_fails(targets):
    """A siege that could not fail would show nothing."""
    target = targets["predict"]
    broken = Siege(target, seed=0)
    target.log.open("a").write('Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: ours\n')
    tally = asyncio.run(broken.lay(1))
    assert "ValueError: ours" in tally.faults[0]
    deaf = Siege(targets["health"], seed=0)
    deaf._target = type(target)(
        **(vars(targets["health"]) | {"works": targets["predict"].works, "outcome": lambda _: "500"})
    )
    assert any("500 after" in fault for fault in asyncio.run(deaf.lay(20)).faults)


def test_tracebacks_are_told_once_for_each_place():
    one = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: 1\nnext line\n'
    other = one.replace("a.py", "b.py")
    assert list(tracebacks("log\n" + one + one.replace("1\n", "2\n") + other)) == [
        '  File "a.py", line 1, in f',
        '  File "b.py", line 1, in f',
    ]
