"""The group coordinator as a state machine: time is passed in, answers are collected."""

from __future__ import annotations

from typing import Any

import pytest
from broker_batches import Clock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kio.schema.errors import ErrorCode

from easeml.broker.groups import Coordinator
from easeml.broker.members import Joined, JoinRequest, State, Synced

NONE = ErrorCode.none


class Bench:
    """A coordinator, its clock, and members that join and sync."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.saved: dict[str, Any] = {}
        self.coordinator = Coordinator(self.clock, save=lambda group, kept: self.saved.__setitem__(group, kept))

    @property
    def group(self) -> Any:
        return self.coordinator.groups["g"]

    def pass_time(self, seconds: float) -> None:
        """Advance the clock, ticking whenever something is due, as the server does."""
        until = self.clock.now + seconds
        while True:
            due = self.coordinator.next_deadline()
            if due is None or due > until:
                break
            self.clock.now = max(self.clock.now, due)
            self.coordinator.tick()
        self.clock.now = until

    def join(self, member_id: str = "", **more: Any) -> list[Joined]:
        """Ask to join; the answer appears in the list when it comes."""
        fields: dict[str, Any] = {
            "member_id": member_id,
            "instance_id": None,
            "client_id": "c",
            "client_host": "/127.0.0.1",
            "session_timeout": 10.0,
            "rebalance_timeout": 60.0,
            "protocol_type": "consumer",
            "protocols": (("range", b"meta"),),
            "must_know_id": True,
        }
        answers: list[Joined] = []
        self.coordinator.join("g", JoinRequest(**(fields | more)), answers.append)
        return answers

    def enter(self, **more: Any) -> tuple[str, list[Joined]]:
        """Join as a newcomer: get an id, then join with it."""
        first = self.join(**more)
        assert first[0].error is ErrorCode.member_id_required
        return first[0].member_id, self.join(first[0].member_id, **more)

    def sync(self, joined: Joined, assignments: dict[str, bytes] | None = None, **more: Any) -> list[Synced]:
        answers: list[Synced] = []
        self.coordinator.sync(
            "g",
            joined.generation,
            joined.member_id,
            more.get("instance_id"),
            assignments=assignments or {},
            reply=answers.append,
        )
        return answers

    def stable(self, count: int = 2) -> list[str]:
        """Bring a group of ``count`` members to rest; the first is the leader."""
        entered = [self.enter() for _ in range(count)]
        self.pass_time(1)
        answers = [each[0] for _, each in entered]
        followers = [self.sync(each) for each in answers if each.leader != each.member_id]
        leader = next(each for each in answers if each.leader == each.member_id)
        self.sync(leader, {each.member_id: each.member_id.encode() for each in answers})
        assert all(each[0].error is NONE for each in followers)
        assert self.group.state is State.STABLE
        return [leader.member_id, *(each.member_id for each in answers if each is not leader)]

    def beat(self, member_id: str, generation: int | None = None) -> ErrorCode:
        present = self.group.generation if generation is None else generation
        return self.coordinator.heartbeat("g", present, member_id, None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_newcomer_first_gets_an_id_and_waits_the_initial_delay(bench: Bench) -> None:
    member, answers = bench.enter()
    assert answers == []
    bench.pass_time(0.09)
    assert answers == []
    bench.pass_time(0.02)
    assert answers[0].error is NONE
    assert answers[0].leader == answers[0].member_id == member
    assert [each[0] for each in answers[0].members] == [member]


def test_members_that_come_within_the_delay_are_in_the_first_generation(bench: Bench) -> None:
    _, first = bench.enter()
    bench.pass_time(0.08)
    _, second = bench.enter()
    bench.pass_time(0.3)
    assert first[0].generation == second[0].generation == 1
    assert len(first[0].members) == 2
    assert second[0].members == ()


def test_an_old_client_joins_without_knowing_its_id(bench: Bench) -> None:
    answers = bench.join(must_know_id=False)
    bench.pass_time(0.2)
    assert answers[0].error is NONE


def test_everyone_gets_the_leaders_assignment(bench: Bench) -> None:
    members = bench.stable(3)
    for member in members:
        assert bench.group.members[member].assignment == member.encode()
    assert bench.saved["g"]["generation"] == 1


def test_a_newcomer_makes_the_others_rejoin(bench: Bench) -> None:
    leader, other = bench.stable()
    _, answers = bench.enter()
    assert bench.beat(leader) is ErrorCode.rebalance_in_progress
    rejoined = [bench.join(leader), bench.join(other)]
    assert [each[0].generation for each in rejoined] == [2, 2]
    assert answers[0].generation == 2
    assert rejoined[0][0].leader == leader


def test_one_who_does_not_rejoin_in_time_is_left_out(bench: Bench) -> None:
    leader, silent = bench.stable()
    bench.enter()
    answers = bench.join(leader)
    for _ in range(8):
        bench.pass_time(5)
        bench.beat(silent)
        assert answers == []
    bench.pass_time(25)
    assert answers[0].generation == 2
    assert silent not in bench.group.members


def test_a_silent_member_is_expired_and_the_others_rejoin(bench: Bench) -> None:
    leader, silent = bench.stable()
    for _ in range(3):
        bench.pass_time(4)
        bench.beat(leader)
    assert silent not in bench.group.members
    assert bench.group.state is State.PREPARING
    assert bench.join(leader)[0].generation == 2


def test_a_waiting_member_is_not_expired(bench: Bench) -> None:
    leader, other = bench.stable()
    answers = bench.join(leader)
    for _ in range(6):
        bench.pass_time(5)
        bench.beat(other)
    assert leader in bench.group.members
    assert answers == []


def test_an_id_never_used_expires(bench: Bench) -> None:
    bench.join()
    assert len(bench.group.pending) == 1
    bench.pass_time(11)
    assert not bench.group.pending


def test_leaving_rebalances_and_the_last_one_empties_the_group(bench: Bench) -> None:
    leader, other = bench.stable()
    assert bench.coordinator.leave("g", other, None) is NONE
    assert bench.beat(leader) is ErrorCode.rebalance_in_progress
    bench.join(leader)
    assert bench.coordinator.leave("g", leader, None) is NONE
    assert bench.group.state is State.EMPTY
    assert bench.coordinator.leave("g", leader, None) is ErrorCode.unknown_member_id
    assert bench.coordinator.leave("none", leader, None) is ErrorCode.unknown_member_id


def test_a_rejoin_without_news_changes_nothing_except_for_the_leader(bench: Bench) -> None:
    leader, other = bench.stable()
    assert bench.join(other)[0].generation == 1
    assert bench.group.state is State.STABLE
    bench.join(leader)
    assert bench.group.state is State.PREPARING


def test_new_metadata_of_a_follower_rebalances(bench: Bench) -> None:
    _, other = bench.stable()
    bench.join(other, protocols=(("range", b"other"),))
    assert bench.group.state is State.PREPARING


def test_a_join_answer_lost_on_the_way_is_given_again(bench: Bench) -> None:
    member, answers = bench.enter()
    bench.pass_time(0.2)
    assert bench.group.state is State.COMPLETING
    assert bench.join(member)[0] == answers[0]


def test_the_protocol_all_support_and_most_prefer_is_chosen(bench: Bench) -> None:
    bench.enter(protocols=(("a", b""), ("b", b""), ("c", b"")))
    bench.enter(protocols=(("c", b""), ("b", b"")))
    _, last = bench.enter(protocols=(("c", b""), ("b", b""), ("a", b"")))
    bench.pass_time(1)
    assert last[0].protocol == "c"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"session_timeout": 1.0}, ErrorCode.invalid_session_timeout),
        ({"session_timeout": 7200.0}, ErrorCode.invalid_session_timeout),
        ({"protocols": ()}, ErrorCode.inconsistent_group_protocol),
        ({"protocol_type": "connect"}, ErrorCode.inconsistent_group_protocol),
        ({"protocols": (("sticky", b""),)}, ErrorCode.inconsistent_group_protocol),
        ({"member_id": "nobody"}, ErrorCode.unknown_member_id),
        ({"member_id": "nobody", "instance_id": "nowhere"}, ErrorCode.unknown_member_id),
    ],
)
def test_joins_that_do_not_fit_are_refused(bench: Bench, more: dict[str, Any], error: ErrorCode) -> None:
    bench.stable()
    assert bench.join(**more)[0].error is error
    assert bench.group.state is State.STABLE


def static(bench: Bench, instance: str, **more: Any) -> list[Joined]:
    return bench.join(instance_id=instance, **more)


def static_stable(bench: Bench) -> tuple[Joined, Joined]:
    one, two = static(bench, "one"), static(bench, "two")
    bench.pass_time(1)
    leader, other = sorted((one[0], two[0]), key=lambda each: each.leader != each.member_id)
    bench.sync(other)
    bench.sync(leader, {leader.member_id: b"L", other.member_id: b"O"})
    assert bench.group.state is State.STABLE
    return leader, other


def instance_of(bench: Bench, member_id: str) -> str:
    return next(name for name, member in bench.group.static.items() if member == member_id)


@pytest.mark.parametrize("who", [0, 1])
def test_a_static_member_comes_back_without_a_rebalance(bench: Bench, who: int) -> None:
    old = static_stable(bench)[who]
    instance = instance_of(bench, old.member_id)
    again = static(bench, instance)[0]
    assert (again.error, again.generation, again.members) == (NONE, 1, ())
    assert again.member_id != old.member_id
    assert again.leader != again.member_id
    assert bench.sync(again, instance_id=instance)[0].assignment == (b"O" if who else b"L")
    assert bench.group.state is State.STABLE
    # The former self, should it still live, is fenced off.
    fenced = bench.coordinator.heartbeat("g", 1, old.member_id, instance)
    assert fenced is ErrorCode.fenced_instance_id


def test_a_static_member_with_other_metadata_rebalances(bench: Bench) -> None:
    old = static_stable(bench)[1]
    static(bench, instance_of(bench, old.member_id), protocols=(("range", b"other"),))
    assert bench.group.state is State.PREPARING


def test_a_static_member_is_missed_for_its_session_only(bench: Bench) -> None:
    leader, other = static_stable(bench)
    for _ in range(3):
        bench.pass_time(4)
        bench.coordinator.heartbeat("g", 1, leader.member_id, instance_of(bench, leader.member_id))
    assert other.member_id not in bench.group.members
    assert len(bench.group.static) == 1


def test_an_administrator_removes_a_static_member_by_its_name(bench: Bench) -> None:
    static_stable(bench)
    assert bench.coordinator.leave("g", "", "two") is NONE
    assert list(bench.group.static) == ["one"]
    assert bench.coordinator.leave("g", "", "two") is ErrorCode.unknown_member_id


def test_commits_are_judged_by_member_generation_and_state(bench: Bench) -> None:
    may = bench.coordinator.may_commit
    assert may("g", -1, "", None) is NONE
    assert may("g", 3, "x", None) is ErrorCode.illegal_generation
    leader, other = bench.stable()
    assert may("g", 1, leader, None) is NONE
    assert may("g", 1, "stranger", None) is ErrorCode.unknown_member_id
    assert may("g", 0, leader, None) is ErrorCode.illegal_generation
    assert may("g", -1, "", None) is ErrorCode.unknown_member_id
    bench.join(leader)
    assert may("g", 1, leader, None) is NONE, "while others are still to rejoin, what was read may be committed"
    bench.join(other)
    assert bench.group.state is State.COMPLETING
    assert may("g", 2, leader, None) is ErrorCode.rebalance_in_progress


def test_those_who_never_sync_are_left_out(bench: Bench) -> None:
    _, first = bench.enter()
    _, second = bench.enter()
    bench.pass_time(1)
    answers = bench.sync(first[0]) if first[0].leader != first[0].member_id else bench.sync(second[0])
    for _ in range(13):
        bench.pass_time(5)
        for member in list(bench.group.members):
            bench.beat(member)
    assert answers[0].error is ErrorCode.rebalance_in_progress
    assert len(bench.group.members) <= 1


def test_deleting_needs_an_empty_group(bench: Bench) -> None:
    leader, other = bench.stable()
    assert bench.coordinator.delete("g") is ErrorCode.non_empty_group
    bench.coordinator.leave("g", leader, None)
    bench.coordinator.leave("g", other, None)
    assert bench.coordinator.delete("g") is NONE
    assert bench.coordinator.delete("g") is ErrorCode.group_id_not_found
    assert bench.saved["g"] is None


def test_members_outlive_a_restart_of_the_broker(bench: Bench) -> None:
    leader, other = bench.stable()
    again = Coordinator(bench.clock)
    again.load("g", bench.saved["g"])
    assert again.heartbeat("g", 1, leader, None) is NONE
    assert again.may_commit("g", 1, other, None) is NONE
    assert again.groups["g"].members[other].assignment == other.encode()
    bench.clock.now += 11
    again.tick()
    assert not again.groups["g"].members


class Storm(RuleBasedStateMachine):
    """Members come, go, die and stall at will; the group must always come to rest, and never strand anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.members: dict[str, list[Joined]] = {}
        self.syncs: dict[str, list[Synced]] = {}

    @precondition(lambda self: len(self.members) < 5)
    @rule(instance=st.sampled_from([None, None, "s1", "s2"]))
    def come(self, instance: str | None) -> None:
        if instance is None:
            member, answers = self.bench.enter()
            self.members[member] = answers
        else:
            self.bench.join(instance_id=instance)

    @rule(index=st.integers(0, 4))
    def rejoin(self, index: int) -> None:
        if index < len(self.members):
            member = list(self.members)[index]
            self.members[member] = self.bench.join(member)
            self._drop_if_gone(member)

    @rule(index=st.integers(0, 4))
    def sync(self, index: int) -> None:
        if index < len(self.members):
            member = list(self.members)[index]
            answers = self.members[member]
            if answers and answers[0].error is NONE:
                joined = answers[0]
                shares = {each[0]: each[0].encode() for each in joined.members}
                self.syncs[member] = self.bench.sync(joined, shares)

    @rule(index=st.integers(0, 4), dies=st.booleans())
    def go(self, index: int, dies: bool) -> None:
        if index < len(self.members):
            member = list(self.members)[index]
            del self.members[member]
            if not dies:
                self.bench.coordinator.leave("g", member, None)

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.bench.pass_time(seconds)
        for member in list(self.members):
            self._drop_if_gone(member)

    def _drop_if_gone(self, member: str) -> None:
        answers = self.members[member]
        if answers and answers[0].error is ErrorCode.unknown_member_id:
            del self.members[member]

    @invariant()
    def states_are_consistent(self) -> None:
        group = self.bench.coordinator.groups.get("g")
        if group is None:
            return
        assert set(group.static.values()) <= set(group.members)
        if group.state is State.EMPTY:
            assert not group.members
        if not group.members:
            assert group.state is State.EMPTY or group.is_initial_join
        if group.state is State.STABLE:
            assert group.leader in group.members
            assert not any(member.is_waiting for member in group.members.values())
        if group.state in {State.PREPARING, State.COMPLETING}:
            assert group.deadline is not None

    def teardown(self) -> None:
        # Once everybody is silent, sessions and deadlines must empty the group.
        self.bench.pass_time(400)
        group = self.bench.coordinator.groups.get("g")
        assert group is None or (group.state is State.EMPTY and not group.pending)


Storm.TestCase.settings = settings(derandomize=True, max_examples=100, stateful_step_count=30, deadline=None)
TestStorm = Storm.TestCase
