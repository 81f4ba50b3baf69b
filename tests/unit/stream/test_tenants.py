"""Checkpoints of one app's state."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from easeml.stream.service import Packed
from easeml.stream.tenants import Tenant


class Sums:
    """Adds numbers; one that adds nothing leaves the packed state as it was."""

    def __init__(self):
        self.last = None

    def new_state(self, app):
        return [0]

    def pack(self, state):
        if self.last is None or self.last.document["sum"] != state[0]:
            self.last = Packed({"sum": state[0]}, {})
        return self.last

    def unpack(self, app, packed):
        return [packed.document["sum"]]


def added(state, number, context):
    state[0] += number
    if number < 0:
        raise ValueError(number)
    return []


ROUTE = SimpleNamespace(handle=added)


def test_a_state_that_did_not_change_is_not_frozen_again():
    tenant = Tenant.new(Sums(), "churn", "")
    for number, anew in ((3, True), (0, False), (2, True), (0, False)):
        before = tenant.checkpoint
        tenant.handle(ROUTE, number, None)
        tenant.save()
        assert (tenant.checkpoint is not before) == anew
    assert tenant.checkpoint.document == '{"sum":5}'


def test_a_refused_event_leaves_the_state_as_it_was_also_after_events_that_changed_nothing():
    tenant = Tenant.new(Sums(), "churn", "")
    for number in (3, 0, 2, 0):
        tenant.handle(ROUTE, number, None)
        with pytest.raises(ValueError, match="-7"):
            tenant.handle(ROUTE, -7, None)
        tenant.save()
    assert tenant.value == [5]
    assert tenant.record().document == '{"sum":5}'
