"""Which messages are folded again after a restart: those that the views rest on, and what came after."""

from collections import deque
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_services import Summer, app, note

from easeml.stream import needs, partition
from easeml.stream.memory import MemoryCluster
from easeml.stream.needs import END, Offsets, joined, merged, to_fold
from easeml.stream.payloads import Annotation, Tick
from easeml.stream.service import On
from easeml.stream.topics import ANNOTATIONS, APPS, TICKS

RUNS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 6)).map(lambda run: (run[0], run[0] + run[1])), max_size=30
)


def covered(runs):
    return {offset for start, end in runs for offset in range(start, end)}


@given(RUNS, st.integers(0, 5), st.integers(1, 8))
def test_merged_runs_cover_all_and_little_else(runs, gap, most):
    with mock.patch.object(needs, "GAP", gap):
        found = merged(runs, most)
    wanted = covered(runs)
    assert covered(found) >= wanted
    assert len(found) <= most
    between = [after[0] - before[1] for before, after in pairwise(found)]
    assert all(width > gap for width in between)
    assert {run[0] for run in found} | {run[1] - 1 for run in found} <= wanted, "ends are needed messages"
    spare = sorted(covered(found) - wanted)
    longest = max((len(part) for part in _stretches(spare)), default=0)
    assert longest <= gap or longest <= min(between, default=END) or most == 1, "the smallest gaps are closed"


def _stretches(offsets):
    parts = []
    for offset in offsets:
        if parts and offset == parts[-1][-1] + 1:
            parts[-1].append(offset)
        else:
            parts.append([offset])
    return parts


@given(st.lists(st.integers(0, 400), max_size=80), st.integers(0, 400))
def test_offsets_are_told_as_runs_that_cover_them(offsets, first):
    view = Offsets()
    with mock.patch.multiple(needs, GAP=3, MOST_RUNS=4):
        for offset in offsets:
            view.add(offset)
        found = view.since(first)
        assert covered(found) >= {offset for offset in offsets if offset >= first}
        assert min(covered(found), default=first) >= first
        assert view.since() == found, "what came before is forgotten"


def test_what_apps_need_is_joined_and_the_rest_is_folded_whole():
    found = joined(
        [{"a": [(5, 9)], "b": [(0, 2)]}, {"a": [], "b": [(7, 8)]}, {"a": [(20_000, 20_001)], "b": []}], {"a": 30_000}
    )
    assert found == {"a": [(5, 9), (20_000, 20_001), (30_001, END)], "b": [(0, END)]}
    assert joined([{"a": []}, {}], {"a": 9}) == {"a": [(0, END)]}, "an app that does not name a topic needs it whole"
    assert joined([], {"a": 9}) == {}


@pytest.mark.parametrize(
    ("topic", "low", "end", "runs"),
    [
        ("a", 0, 9, [(2, 5), (7, 9)]),
        ("a", 3, 8, [(3, 5), (7, 8)]),
        ("a", 0, 2, []),
        ("b", 4, 9, [(4, 9)]),
        ("b", 4, 0, []),
        (TICKS.name, 3, 90, [(89, 90)]),
        (TICKS.name, 90, 90, []),
        (TICKS.name, 0, 0, []),
    ],
)
def test_what_was_applied_and_is_still_there_is_folded(topic, low, end, runs):
    assert to_fold({"a": [(2, 5), (7, END)]}, topic, low, end) == runs


class Newest(Summer):
    """Keeps the last ten values and the time of the last tick."""

    def __init__(self):
        self.folded = []
        self.views = {}

    def table(self):
        return (
            On(ANNOTATIONS, Annotation, fold=self.see, handle=self.add),
            On(TICKS, Tick, fold=self.see, handle=lambda state, event, ctx: ()),
        )

    def see(self, event):
        self.folded.append((event.topic, event.offset))
        if event.topic == ANNOTATIONS.name:
            self.views.setdefault(event.app, deque(maxlen=10)).append((event.offset, event.data.value))

    def needed(self, app, state):
        assert state["total"] == sum(range(int(state["trace"][0]))), "the state of now"
        return {ANNOTATIONS.name: [(self.views[app][0][0], END)] if app in self.views else []}

    def forget(self, app):
        self.views.pop(app, None)


@pytest.fixture
def service():
    return Newest()


@pytest.fixture
def cluster(service):
    running = MemoryCluster([service], partitions=1)
    running.publish(APPS, app())
    return running


def test_a_restart_folds_what_the_views_rest_on(monkeypatch, service, cluster):
    monkeypatch.setattr(partition, "NEEDED_EVERY", 5)
    for number in range(100):
        cluster.publish(ANNOTATIONS, note(number, request=f"r{number}"))
        cluster.tick(1)
        cluster.run()
    views, service.folded = {name: list(view) for name, view in service.views.items()}, []
    cluster.restart(service.name)
    assert {name: list(view) for name, view in service.views.items()} == views
    again = [offset for topic, offset in service.folded if topic == ANNOTATIONS.name]
    assert 10 <= len(again) <= 20
    assert again == list(range(again[0], 100))
    assert len(service.folded) == len(again) + 1, "and one tick"


def test_few_messages_are_no_reason_to_write_it_down(monkeypatch, service, cluster):
    monkeypatch.setattr(partition, "NEEDED_EVERY", 1000)
    for number in range(20):
        cluster.publish(ANNOTATIONS, note(number, request=f"r{number}"))
    cluster.run()
    service.folded = []
    cluster.restart(service.name)
    assert len(service.folded) == 20
