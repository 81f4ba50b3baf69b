"""The pure core: decoding, dedupe, refusals, rollback, journal, attempts, fuse, deletion."""

import random
from dataclasses import replace

import numpy as np
import pytest
from kernel_services import Daring, Merger, Summer, app, line, note, version

from easeml.errors import ArtifactError, Busy, ConfigurationError, InvalidDataError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.changelog import Snapshot, Stored, Window, Writer
from easeml.stream.items import TooSlowError
from easeml.stream.memory import POINTS, MemoryCluster
from easeml.stream.payloads import Annotation, AppDeleted, AuditRecord, DataVersion, StateRecord, Tick
from easeml.stream.poison import REDRIVE, REDRIVE_FOR
from easeml.stream.routing import Routes
from easeml.stream.service import Job, On, Packed, Service
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS, TICKS, partition_of


def cluster_of(*services, **options):
    limits = options.pop("settings", None) or Settings(fuse=options.pop("fuse", 1000), attempts=3)
    cluster = MemoryCluster(services, settings=limits, **options)
    cluster.publish(APPS, app())
    return cluster


def reasons(cluster, topic=ANNOTATIONS):
    return [letter.reason for letter in cluster.dead_letters(topic)]


def home(name="churn", partitions=2):
    return partition_of(name, partitions)


class Probe(Summer):
    """Runs a function given by the test as its handler."""

    def __init__(self, act):
        self.act = act

    def add(self, state, event, context):
        state["total"] += 1
        return self.act(state, event, context) or ()


def test_output_ids_follow_from_the_input():
    cluster = cluster_of(Summer())
    cluster.publish(ANNOTATIONS, note(4), id="one")
    cluster.run()
    (event,) = cluster.events(AUDIT)
    assert event.id == EventId.derive("summer", "v1", "one", 0)
    assert event.source == "easeml/summer"
    assert event.time == cluster.now


def test_random_draws_depend_on_secret_service_app_and_event():
    drawn = set()
    for secret in ("a", "b"):
        cluster = cluster_of(Summer(), settings=Settings(epoch_seed=secret))
        cluster.publish(ANNOTATIONS, note(1), id="one")
        cluster.publish(ANNOTATIONS, note(1), id="two")
        cluster.run()
        drawn |= {event.data.outcome for event in cluster.events(AUDIT)}
    assert len(drawn) == 4


def test_the_same_event_twice_counts_once_also_after_a_restart():
    cluster = cluster_of(Summer())
    for _ in range(2):
        cluster.publish(ANNOTATIONS, note(5), id="one")
        cluster.run()
        cluster.restart("summer")
    assert cluster.state("summer", "churn")["total"] == 5
    assert len(cluster.events(AUDIT)) == 1


def test_bad_bytes_go_to_the_dead_letters_with_their_headers_and_the_service_goes_on():
    cluster = cluster_of(Summer())
    cluster.publish_bytes(ANNOTATIONS, b"junk", key=b"k", headers=[("mine", b"1")], partition=home())
    cluster.publish(ANNOTATIONS, note(2))
    cluster.run()
    (letter,) = cluster.dead_letters(ANNOTATIONS)
    assert (letter.reason, letter.value) == ("schema", b"junk")
    context = {
        "easeml.dlq.service": b"summer",
        "easeml.dlq.topic": ANNOTATIONS.name.encode(),
        "easeml.dlq.partition": str(home()).encode(),
        "easeml.dlq.offset": b"0",
        "easeml.dlq.time": repr(cluster.now).encode(),
        "mine": b"1",
    }
    assert context.items() <= letter.headers.items()
    assert cluster.state("summer", "churn")["total"] == 2


def test_a_message_without_envelope_is_welcome():
    cluster = cluster_of(Summer())
    cluster.publish_bytes(ANNOTATIONS, codec.encode(note(3)), partition=home())
    cluster.run()
    assert cluster.state("summer", "churn")["total"] == 3


def test_a_message_too_large_is_dead_lettered_by_reference():
    cluster = cluster_of(Summer(), settings=Settings(max_message_bytes=10_000))
    cluster.publish_bytes(ANNOTATIONS, b"x" * 10_001, partition=1)
    cluster.run()
    (letter,) = cluster.dead_letters(ANNOTATIONS)
    assert (letter.reason, len(letter.value)) == ("too_large", 1000)
    assert letter.headers["easeml.dlq.size"] == b"10001"


def test_tombstones_are_skipped():
    cluster = cluster_of(Summer())
    cluster.publish_bytes(ANNOTATIONS, None, partition=1)
    cluster.run()
    assert reasons(cluster) == []


def test_unknown_app_and_wrong_partition_are_refused():
    cluster = cluster_of(Summer())
    cluster.publish(ANNOTATIONS, note(1, "nobody"))
    cluster.publish_bytes(ANNOTATIONS, codec.encode(note(1)), partition=1 - home())
    cluster.run()
    assert sorted(reasons(cluster)) == ["unknown_app", "wrong_partition"]


def test_events_refused_while_their_app_was_unknown_are_not_folded_later():
    cluster = cluster_of(Merger())
    cluster.publish(DATA_VERSIONS, version(7, "late"))
    cluster.run()
    cluster.publish(APPS, app("late"))
    cluster.publish(DATA_VERSIONS, version(3, "late", name="w"))
    cluster.run()
    service = cluster._instances["merger"].service
    assert service.rows("late") == 3
    cluster.restart("merger")
    assert service.rows("late") == 3


@pytest.mark.parametrize("kind", [InvalidDataError, ArtifactError])
def test_errors_about_data_condemn_the_message(kind):
    def act(state, event, context):
        raise kind("Bad.")

    cluster = cluster_of(Probe(act))
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    assert reasons(cluster) == [kind.reason]
    assert cluster.state("summer", "churn") is None


def test_poison_takes_the_state_back_but_not_the_events_before_it():
    cluster = cluster_of(Summer())
    for value in (1, 2, -13, 4, -13, 8):
        cluster.publish(ANNOTATIONS, note(value))
    cluster.run()
    state = cluster.state("summer", "churn")
    assert (state["total"], state["trace"][0]) == (15, 4)
    assert [event.data.subject for event in cluster.events(AUDIT)] == ["1", "3", "7", "15"]


def test_a_crash_is_tried_again_and_then_dead_lettered():
    cluster = cluster_of(Summer())
    for value in (1, -99, 2, -99, 3):
        cluster.publish(ANNOTATIONS, note(value))
    cluster.run()
    assert cluster.restarts == 6
    assert reasons(cluster) == ["handler_crash"] * 2
    assert "RuntimeError: bug" in cluster.dead_letters(ANNOTATIONS)[0].message
    assert cluster.state("summer", "churn")["total"] == 6
    assert len({event.id for event in cluster.events(AUDIT)}) == 3


class Died(BaseException):
    """The process ends, without a word of Python's."""


@pytest.mark.parametrize("attempts", [1, 3])
def test_what_ends_the_process_is_tried_as_often_as_what_crashes(monkeypatch, attempts):
    def die(self):
        raise Died

    monkeypatch.setattr(Daring, "die", die)
    cluster = cluster_of(Daring(), settings=Settings(attempts=attempts))
    for value in (1, -9, -99, 2):
        cluster.publish(ANNOTATIONS, note(value))
    for _ in range(attempts):
        with pytest.raises(Died):
            cluster.run()
        cluster.restart("daring")
    cluster.run()
    assert reasons(cluster) == ["handler_crash"] * 2
    assert cluster.restarts == 2 * attempts
    assert "the end of the process" in cluster.dead_letters(ANNOTATIONS)[0].message
    assert "RuntimeError: bug" in cluster.dead_letters(ANNOTATIONS)[1].message
    assert cluster.state("daring", "churn")["total"] == 3


def test_a_try_that_went_well_is_forgotten():
    cluster = cluster_of(Daring())
    cluster.publish(ANNOTATIONS, note(1))
    cluster.publish(DATA_VERSIONS, version(1))  # it crashes, and is no reason to count the other one again
    cluster.run()
    assert reasons(cluster) == []
    assert reasons(cluster, DATA_VERSIONS) == ["handler_crash"]
    assert cluster.state("daring", "churn")["total"] == 1
    (last,) = [r for r in cluster.records("easeml.daring.state.v1") if r.key == b"attempt"][-1:]
    assert codec.decode(last.value).offsets == ()


def test_a_service_may_write_only_what_it_declares():
    def act(state, event, context):
        from easeml.stream.events import Output

        return [Output(TICKS, Tick(1, 1.0))]

    cluster = cluster_of(Probe(act))
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    assert reasons(cluster) == ["handler_crash"]


def test_an_output_too_large_is_a_bug():
    cluster = cluster_of(
        Probe(lambda state, event, context: [line("churn", "x" * 20_000, "s")]),
        settings=Settings(max_message_bytes=10_000),
    )
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    assert reasons(cluster) == ["handler_crash"]


def test_the_fuse_stops_a_partition_and_keeps_its_messages():
    cluster = cluster_of(Summer(), fuse=3)
    for _ in range(10):
        cluster.publish(ANNOTATIONS, note(-13))
    cluster.publish(ANNOTATIONS, note(5))
    cluster.run()
    assert cluster.fused("summer") == [home()]
    assert len(reasons(cluster)) == 3
    for _ in range(4):
        cluster.restart("summer")
        cluster.run()
    assert len(reasons(cluster)) == 10
    assert cluster.state("summer", "churn")["total"] == 5


def test_a_good_event_resets_the_fuse():
    cluster = cluster_of(Summer(), fuse=3)
    for value in (-13, -13, 1) * 5:
        cluster.publish(ANNOTATIONS, note(value))
    cluster.run()
    assert cluster.fused("summer") == []


def test_the_clock_between_garbage_does_not_reset_the_fuse():
    cluster = cluster_of(Merger(), fuse=3)
    for _ in range(3):
        cluster.publish_bytes(ANNOTATIONS, b"junk", partition=home())
        cluster.tick()
    assert cluster.fused("merger") == [home()]


def test_a_repeated_event_between_garbage_does_not_reset_the_fuse():
    cluster = cluster_of(Summer(), fuse=3)
    for value in (1, -13, 1, -13, 1, -13):
        cluster.publish(ANNOTATIONS, note(value), id="one" if value == 1 else None)
    cluster.run()
    assert cluster.fused("summer") == [home()]


def test_a_redriven_message_counts_although_its_id_was_seen():
    cluster = cluster_of(Summer())
    cluster.publish(ANNOTATIONS, note(5), id="one")
    cluster.run()
    (record,) = cluster.records(ANNOTATIONS)
    for _ in range(2):
        cluster.publish_bytes(
            ANNOTATIONS, record.value, record.key, [*record.headers, (REDRIVE, b"1")], record.partition
        )
    cluster.run()
    assert cluster.state("summer", "churn")["total"] == 10


def test_busy_blocks_its_topic_only_and_is_tried_again_after_a_fold():
    cluster = cluster_of(Merger())
    cluster.publish(DATA_VERSIONS, version(5, change="wait:20"))
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    assert [event.data.action for event in cluster.events(AUDIT)] == ["note", "note2"]
    cluster.publish(DATA_VERSIONS, version(30, name="w"))
    cluster.run()
    assert [event.data.action for event in cluster.events(AUDIT)] == ["note", "note2"]


class Waiter(Merger):
    """Handles notes only when versions with as many rows were folded."""

    name = "waiter"

    def table(self):
        from easeml.stream.payloads import Annotation, DataVersion

        return (On(DATA_VERSIONS, DataVersion, fold=self.see), On(ANNOTATIONS, Annotation, handle=self.need))

    def need(self, state, event, context):
        state["hash"] += 1000
        if self.rows(event.app) < event.data.value:
            raise Busy("Too few rows.")
        yield line(event.app, "need", str(state["hash"]))


def test_busy_goes_on_when_what_it_waits_for_has_come():
    cluster = cluster_of(Waiter())
    cluster.publish(ANNOTATIONS, note(8))
    cluster.run()
    assert cluster.events(AUDIT) == []
    cluster.restart("waiter")
    cluster.publish(DATA_VERSIONS, version(9))
    cluster.run()
    assert [event.data.subject for event in cluster.events(AUDIT)] == ["1001"]


def test_a_failed_job_is_a_crash_and_a_refusal_in_a_job_is_a_refusal():
    class Worker(Probe):
        def table(self):
            from easeml.stream.payloads import Annotation

            return (On(ANNOTATIONS, Annotation, prepare=self.job, handle=self.add),)

        def job(self, state, event, context):
            return Job(explode, (event.data.value,))

    cluster = cluster_of(Worker(lambda state, event, context: [line("churn", "job", str(context.result))]))
    for value in (0, 1, 2):
        cluster.publish(ANNOTATIONS, note(value))
    cluster.run()
    assert reasons(cluster) == ["artifact", "handler_crash"]
    assert [event.data.subject for event in cluster.events(AUDIT)] == ["fine"]


def explode(value):
    if value == 0:
        raise ArtifactError("Changed.")
    if value == 1:
        raise RuntimeError("bug")
    return "fine"


def test_ticks_reach_every_app_with_state_and_quiet_ones_cost_no_record():
    cluster = cluster_of(Merger())
    cluster.publish(APPS, app("fraud"))
    for name in ("churn", "fraud"):
        cluster.publish(ANNOTATIONS, note(1, name))
    cluster.run()
    cluster.tick(12)
    assert cluster.state("merger", "churn")["ticks"] == cluster.state("merger", "fraud")["ticks"] == 6
    ticked = [event for event in cluster.events(AUDIT) if event.data.action == "tick"]
    assert len({event.id for event in ticked}) == len(ticked) == 4
    records = [r for r in cluster.records("easeml.merger.state.v1") if r.key == b"state/churn"]
    assert len(records) == 1 + 6 + 1  # the note, the odd ticks, and tick 10, which had an output


def test_a_tick_that_comes_again_after_a_restart_says_nothing_more():
    """Its outputs have ids of the first time: said anew of a newer state, readers who know the ids would miss them."""
    cluster = cluster_of(Merger())
    cluster.publish(ANNOTATIONS, note(1))
    cluster.tick(7)
    (said,) = (event for event in cluster.events(AUDIT) if event.data.action == "tick")
    cluster.restart("merger")
    for record in cluster.records(TICKS):
        cluster.publish_bytes(record.topic, record.value, record.key, record.headers, record.partition)
    cluster.run()
    assert [event.data for event in cluster.events(AUDIT) if event.id == said.id] == [said.data]


def test_a_deleted_app_is_forgotten_and_may_come_back_empty():
    cluster = cluster_of(Merger())
    cluster.publish(DATA_VERSIONS, version(5))
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    cluster.publish(APPS, AppDeleted("churn"))
    cluster.publish(ANNOTATIONS, note(2))
    cluster.run()
    service = cluster._instances["merger"].service
    assert cluster.state("merger", "churn") is None
    assert reasons(cluster) == []
    cluster.publish(APPS, app())
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    again = cluster.state("merger", "churn")
    assert (again["hash"], service.rows("churn")) == (37 + 1, 0)
    cluster.restart("merger")
    assert cluster.state("merger", "churn") == again
    assert service.rows("churn") == 0


def away(cluster, *said):
    """Publish what the services do not see happen, and start them anew."""
    told, cluster.broadcast.on_deleted = cluster.broadcast.on_deleted, []
    for data in said:
        cluster.publish(APPS, data)
    cluster.broadcast.on_deleted = told
    for name in list(cluster._instances):
        cluster.restart(name)


def test_an_app_that_was_deleted_and_came_back_while_a_service_was_away_begins_anew():
    cluster = MemoryCluster([Merger()])
    cluster.publish(APPS, replace(app(), life="one"))
    cluster.publish(DATA_VERSIONS, version(5))
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    away(cluster, replace(app(), life="one", target=0.7))
    merger = cluster._instances["merger"].service
    assert merger.rows("churn") == 5, "it was changed, no more"
    away(cluster, AppDeleted("churn"), replace(app(), life="two"))
    assert cluster.state("merger", "churn") is None
    assert merger.rows("churn") == 0
    cluster.publish(ANNOTATIONS, note(1))
    cluster.run()
    again = cluster.state("merger", "churn")
    assert again["hash"] == 37 + 1
    cluster.restart("merger")
    assert (cluster.state("merger", "churn"), merger.rows("churn")) == (again, 0)


def test_what_was_folded_of_an_app_without_a_state_does_not_come_back_with_it():
    class Onlooker(Merger):
        def table(self):
            return (On(DATA_VERSIONS, DataVersion, fold=self.see), On(ANNOTATIONS, Annotation, handle=self.mix))

    cluster = cluster_of(Onlooker())
    cluster.publish(DATA_VERSIONS, version(5))
    cluster.run()
    away(cluster, AppDeleted("churn"))
    cluster.run()
    cluster.publish(APPS, app())
    cluster.restart("merger")
    assert cluster._instances["merger"].service.rows("churn") == 0


def test_another_life_of_an_app_is_another_app_though_nobody_deleted_the_first():
    cluster = MemoryCluster([Merger()])
    for life in ("one", "one", "two"):
        cluster.publish(APPS, replace(app(), life=life))
        cluster.publish(ANNOTATIONS, note(1))
        cluster.run()
    assert len(cluster.events(AUDIT)) == 6
    assert cluster.state("merger", "churn")["hash"] == 37 + 1


def test_a_message_that_was_given_up_before_its_fold_is_in_no_view_after_a_restart_either():
    class Fragile(Merger):
        def mix_version(self, state, event, context):
            if event.data.change == "crash":
                raise RuntimeError("bug")
            return super().mix_version(state, event, context)

    cluster = cluster_of(Fragile())
    for rows, change in ((5, ""), (70, "crash"), (9, "")):
        cluster.publish(DATA_VERSIONS, version(rows, change=change, name=f"v{rows}"))
    cluster.run()
    assert reasons(cluster, DATA_VERSIONS) == ["handler_crash"]
    merger = cluster._instances["merger"].service
    for _ in range(3):
        assert merger.rows("churn") == 14
        cluster.publish(ANNOTATIONS, note(1))
        cluster.run()
        cluster.restart("merger")


def test_nothing_more_is_said_of_an_app_that_was_deleted_before_the_batch_ended():
    cluster = cluster_of(Summer())
    home, other = partition_of("churn", 2), app("elsewhere")
    assert partition_of(other.app, 2) == home
    cluster.publish(APPS, other)
    cluster.publish(ANNOTATIONS, note(1))
    cluster.publish(ANNOTATIONS, note(2, other.app))
    instance = cluster._instances["summer"]
    lanes = instance.lanes[home]
    cluster._fetch(instance, lanes, home)
    while lanes.step(0.0):
        pass
    cluster.publish(APPS, AppDeleted("churn"))
    said = [codec.decode(message.value).app for message in lanes.take().messages]
    assert said == [other.app]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("seed", range(6))
def test_every_crash_point_repeats_the_same_bytes(point, seed):
    rng = random.Random(seed)
    cluster = cluster_of(Merger(), rng=rng)
    for batch in range(6):
        cluster.kill("merger", point)
        for n in range(12):
            if rng.random() < 0.4:
                change = "" if rng.random() < 0.7 else f"wait:{rng.randint(1, 40)}"
                cluster.publish(DATA_VERSIONS, version(rng.randint(1, 9), change=change, name=f"v{batch}-{n}"))
            else:
                cluster.publish(ANNOTATIONS, note(rng.randint(0, 20)))
        cluster.tick()
    contents = {}
    for record in cluster.records(AUDIT):
        identity = dict(record.headers)["ce_id"]
        assert contents.setdefault(identity, record.value) == record.value
    assert cluster.restarts >= 6


def test_a_table_that_contradicts_itself_is_refused():
    from easeml.stream.payloads import Annotation

    class Twice(Summer):
        def table(self):
            return (On(ANNOTATIONS, Annotation, handle=self.add), On(ANNOTATIONS, Annotation, handle=self.add))

    class Lonely(Summer):
        def table(self):
            return (On(ANNOTATIONS, Annotation, prepare=lambda s, e, c: None),)

    class Foreign(Summer):
        def table(self):
            return (On(ANNOTATIONS, AuditRecord, handle=self.add),)

    for wrong in (Twice, Lonely, Foreign):
        with pytest.raises(ConfigurationError):
            Routes(wrong())


def test_a_journal_is_kept_only_where_order_matters():
    assert not Routes(Summer()).journalled
    assert Routes(Merger()).journalled
    assert Routes(Waiter()).journalled


def test_the_window_remembers_the_newest_ids():
    window = Window()
    for n in range(1500):
        window.add(str(n))
    again = Window(window.pack())
    assert "1499" in again
    assert "476" in again
    assert "475" not in again


def test_a_stored_state_shares_nothing_with_the_live_one():
    live = np.arange(6.0).reshape(2, 3)
    stored = Stored.freeze(Packed({"a": [1, float("inf")]}, {"m": live, "flags": np.array([True, False])}))
    live[:] = 0
    thawed = stored.thaw()
    assert thawed.document == {"a": [1, float("inf")]}
    assert thawed.arrays["m"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert thawed.arrays["flags"].dtype == bool
    thawed.arrays["m"][0, 0] = 9
    with pytest.raises(TypeError, match="Python objects"):
        Stored.freeze(Packed({}, {"o": np.array([object()])}))


def test_a_changelog_reads_back_what_was_written():
    writer, snapshot = Writer("ci", 3), Snapshot()
    record = StateRecord("churn", {"t": 4}, (), "{}", ())
    for message in (
        writer.state(record),
        writer.state(StateRecord("gone", {}, (), "{}", ())),
        writer.tombstone("gone"),
        writer.position({"t": 4, "u": 2}),
        writer.journal([("t", 3, True), ("u", 2, False)]),
        writer.floor("gone", {"t": 1}),
    ):
        assert (message.topic, message.partition) == ("easeml.ci.state.v1", 3)
        snapshot.apply(message.key, message.value)
    assert snapshot.states == {"churn": record}
    assert snapshot.positions == {"t": 4, "u": 2}
    assert snapshot.journal is not None
    assert snapshot.journal.parked == (0,)
    assert snapshot.floors == {"gone": {"t": 1}}


def test_traceparent_travels_with_the_outputs():
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    cluster = cluster_of(Summer())
    data = note(1)
    headers = envelope.headers(EventId("x"), "easeml/user", data, 5.0, trace)
    cluster.publish_bytes(ANNOTATIONS, codec.encode(data), headers=headers, partition=home())
    cluster.run()
    assert cluster.events(AUDIT)[0].traceparent == trace


def test_service_is_abstract():
    with pytest.raises(TypeError):
        Service()


class Viewer(Summer):
    """Sums, and keeps a view of what it saw."""

    name = "viewer"

    def __init__(self):
        self.seen = []

    def table(self):
        return (On(ANNOTATIONS, Annotation, fold=lambda event: self.seen.append(event.data.value), handle=self.add),)

    def forget(self, app):
        self.seen.clear()


def test_a_redriven_message_is_for_those_that_gave_it_up():
    viewer = Viewer()
    cluster = cluster_of(Summer(), viewer)
    for services, value in ((b"summer", 1), (b"ci,viewer", 2), (b"ci", 4)):
        headers = envelope.headers(EventId(f"n-{value}"), "easeml/user", note(value), cluster.now)
        again = [*headers, (REDRIVE, b"1"), (REDRIVE_FOR, services)]
        cluster.publish_bytes(ANNOTATIONS, codec.encode(note(value)), b"churn", again, home())
        cluster.publish_bytes(ANNOTATIONS, b"no avro", b"churn", [(REDRIVE_FOR, services)], home())
    cluster.run()
    assert (cluster.state("summer", "churn")["total"], cluster.state("viewer", "churn")["total"]) == (1, 2)
    assert reasons(cluster) == ["schema"] * 2
    cluster.restart("viewer")
    assert viewer.seen == [2]


def test_a_message_that_is_no_app_is_dead_lettered():
    cluster = cluster_of(Summer())
    cluster.publish_bytes(APPS, b"no avro", b"churn")
    cluster.publish(ANNOTATIONS, note(4))
    cluster.run()
    assert reasons(cluster, APPS) == ["schema"]
    assert cluster.state("summer", "churn")["total"] == 4


@pytest.mark.parametrize("values", [(2,), (1, 2, 3, 4)])
@pytest.mark.parametrize("point", POINTS)
def test_a_job_that_took_too_long_is_given_up_once_and_for_all(point, values):
    begun = []

    class Slow(Merger):
        """Folds notes too, and is too slow once: a second time it would be fast."""

        def table(self):
            versions, notes, ticks = super().table()
            return (versions, replace(notes, fold=self.count), ticks)

        def count(self, event):
            self.view.setdefault(event.app, {})[f"note {event.id}"] = 100

        def prepare(self, state, event, context):
            return Job(self.work, (event.data.value,))

        def work(self, value):
            begun.append(value)
            if value == 2 and begun.count(2) == 1:
                raise TooSlowError("It took 9 s.", mend="Hurry.")
            return value

    def house(kill):
        begun.clear()
        cluster = cluster_of(Slow())
        if kill:
            cluster.kill("merger", point)
        for value in values:
            cluster.publish(ANNOTATIONS, note(value), id=f"n{value}")
        cluster.run()
        return cluster

    plain, killed = house(kill=False), house(kill=True)
    assert begun.count(2) == 1
    assert killed.restarts == 1
    (letter,) = {letter.headers["easeml.dlq.id"]: letter for letter in killed.dead_letters(ANNOTATIONS)}.values()
    assert (letter.reason, letter.message) == ("too_slow", "It took 9 s. Hurry.")
    assert letter == plain.dead_letters(ANNOTATIONS)[0]
    assert {e.id: e.data for e in killed.events(AUDIT)} == {e.id: e.data for e in plain.events(AUDIT)}
    assert killed.state("merger", "churn") == plain.state("merger", "churn")
    for cluster in (plain, killed):
        cluster.restart("merger")
        assert cluster._instances["merger"].service.rows("churn") == 100 * len(values)
