"""One recorded life of the house, shared by all tests; every test that takes ``room`` runs for every service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from house import ROOMS, Alone, Recording, record_house


@contextmanager
def _few_trees() -> Iterator[None]:
    """Small forests: the contract is about messages, not about what Market finds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("prediction._VALUE_TREES", "prediction._RESEMBLANCE_TREES", "belief._MEMBERS"):
            patch.setattr(f"easeml.market.{name}", 5)
        yield


@pytest.fixture(autouse=True)
def few_trees() -> Iterator[None]:
    """Small forests in every test, and no longer: other folders judge what Market finds."""
    with _few_trees():
        yield


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The recorded house."""
    with _few_trees():
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
