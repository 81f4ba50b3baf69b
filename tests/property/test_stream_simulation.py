"""Seeded simulations: any interleaving, duplicates and crashes leave the effects of a calm run."""

import random
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "stream"))

from kernel_services import Merger, Summer, app, note, version

from easeml.stream.memory import POINTS, MemoryCluster
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS

APPS_USED = ("churn", "fraud", "spam")
SIMULATION = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

events = st.lists(
    st.tuples(
        st.sampled_from(APPS_USED),
        st.sampled_from(("note", "note", "note", "version", "tick", "again", "poison")),
        st.integers(0, 50),
    ),
    min_size=5,
    max_size=60,
)
crashes = st.lists(st.tuples(st.sampled_from(POINTS), st.integers(1, 6)), max_size=8)


SETTINGS = Settings(fuse=10_000)


def feed(cluster, plan, rng):
    for name in APPS_USED:
        cluster.publish(APPS, app(name))
    sent = []
    for place, (name, kind, value) in enumerate(plan):
        if kind == "note":
            sent.append((ANNOTATIONS, note(value, name), f"id-{place}"))
            cluster.publish(*sent[-1][:2], id=sent[-1][2])
        elif kind == "version":
            change = ("", "bad", f"wait:{value}")[value % 3]
            sent.append((DATA_VERSIONS, version(value, name, change, f"v{value}"), f"id-{place}"))
            cluster.publish(*sent[-1][:2], id=sent[-1][2])
        elif kind == "again" and sent:
            topic, data, identity = sent[value % len(sent)]
            cluster.publish(topic, data, id=identity)
        elif kind == "poison":
            cluster.publish(ANNOTATIONS, note(-13, name), id=f"id-{place}")
        elif kind == "tick":
            cluster.tick()
        if rng.random() < 0.3:
            cluster.run()


def effects(cluster):
    """Bytes of every distinct output id; the same id with other bytes is a broken promise."""
    seen = {}
    for record in cluster.records(AUDIT):
        identity = dict(record.headers)["ce_id"]
        assert seen.setdefault(identity, record.value) == record.value
    return seen


@SIMULATION
@given(plan=events, kills=crashes, seed=st.integers(0, 2**32), batch=st.sampled_from((1, 3, 16, 64)))
def test_a_sum_is_exact_whatever_happens(plan, kills, seed, batch):
    rng = random.Random(seed)
    cluster = MemoryCluster([Summer()], settings=SETTINGS, rng=rng, batch_events=batch)
    for point, nth in kills:
        cluster.kill("summer", point, nth)
    feed(cluster, plan, rng)
    cluster.run()
    expected = dict.fromkeys(APPS_USED, 0)
    for name, kind, value in plan:
        if kind == "note":
            expected[name] += value
    notes = sum(kind == "note" for _, kind, _ in plan)
    for name, total in expected.items():
        state = cluster.state("summer", name)
        assert (state["total"] if state else 0) == total
    assert len(effects(cluster)) == notes
    letters = {letter.headers["easeml.dlq.id"] for letter in cluster.dead_letters(ANNOTATIONS)}
    assert len(letters) == sum(kind == "poison" for _, kind, _ in plan)


@SIMULATION
@given(plan=events, kills=crashes, seed=st.integers(0, 2**32), batch=st.sampled_from((1, 3, 16, 64)))
def test_an_order_dependent_service_repeats_itself_bit_by_bit(plan, kills, seed, batch):
    rng = random.Random(seed)
    cluster = MemoryCluster([Merger()], settings=SETTINGS, rng=rng, batch_events=batch)
    for point, nth in kills:
        cluster.kill("merger", point, nth)
    feed(cluster, plan, rng)
    cluster.run()
    before = effects(cluster)
    states = {name: cluster.state("merger", name) for name in APPS_USED}
    # Every output was computed from the one before: the last one tells the state.
    hashes = {}
    for event in cluster.events(AUDIT):
        if event.data.action != "tick":
            hashes[event.data.app] = int(event.data.subject)
    handled = {n for n, s in states.items() if s and s["hash"] != 1}
    assert set(hashes) == handled
    assert all(states[name]["hash"] == hashes[name] for name in handled)
    cluster.restart("merger")
    cluster.run()
    assert effects(cluster) == before
    assert {name: cluster.state("merger", name) for name in APPS_USED} == states


@SIMULATION
@given(plan=events, seed=st.integers(0, 2**32))
def test_two_services_and_mid_run_kills_lose_nothing(plan, seed):
    rng = random.Random(seed)
    cluster = MemoryCluster([Summer(), Merger()], settings=SETTINGS, rng=rng, crash_at="after_outputs", batch_events=8)
    feed(cluster, plan, rng)
    for point in POINTS:
        cluster.kill("merger", point)
        cluster.kill("summer", point)
        cluster.publish(ANNOTATIONS, note(1), id=f"last-{point}")
        cluster.run()
    summed = sum(v for n, k, v in plan if k == "note" and n == "churn") + len(POINTS)
    assert cluster.state("summer", "churn")["total"] == summed
    effects(cluster)
