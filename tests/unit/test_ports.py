"""Servers that choose their own port stay clear of the ports of outgoing connections."""

from __future__ import annotations

import socket

from easeml.broker import Broker, BrokerConfig
from easeml.ports import first_outgoing, free_port, is_free


def test_a_free_port_is_none_of_the_outgoing_ones():
    ports = {free_port("127.0.0.1") for _ in range(50)}
    assert len(ports) > 1
    assert all(1024 < port < first_outgoing() for port in ports)


def test_the_system_gives_outgoing_connections_other_ports():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(50):
            with socket.create_connection(listener.getsockname()) as connection:
                assert connection.getsockname()[1] >= first_outgoing()


def test_a_taken_port_is_not_free():
    with socket.create_server(("127.0.0.1", free_port("127.0.0.1"))) as listener:
        assert not is_free("127.0.0.1", listener.getsockname()[1])


def test_a_host_that_is_not_ours_leaves_the_choice_and_the_error_to_the_server():
    assert free_port("203.0.113.1") == 0


async def test_a_broker_that_chooses_its_port_stays_clear_of_outgoing_connections():
    async with Broker(BrokerConfig(memory=True)) as broker:
        assert int(broker.bootstrap_servers.rpartition(":")[2]) < first_outgoing()
