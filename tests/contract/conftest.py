"""One recorded life of the house, shared by all tests; every test that takes ``room`` runs for every service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from house import ROOMS, Alone, Recording, record_house


@pytest.fixture(autouse=True, scope="module")
def only_few_trees(few_trees: None) -> None:
    """Small forests in every test: the contract is about messages, not about what Market finds."""


@pytest.fixture(scope="session")
def recording(
    tmp_path_factory: pytest.TempPathFactory, small_forests: Callable[[], AbstractContextManager[None]]
) -> Recording:
    """The recorded house."""
    with small_forests():
        return record_house((tmp_path_factory.mktemp("house") / "artifacts").as_uri())


@pytest.fixture(scope="session", params=ROOMS)
def room(request: pytest.FixtureRequest) -> str:
    """Name of a service."""
    return request.param


@pytest.fixture(scope="session")
def alone(recording: Recording) -> Callable[..., Alone]:
    """Return what starts a service alone."""
    return lambda name, **options: Alone(name, recording, **options)


@pytest.fixture(scope="session")
def undisturbed(alone: Callable[..., Alone]) -> Callable[[str], Alone]:
    """Return the undisturbed life of a service alone; lived once."""
    lives: dict[str, Alone] = {}

    def life(name: str) -> Alone:
        if name not in lives:
            lives[name] = alone(name).live()
        return lives[name]

    return life
