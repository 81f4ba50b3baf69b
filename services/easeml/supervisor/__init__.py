"""Runs the whole house on one machine: the embedded broker, the clock and every service.

The supervisor imports everything once, freezes the heap and forks each process before any Kafka handle or thread
exists, so ten services share their libraries' memory and start in seconds. It restarts what dies and holds no Kafka
handle itself: whatever needs one (creating topics, ticking) is a child.
"""

from easeml.supervisor.stack import Stack, discover, wait_ready
from easeml.supervisor.supervisor import Supervisor

__all__ = ["Stack", "Supervisor", "discover", "wait_ready"]
