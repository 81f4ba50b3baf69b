"""Damage requests by the hundred thousand for every port of a house: ``make fuzz OF=ports``.

The servers are processes of their own, as users run them. A line of JSON for each port is printed and written to
``build/fuzz/ports.jsonl``; what shows a fault is written beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import grpc_damage
import http_damage
import kafka_damage
import port_house
from grpc_damage import Call
from http_damage import Request
from port_house import PortHouse
from ports import Siege, Target
from telling import BUILD, conclude, progress

from easeml.broker.process import BrokerProcess

HOUSE = ("labels", "predict", "dashboard", "health", "dashboard-health")
PORTS = (*HOUSE, "kafka")


def house_targets(house: PortHouse) -> dict[str, Target]:
    """Return the ports of the services by name."""

    def over_http(
        name: str, service: str, port: int, works: Callable[[float], None], asked: tuple[Request, ...]
    ) -> Target:
        return Target(
            name,
            port,
            house.processes[service].pid,
            house.home / f"{service}.log",
            works,
            partial(http_damage.damaged, requests=asked),
            http_damage.is_complete,
            http_damage.outcome,
        )

    calls = grpc_damage.sound_calls(port_house.APP, port_house.QUESTION)

    def call_or_frames(rng: random.Random) -> tuple[str, bytes | Call]:
        return grpc_damage.damaged_call(rng, calls) if rng.random() < 0.5 else grpc_damage.damaged_frames(rng, calls)

    labels = Target(
        "labels",
        house.of("labels", "labels"),
        house.processes["labels"].pid,
        house.home / "labels.log",
        house.asks,
        call_or_frames,
        grpc_damage.is_complete,
        lambda _: "frames",
    )
    found = (
        labels,
        over_http("predict", "serving", house.of("serving", "predict"), house.predicts, port_house.PREDICT),
        over_http("dashboard", "dashboard", house.of("dashboard", "dashboard"), house.shows, port_house.DASHBOARD),
        over_http("health", "serving", house.of("serving"), partial(house.is_well, "serving"), port_house.HEALTH),
        over_http(
            "dashboard-health",
            "dashboard",
            house.of("dashboard"),
            partial(house.is_well, "dashboard"),
            port_house.HEALTH,
        ),
    )
    return {target.name: target for target in found}


@contextmanager
def kafka_target(home: Path) -> Iterator[Target]:
    """Yield the port of an embedded broker with which a client has spoken, and another one speaks all the time."""
    with kafka_damage.Tap() as tap, BrokerProcess(home / "broker", advertised_port=tap.port) as broker:
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        tap.lead_to(port)
        kafka_damage.converse(f"127.0.0.1:{tap.port}", "fuzzed")
        frames = tap.frames()
        with closing(kafka_damage.Regular(f"127.0.0.1:{tap.port}")) as regular:
            yield Target(
                "kafka",
                port,
                broker.pid,
                broker.log_path,
                regular.works,
                partial(kafka_damage.damaged, frames=frames),
                kafka_damage.is_complete,
                lambda _: "answered",
            )


def besiege(target: Target, inputs: int, seed: int) -> bool:
    """Send a port its inputs, say what happened, and return whether all was well."""
    began = time.monotonic()
    tally = asyncio.run(Siege(target, seed).lay(inputs, progress(target.name)))
    return conclude("port", target.name, seed, tally, wall_seconds=round(time.monotonic() - began, 1))


def main() -> int:
    """Besiege the ports that were asked for; 1 when one showed a fault."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="damaged inputs for each port")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("ports", nargs="*", default=[], help=f"some of {', '.join(PORTS)}; all unless given")
    given = options.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # servers hang up in the middle of what is sent
    BUILD.mkdir(parents=True, exist_ok=True)
    wanted = given.ports or PORTS
    sound = True
    with tempfile.TemporaryDirectory() as folder:
        if set(wanted) & set(HOUSE):
            with PortHouse(Path(folder)) as house:
                targets = house_targets(house)
                for name in wanted:
                    if name in targets:
                        sound &= besiege(targets[name], given.inputs, given.seed)
        if "kafka" in wanted:
            with kafka_target(Path(folder) / "kafka") as target:
                sound &= besiege(target, given.inputs, given.seed)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
