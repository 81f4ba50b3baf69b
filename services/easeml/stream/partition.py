"""The pure core of the kernel: one partition of one service, without broker, clock or event loop.

``offer`` takes one message through decoding, dedupe, folds and handler; ``take`` ends the batch and returns what must
be written, to which ``remember`` adds the states; in this order, each step acknowledged before the next begins:

1. the journal (only for services whose result depends on the order of topics),
2. outputs and dead letters, with ids that follow from the input's id,
3. the states that changed and the position.

A crash anywhere leaves one of three situations: nothing of the batch is visible; the journal tells how to make the
same outputs again, under the same ids; or the states tell which events are already done. So events are applied at
least once, and their effects exactly once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from easeml.errors import ArtifactError, Busy, EaseMLError, InvalidDataError, Poison
from easeml.ids import EventId
from easeml.stream import codec, envelope, needs
from easeml.stream.changelog import Attempt, Snapshot, Writer
from easeml.stream.events import Event, Output
from easeml.stream.items import Effects, HandlerCrashError, Item, Outcome, TooSlowError
from easeml.stream.messages import Message, Record
from easeml.stream.poison import Burial, dead_letter, is_for, redrives
from easeml.stream.routing import Route, Routes
from easeml.stream.service import Context, Service
from easeml.stream.settings import Settings
from easeml.stream.tenants import Tenant, seed_of
from easeml.stream.topics import TICKS, partition_of
from easeml.stream.views import Broadcast

REFUSALS = (Poison, InvalidDataError, ArtifactError)
"""Errors that condemn the message, not the code."""

TOO_SLOW = 0
"""Count of the crashes of a message that was given up because its job took too long."""
NEEDED_EVERY = 1000
"""Messages after which it is written down anew which ones the views rest on."""

home_of = lru_cache(4096)(partition_of)


class PartitionProcessor:
    """One partition of one service.

    Parameters
    ----------
    service : Service
        The service; its views are shared by its partitions.
    partition : int
        Number of the partition.
    settings : Settings
        Limits and the secret seed.
    broadcast : Broadcast
        Apps and algorithms.
    snapshot : Snapshot
        What the changelog remembers.
    """

    def __init__(
        self, service: Service[Any], partition: int, settings: Settings, broadcast: Broadcast, snapshot: Snapshot
    ) -> None:
        self.service = service
        self.partition = partition
        self.routes = Routes(service)
        self.positions = {t: o for t, o in snapshot.positions.items() if t in self.routes.topics}
        self.consecutive = 0
        self.freed: set[str] = set()
        self._settings = settings
        self._broadcast = broadcast
        self._writer = Writer(service.name, partition)
        self._outputs = {topic.name for topic in service.produces()}
        self._tenants = {app: Tenant.restore(service, record) for app, record in snapshot.states.items()}
        self._floors = snapshot.floors
        self._attempts = dict(snapshot.attempts)
        self._needed = snapshot.needed
        self._since_needed = 0
        self._ticks: deque[str] = deque(maxlen=64)
        self._parked: dict[str, int] = {}
        self._entries: list[tuple[str, int, bool]] = []
        self._effects = Effects()
        self.drop_gone()

    @property
    def fused(self) -> bool:
        """Whether too many messages in a row were dead-lettered: nothing more may be offered."""
        return self.consecutive >= self._settings.fuse

    @property
    def apps(self) -> list[str]:
        """Apps with state, sorted."""
        return sorted(self._tenants)

    @property
    def size(self) -> int:
        """Messages applied since the last ``take``."""
        return len(self._entries)

    def state(self, app: str) -> Any:
        """Return an app's state, None when it has none."""
        tenant = self._tenants.get(app)
        return None if tenant is None else tenant.value

    # -- one message ---------------------------------------------------------------------------------------------

    def offer(self, item: Item) -> Outcome:
        """Take a message as far as it goes; messages of a topic must come in order.

        Raises
        ------
        HandlerCrashError
            When the service's code fails: stop without writing anything but ``crash_record``.
        """
        record = item.record
        try:
            if not item.dared:
                self._check_attempts(record)
            if item.event is None:
                if record.value is None or not is_for(record, self.service.name):
                    return self._done(item, "ignored")
                item.event = self._parse(record)
            if record.topic == TICKS.name:
                return self._tick(item, item.event)
            return self._event(item, item.event)
        except REFUSALS as error:
            return self._bury(item, error)
        except Exception as error:
            raise HandlerCrashError(item, error) from error

    def _check_attempts(self, record: Record) -> None:
        attempt = self._attempts.get((record.topic, record.offset))
        if attempt is not None and attempt.count >= self._settings.attempts:
            raise Poison(
                f"The handler crashed {attempt.count} times on this message, last with {attempt.message}.",
                mend="Mend the service and redrive the message.",
                reason="handler_crash",
            )

    def _check_given_up(self, record: Record) -> None:
        attempt = self._attempts.get((record.topic, record.offset))
        if attempt is not None and attempt.count == TOO_SLOW:
            raise TooSlowError(attempt.message)

    def succeeds(self, later: Item, item: Item) -> bool:
        """Whether a message behind another one is sound, and of the same app and kind: it will have its turn."""
        if self._read(item) is None or self._read(later) is None:
            return False
        assert item.event is not None
        assert later.event is not None
        return (later.event.app, type(later.event.data)) == (item.event.app, type(item.event.data))

    def _read(self, item: Item) -> Event[Any] | None:
        if item.event is None and item.record.value is not None and is_for(item.record, self.service.name):
            with suppress(Exception):  # it is read again, and judged, when it is offered
                item.event = self._parse(item.record)
        return item.event

    def _parse(self, record: Record) -> Event[Any]:
        assert record.value is not None
        limit = self._settings.max_message_bytes
        if len(record.value) > limit:
            raise Poison(
                f"The message has {len(record.value)} bytes, the limit is {limit}.",
                mend="Publish fewer rows per message, or raise EASEML_MAX_MESSAGE_BYTES.",
                reason="too_large",
            )
        event = envelope.parse(record)
        envelope.check_payload(record.topic, event.data)
        times = redrives(record)
        if times:
            # A redriven message is meant to count although its id was seen.
            event = replace(event, id=EventId.derive("redrive", event.id, times))
        return event

    def _event(self, item: Item, event: Event[Any]) -> Outcome:
        route = self.routes.find(event.topic, type(event.data))
        if route is None:
            return self._done(item, "ignored")
        definition = self._broadcast.apps.get(event.app)
        if definition is None:
            return self._stranger(item, event, route)
        home = home_of(event.app, self._settings.partitions)
        if home != self.partition:
            raise Poison(
                f"App {event.app} lives in partition {home}, not {self.partition}.",
                mend="Produce to the partition murmur2(app) & 0x7fffffff modulo the number of partitions.",
                reason="wrong_partition",
            )
        tenant = self._tenants.get(event.app)
        if route.folds and not item.folded:
            if tenant is not None:
                tenant.save()
            for fold in route.folds:
                fold(event)
            item.folded = True
            self.freed.add(event.app)
        if route.handle is None:
            return self._done(item, "events")
        if tenant is None:
            tenant = Tenant.new(self.service, event.app, definition.life)
        if event.offset <= tenant.applied.get(event.topic, -1) or event.id in tenant.window:
            return self._done(item, "duplicates")
        return self._handle(item, event, route, tenant)

    def _handle(self, item: Item, event: Event[Any], route: Route, tenant: Tenant[Any]) -> Outcome:
        if route.risky and not item.dared:
            return self._park(item, Outcome.RISK)
        context = self._context(event, event.app, item)
        try:
            if item.failure is not None:
                raise item.failure
            if route.prepare is not None and not item.answered:
                self._check_given_up(item.record)
                item.job = route.prepare(tenant.value, event, context)
                if item.job is not None:
                    return self._park(item, Outcome.JOB)
            outputs = tenant.handle(route, event, context)
        except Busy:
            item.answered, item.result, item.failure = False, None, None
            return self._park(item, Outcome.BUSY)
        self._publish(event, outputs, ())
        self._tenants[event.app] = tenant
        tenant.quiet = False
        tenant.applied[event.topic] = event.offset
        tenant.window.add(event.id)
        return self._done(item, "events")

    def _context(self, event: Event[Any], app: str, item: Item) -> Context:
        seed = seed_of(self._settings.epoch_seed.get_secret_value(), self.service.name, app, event.id)
        apps, algorithms = self._broadcast.apps, self._broadcast.algorithms
        return Context(event.time, apps[app], algorithms, seed, item.result, item.follows)

    def _tick(self, item: Item, event: Event[Any]) -> Outcome:
        route = self.routes.find(event.topic, type(event.data))
        if route is None or event.id in self._ticks:
            return self._done(item, "ignored")
        if route.folds:
            for tenant in self._tenants.values():
                tenant.save()
            for fold in route.folds:
                fold(event)
        for app in self.apps if route.handle else ():
            tenant = self._tenants[app]
            known = event.offset <= tenant.applied.get(event.topic, -1) or event.id in tenant.window
            if app not in self._broadcast.apps or known:
                continue
            try:
                outputs = tenant.handle(route, replace(event, app=app), self._context(event, app, item))
            except Busy:
                continue  # the next tick asks again
            except REFUSALS as error:
                self._letter(item, error, app)
                continue
            self._publish(event, outputs, (app,))
            if outputs:
                tenant.quiet = False
                tenant.window.add(event.id)  # not every tick: the window shall reach back further than its length in s
            tenant.applied[event.topic] = event.offset
        self._ticks.append(event.id)
        return self._done(item, "events")

    def _stranger(self, item: Item, event: Event[Any], route: Route) -> Outcome:
        if event.app not in self._broadcast.deleted:
            if not self._broadcast.surely_unknown(event.app):
                return Outcome.WAITS
            self._raise_floor(event, route)
            raise Poison(
                f"No app {event.app!r} is defined.",
                mend="Create it with 'easeml apps create' and redrive the message.",
                reason="unknown_app",
            )
        self._raise_floor(event, route)
        return self._done(item, "ignored")

    def _raise_floor(self, event: Event[Any], route: Route) -> None:
        # A later definition of the app must not make a rebuild fold what was refused today.
        if route.folds:
            floor = self._floors.setdefault(event.app, {})
            floor[event.topic] = event.offset
            self._effects.records.append(self._writer.floor(event.app, floor))

    # -- effects -------------------------------------------------------------------------------------------------

    def _publish(self, event: Event[Any], outputs: Iterable[Output], scope: tuple[str, ...]) -> None:
        for index, output in enumerate(outputs):
            topic, data = output.topic, output.data
            if topic.name not in self._outputs or not isinstance(data, topic.payloads):
                raise TypeError(f"{self.service.name} may not write {type(data).__name__} to {topic.name}.")
            identity = EventId.derive(self.service.name, self.service.contract, event.id, *scope, index)
            source = f"easeml/{self.service.name}"
            value = codec.encode(data)
            if len(value) > self._settings.max_message_bytes:
                raise ValueError(f"{type(data).__name__} of {len(value)} bytes for {topic.name} is too large.")
            self._effects.messages.append(
                Message(
                    topic.name,
                    home_of(envelope.partition_key(data), self._settings.partitions),
                    topic.key(data).encode(),
                    value,
                    tuple(envelope.headers(identity, source, data, event.time, event.traceparent, event.id)),
                )
            )
            self._effects.counts["outputs"] += 1

    def _bury(self, item: Item, error: EaseMLError) -> Outcome:
        self._letter(item, error, "")
        self.consecutive += 1
        self._leave(item)
        return Outcome.DONE

    def _letter(self, item: Item, error: EaseMLError, app: str) -> None:
        record = item.record
        now = item.event.time if item.event else record.seconds
        burial = Burial(self.service.name, now, app)
        self._effects.messages.append(dead_letter(record, error, burial, self._settings.max_message_bytes))
        self._effects.counts[f"dead:{error.reason}"] += 1

    def _done(self, item: Item, count: str) -> Outcome:
        # Ticks come every second and repetitions prove nothing: neither tells that the stream is sound again.
        if count == "events" and item.record.topic != TICKS.name:
            self.consecutive = 0
        self._effects.counts[count] += 1
        self._leave(item)
        return Outcome.DONE

    def _leave(self, item: Item) -> None:
        record = item.record
        self._entries.append((record.topic, record.offset, False))
        self._parked.pop(record.topic, None)
        self.positions[record.topic] = record.offset
        self._since_needed += 1

    def _park(self, item: Item, outcome: Outcome) -> Outcome:
        topic, offset = item.record.topic, item.record.offset
        if item.folded and self._parked.get(topic) != offset:
            # Handlers of other topics see this fold from now on; a replay must show it to them too.
            self._parked[topic] = offset
            self._entries.append((topic, offset, True))
        return outcome

    def take(self) -> Effects | None:
        """End the batch and return what it must write, states apart; None when nothing was applied."""
        if not any(not parked for _, _, parked in self._entries) and not self._effects.records:
            return None
        effects, self._effects = self._effects, Effects()
        if self.routes.journalled and self._entries:
            effects.journal = self._writer.journal(self._entries)
        self._entries = [(topic, offset, True) for topic, offset in self._parked.items()]
        effects.positions = dict(self.positions)
        return effects

    def remember(self, effects: Effects) -> None:
        """Add the states that changed, and the position, to what a batch must write.

        Packing large states takes a while: outputs that are ready need not wait for it. Nothing may be offered between
        ``take`` and this.
        """
        for tenant in self._tenants.values():
            if tenant.touched:
                record = tenant.record()
                if record is not None:
                    effects.records.append(self._writer.state(record))
        if self._since_needed >= NEEDED_EVERY:
            self._since_needed = 0
            here = [app for app in self._broadcast.apps if home_of(app, self._settings.partitions) == self.partition]
            found = needs.joined([self.service.needed(app, self.state(app)) for app in here], self.positions)
            if found:
                effects.records.append(self._writer.needed(found))
        effects.records.append(self._writer.position(self.positions))
        self._forget_attempts(effects)

    def _forget_attempts(self, effects: Effects) -> None:
        # After the position: a batch that is repeated must find what was given up. What crashed before it was folded
        # stays: a view must not hold after a restart what it did not hold before.
        limit = self._settings.attempts
        done = [
            (topic, offset)
            for (topic, offset), attempt in self._attempts.items()
            if offset <= self.positions.get(topic, -1) and (attempt.count < limit or topic not in self.routes.folded)
        ]
        if done:
            for place in done:
                del self._attempts[place]
            effects.records.append(self._writer.attempts(self._attempts))

    # -- recovery, crashes, deletion -----------------------------------------------------------------------------

    def crash_record(self, crash: HandlerCrashError) -> Message:
        """Count a crash and return the message to write before the process stops."""
        return self._tried(crash.item, f"{type(crash.error).__name__}: {crash.error}"[:1000])

    def dare(self, item: Item) -> Message:
        """Count a try of what may end the process and return the message to write before it."""
        message = self._tried(item, "the end of the process")
        item.dared = True
        return message

    def _tried(self, item: Item, text: str) -> Message:
        record = item.record
        old = self._attempts.get((record.topic, record.offset), Attempt(0, ""))
        self._attempts[record.topic, record.offset] = Attempt(old.count + (not item.dared), text)
        return self._writer.attempts(self._attempts)

    def give_up(self, item: Item, error: TooSlowError) -> Message:
        """Return the message to write before a message is dead-lettered because its job took too long.

        A repetition of the batch could be faster, and say something else under the ids of what was said.
        """
        self._attempts[item.record.topic, item.record.offset] = Attempt(TOO_SLOW, str(error)[:1000])
        return self._writer.attempts(self._attempts)

    def to_fold(self, topic: str, low: int) -> list[needs.Run]:
        """Return the runs of offsets, from the first one on the broker, to fold again."""
        return needs.to_fold(self._needed, topic, low, self.positions.get(topic, -1) + 1)

    def refold(self, record: Record) -> Exception | None:
        """Fold a message at or below the position again; return why it was left out when it failed."""
        self._since_needed += 1
        if record.value is None or not is_for(record, self.service.name):
            return None
        try:
            self._check_attempts(record)
            event = self._parse(record)
            route = self.routes.find(event.topic, type(event.data))
            if route is None:
                return None
            tick = event.topic == TICKS.name
            if not tick:
                strange = event.app not in self._broadcast.apps
                buried = event.offset <= self._floors.get(event.app, {}).get(event.topic, -1)
                if strange or buried or home_of(event.app, self._settings.partitions) != self.partition:
                    return None
            for fold in route.folds:
                fold(event)
        except Exception as error:
            return error  # it was dead-lettered when it first came
        return None

    def park(self, item: Item) -> None:
        """Fold a message whose handler waited when the journalled batch was applied."""
        if item.event is None and item.record.value is not None and self.refold(item.record) is None:
            item.event = self._parse(item.record)
            item.folded = True
            self._park(item, Outcome.BUSY)

    def drop_gone(self) -> None:
        """Forget the apps that were deleted when nobody looked, also those that came back with another life."""
        reborn = {app for app, tenant in self._tenants.items() if self._broadcast.reborn(app, tenant.life)}
        for app in sorted(self._broadcast.deleted | reborn):
            if app in self._tenants or self._floors.get(app, {}) != self.positions:
                self.drop(app)

    def drop(self, app: str) -> None:
        """Forget a deleted app: its state, its views, everything folded so far, and what was about to be said of it."""
        if home_of(app, self._settings.partitions) != self.partition:
            return
        about = ("partitionkey", app.encode())
        self._effects.messages = [message for message in self._effects.messages if about not in message.headers]
        self._tenants.pop(app, None)
        self.service.forget(app)
        self._floors[app] = dict(self.positions)
        self._effects.records.append(self._writer.tombstone(app))
        self._effects.records.append(self._writer.floor(app, self.positions))
