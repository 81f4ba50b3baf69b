"""All apps as the scheduler sees them: the trials topic, folded, and the decisions that follow from it.

Event in: TrialRequested, TrialAssigned, TrialProgress, TrialFinished, of every app of this process. A decision is a
pure function of how far each partition was read; TrialAssigned carries its turn and those ends (``turn``, ``seen``),
so anybody can repeat any decision from the topic (``decided_again``).
Facts have one order although partitions have none between them: decisions by their turns, and before each what it
knew and the one before did not, by partition and offset.
Several scheduler processes share the partitions, and each decides for the apps of its own: one belief per process.
Run one; a second is of use as a standby, as it takes over what the first leaves.
Source: Li et al., PVLDB 2018, section 3 (one server, all users); event sourcing, as every view of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from easeml.automl.ledger import Choice, Fact, Ledger, turn_of
from easeml.errors import Poison
from easeml.stream.events import Event
from easeml.stream.payloads import TrialAssigned, TrialFinished, TrialOutcome, TrialProgress, TrialRequested


class Proposal(NamedTuple):
    """A decision that was published and has not been read back.

    Parameters
    ----------
    app : str
        Its tenant.
    request : str
        Id of the event that requested its round: an app that was deleted and defined again is another tenant.
    turn : int
        Number of the decision.
    """

    app: str
    request: str
    turn: int


class Decision(NamedTuple):
    """A trial to assign: what, for whom, and what was known."""

    choice: Choice
    request: TrialRequested
    turn: int
    seen: dict[str, int]
    proposal: Proposal


class House:
    """The trials of all apps.

    Parameters
    ----------
    policy : str
        Policy of the scheduler.
    """

    def __init__(self, policy: str = "hybrid") -> None:
        self._policy = policy
        self._facts: dict[int, list[Fact]] = {}
        self._ends: dict[int, int] = {}
        self._heard: dict[int, float] = {}
        self._homes: dict[str, int] = {}
        self._rounds: dict[str, tuple[int, str]] = {}
        self._over: dict[str, set[str]] = {}
        self._turn = 0
        self._proposals: dict[str, Proposal] = {}
        self._begin_anew()

    # -- what is read --------------------------------------------------------------------------------------------

    def fold(self, event: Event[Any]) -> None:
        """Take in a message of the trials topic.

        Raises
        ------
        Poison
            When a trained model has no quality in [0, 1] or no finite cost.
        """
        data, place = event.data, event.partition
        if isinstance(data, TrialFinished) and data.outcome is TrialOutcome.TRAINED:
            _check_result(data)
        if event.offset < self._ends.get(place, 0):
            return
        self._homes[event.app] = place
        self._ends[place] = event.offset + 1
        if isinstance(data, TrialProgress | TrialFinished):
            self._heard[place] = max(self._heard.get(place, 0.0), event.time)
        if isinstance(data, TrialFinished):
            self._over.setdefault(event.app, set()).add(data.trial)
        if not isinstance(data, TrialProgress):
            self._facts.setdefault(place, []).append(event)
            self._note(event)

    def _note(self, fact: Fact) -> None:
        if isinstance(fact.data, TrialAssigned):
            self._turn = max(self._turn, turn_of(fact.data))
        elif isinstance(fact.data, TrialRequested) and fact.data.round > self._rounds.get(fact.app, (0, ""))[0]:
            self._rounds[fact.app] = (fact.data.round, fact.id)

    def heard(self, partition: int) -> float:
        """Return when a trainer of this partition last gave a sign of life, in seconds since 1970 UTC; 0: never."""
        return self._heard.get(partition, 0.0)

    def over(self, app: str, trial: str) -> bool:
        """Whether a trial of the app has ended."""
        return trial in self._over.get(app, ())

    def forget(self, app: str) -> None:
        """Drop what was read about an app."""
        place = self._homes.pop(app, None)
        for told in (self._rounds, self._over, self._proposals):
            cast("dict[str, Any]", told).pop(app, None)
        if place is None:
            return
        self._facts[place] = [fact for fact in self._facts.get(place, []) if fact.app != app]
        if place not in self._homes.values():  # the partition may be somebody else's from now on
            for read in (self._facts, self._ends, self._heard):
                cast("dict[int, Any]", read).pop(place, None)
        self._turn = 0
        for facts in self._facts.values():
            for fact in facts:
                self._note(fact)
        self._begin_anew()

    # -- what is decided -----------------------------------------------------------------------------------------

    def remember(self, app: str, proposal: Proposal | None) -> None:
        """Tell which decision a handler of ``app`` published last."""
        if proposal is None:
            self._proposals.pop(app, None)
        else:
            self._proposals[app] = proposal

    def decide(self) -> Decision | None:
        """Return the next trial; None when no device is free, nothing is left, or a decision is not read back yet."""
        if any(self._under_way(proposal) for proposal in self._proposals.values()):
            return None
        ledger = self._up_to_date()
        choice = ledger.choose()
        if choice is None:
            return None
        turn = self._turn + 1
        seen = {str(place): self._ends[place] for place in sorted(self._facts)}
        proposal = Proposal(choice.app, self._rounds[choice.app][1], turn)
        return Decision(choice, ledger.request(choice.app), turn, seen, proposal)

    def _under_way(self, proposal: Proposal) -> bool:
        return proposal.turn > self._turn and self._rounds.get(proposal.app, (0, ""))[1] == proposal.request

    def _begin_anew(self) -> None:
        self._ledger = Ledger(self._policy)
        self._booked: dict[int, int] = {}

    def _up_to_date(self) -> Ledger:
        turns = self._unbooked_turns()
        if turns and turn_of(turns[0].data) <= self._ledger.turn:
            self._begin_anew()  # a decision that comes before some that were booked: after a crash
            turns = self._unbooked_turns()
        for decision in turns:
            self._book_until(decision.data.seen)
            self._ledger.book(decision)
        self._book_until(None)
        return self._ledger

    def _unbooked_turns(self) -> list[Event[TrialAssigned]]:
        fresh = [fact for place, facts in self._facts.items() for fact in facts[self._booked.get(place, 0) :]]
        turns = cast("list[Event[TrialAssigned]]", [fact for fact in fresh if isinstance(fact.data, TrialAssigned)])
        return sorted(turns, key=lambda event: (turn_of(event.data), event.partition, event.offset))

    def _book_until(self, seen: dict[str, int] | None) -> None:
        for place in sorted(self._facts):
            facts, at = self._facts[place], self._booked.get(place, 0)
            end = math.inf if seen is None else seen.get(str(place), 0)
            while at < len(facts) and facts[at].offset < end:
                if not isinstance(facts[at].data, TrialAssigned):
                    self._ledger.book(facts[at])
                at += 1
            self._booked[place] = at


def decided_again(trials: Iterable[Event[Any]], decision: TrialAssigned, policy: str = "hybrid") -> Choice | None:
    """Return what the scheduler decides given what ``decision`` knew: its own tenant, algorithm and device.

    Parameters
    ----------
    trials : iterable of Event
        The trials topic, each partition in order. Events of apps that were deleted before are to be left out.
    decision : TrialAssigned
        One of its decisions.
    policy : str
        Policy of the scheduler.
    """
    house = House(policy)
    for event in trials:
        if event.offset < decision.seen.get(str(event.partition), 0):
            house.fold(event)
    again = house.decide()
    return None if again is None else again.choice


def _check_result(finished: TrialFinished) -> None:
    # NaN fails the comparisons too.
    if not (0 <= finished.quality <= 1 and 0 <= finished.cost_seconds < math.inf):
        raise Poison(
            f"Trial {finished.trial} of {finished.app} has quality {finished.quality} and cost "
            f"{finished.cost_seconds} seconds.",
            mend="Quality is a validation accuracy in [0, 1], cost is finite and not negative.",
            reason="invalid_data",
        )
