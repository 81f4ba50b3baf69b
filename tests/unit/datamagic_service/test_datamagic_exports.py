"""What ``easeml.datamagic`` offers is there, and nothing is offered that is not named."""

from __future__ import annotations

import doctest

import pytest

from easeml import datamagic


def test_every_name_is_there():
    assert {name: getattr(datamagic, name) for name in datamagic.__all__}.keys() == datamagic._HOME.keys()


def test_an_unknown_name_says_so():
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        datamagic.magic  # noqa: B018


def test_its_first_example_runs():
    assert doctest.testmod(datamagic).failed == 0
