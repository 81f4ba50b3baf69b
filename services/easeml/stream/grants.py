"""Who may do what on a cluster with accounts: every rule follows from the catalogue of topics.

Each service has an account of its own, ``easeml-<service>``: it reads what it consumes, writes what it produces, keeps
its state, and nothing else. These are no service's:

====================  ==============================================================================================
``easeml-user``       developers and their programs: read all that is not restricted, write what users produce of it
``easeml-owner``      the owner of the test set: also reads the details of verdicts and writes test labels
``easeml-dashboard``  shows what these two may see, and every dead letter, to who has a token for it
``easeml-supervisor``  the clock
``easeml-house``      all of it: ``easeml up`` with one account for all processes, and the erasing of apps
====================  ==============================================================================================

Who may read a topic may read its dead letters; who reads it as a service writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from easeml.stream.bulk import GROUP
from easeml.stream.changelog import changelog_topic
from easeml.stream.topics import CATALOGUE, OUTSIDE
from easeml.stream.topics import OWNER as TEST_SET_OWNER
from easeml.stream.views import TOPICS as BROADCAST

PREFIX = "easeml-"
HOUSE, OWNER, USER, DASHBOARD = (f"{PREFIX}{role}" for role in ("house", "owner", "user", "dashboard"))
CLOCK = f"{PREFIX}supervisor"
"""The account of the clock, which a supervisor runs."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One thing that an account may do.

    Parameters
    ----------
    account : str
        User name.
    operation : str
        ``read``, ``write``, ``describe`` or ``all``; the first two include the third.
    kind : str
        ``topic`` or ``group``.
    name : str
        Name of the topic or consumer group.
    prefix : bool
        Whether the name stands for all that begin with it.
    """

    account: str
    operation: str
    kind: str
    name: str
    prefix: bool = False


def account(service: str) -> str:
    """Return the user name of a service.

    >>> account("ci")
    'easeml-ci'
    """
    return PREFIX + service


def grants(services: Iterable[str]) -> tuple[Grant, ...]:
    """Return every rule, in order.

    Parameters
    ----------
    services : iterable of str
        Names of the services that have accounts.
    """
    found = {grant for service in services for grant in _of_service(service)}
    found.update(_of_people())
    found.update(Grant(CLOCK, "write", "topic", topic.name) for topic in CATALOGUE if "supervisor" in topic.produced_by)
    for kind, begin in (("topic", "easeml."), ("group", PREFIX)):
        found.add(Grant(HOUSE, "all", kind, begin, prefix=True))
    return tuple(sorted(found))


def _of_service(service: str) -> Iterator[Grant]:
    me = account(service)
    yield Grant(me, "read", "group", me)
    yield Grant(me, "describe", "group", GROUP)
    for operation in ("read", "write"):
        yield Grant(me, operation, "topic", changelog_topic(service))
    for topic in CATALOGUE:
        if topic.name in BROADCAST or service in topic.consumed_by:
            yield Grant(me, "read", "topic", topic.name)
            yield Grant(me, "write", "topic", topic.dead_letters)
        if topic.name in BROADCAST:  # all services refuse the same message, and look whether another has told so
            yield Grant(me, "read", "topic", topic.dead_letters)
        if service in topic.produced_by:
            yield Grant(me, "write", "topic", topic.name)


def _of_people() -> Iterator[Grant]:
    for person in (USER, OWNER, DASHBOARD):
        yield Grant(person, "describe", "group", GROUP)
        for topic in CATALOGUE:
            if not topic.restricted or (person != USER and TEST_SET_OWNER in topic.consumed_by):
                yield Grant(person, "read", "topic", topic.name)
                yield Grant(person, "read", "topic", topic.dead_letters)
            if {*topic.produced_by} & {*OUTSIDE} and (person == OWNER or not topic.restricted):
                yield Grant(person, "write", "topic", topic.name)
    for topic in CATALOGUE:  # what was given up is looked at and put away, or sent again
        yield Grant(DASHBOARD, "read", "topic", topic.dead_letters)
        yield Grant(DASHBOARD, "write", "topic", topic.dead_letters)
        if not topic.restricted:
            yield Grant(DASHBOARD, "write", "topic", topic.name)
