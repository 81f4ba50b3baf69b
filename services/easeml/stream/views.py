"""The broadcast view: every app and every algorithm, read whole by every instance of every service."""

from __future__ import annotations

from collections.abc import Callable

from easeml.errors import EaseMLError, Poison, SchemaError
from easeml.stream import envelope
from easeml.stream.messages import Record
from easeml.stream.payloads import AlgorithmAnnounced, AppDefined, AppDeleted
from easeml.stream.topics import ALGORITHMS, APPS

TOPICS = (APPS.name, ALGORITHMS.name)


class Broadcast:
    """Newest definition of every app and algorithm.

    An event may overtake the definition of its app, as they travel on different topics. Whether an app is unknown is
    therefore certain only after a *round* that began later than the question: a round asks the broker for the ends
    of the topics and reads up to them.

    Parameters
    ----------
    live : bool
        True when ``apply`` is called the moment something is published (in memory): no round is needed.
    """

    def __init__(self, *, live: bool = False) -> None:
        self.apps: dict[str, AppDefined] = {}
        self.algorithms: dict[str, AlgorithmAnnounced] = {}
        self._announced: dict[str, tuple[float, AlgorithmAnnounced]] = {}
        self.deleted: set[str] = set()
        self.on_deleted: list[Callable[[str], None]] = []
        self.on_refused: list[Callable[[Record, EaseMLError], None]] = []
        self._live = live
        self._asked: dict[str, int] = {}
        self._begun = 0
        self._done = 0

    def apply(self, record: Record) -> None:
        """Apply one message of the topics; bad ones are reported to ``on_refused`` and change nothing."""
        if record.value is None:
            return
        try:
            event = envelope.parse(record)
            envelope.check_payload(record.topic, event.data)
        except (SchemaError, Poison) as error:
            for report in self.on_refused:
                report(record, error)
            return
        match event.data:
            case AppDefined() as app:
                if self.reborn(app.app, app.life):
                    self._forget(app.app)
                self.apps[app.app] = app
                self.deleted.discard(app.app)
            case AppDeleted(app=name):
                self.apps.pop(name, None)
                self.deleted.add(name)
                self._forget(name)
            case AlgorithmAnnounced() as algorithm:
                # Announcements lie in many partitions; their own times put them in the order they were made in.
                self._announced[algorithm.algorithm] = (event.time, algorithm)
                newest = sorted(self._announced.items(), key=lambda item: (item[1][0], item[0]))
                self.algorithms = {name: announced for name, (_, announced) in newest}

    def _forget(self, app: str) -> None:
        for forget in self.on_deleted:
            forget(app)

    def reborn(self, app: str, life: str) -> bool:
        """Whether the app of this name is another one than that of a life; of an empty one nobody knows."""
        known = self.apps.get(app)
        return known is not None and "" not in (life, known.life) and life != known.life

    def surely_unknown(self, app: str) -> bool:
        """Return True when the app is unknown for certain; False asks for a round."""
        if self._live:
            return True
        wanted = self._asked.setdefault(app, self._begun + 1)
        if self._done < wanted:
            return False
        del self._asked[app]
        return True

    @property
    def round_wanted(self) -> bool:
        """Whether somebody waits for a round that has not ended."""
        return any(wanted > self._done for wanted in list(self._asked.values()))

    def begin_round(self) -> int:
        """Return the number of a new round; call before asking the broker for the ends."""
        self._begun += 1
        return self._begun

    def end_round(self, number: int) -> None:
        """Tell that everything up to the ends of that round was applied."""
        self._done = max(self._done, number)
