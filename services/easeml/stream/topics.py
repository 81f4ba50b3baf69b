"""The catalogue of topics: what travels where, who writes and reads it, how long it is kept.

The README's topic table is generated from here. Every topic has the same number of partitions, an event's partition
is the hash of its app (``partition_of``), and every topic has a dead-letter topic beside it (``.dlq``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.partitioner import murmur2

from easeml.stream import payloads as p

FOREVER = -1
WEEK = 7 * 24 * 3600 * 1000


def partition_of(app: str, partitions: int) -> int:
    """Return the partition of an app: Kafka's default murmur2 hash of its name, so that outsiders agree.

    >>> partition_of("churn", 4) == partition_of("churn", 4)
    True
    """
    return int(murmur2(app.encode()) & 0x7FFFFFFF) % partitions


def _by_app(data: Any) -> str:
    return str(data.app)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Parameters
    ----------
    noun : str
        The name between ``easeml.`` and ``.v1``.
    payloads : tuple of type
        Payload types it carries.
    produced_by, consumed_by : tuple of str
        Services and people, for the README and for access rights.
    key : callable
        Payload -> message key; on a compacted topic the last message per key is kept.
    compacted : bool
        Whether the topic is compacted.
    restricted : bool
        Whether only the named consumers may read it.
    retention_ms : int
        Retention in milliseconds, -1: kept (a view or snapshot may need it again).
    """

    noun: str
    payloads: tuple[type, ...]
    produced_by: tuple[str, ...]
    consumed_by: tuple[str, ...]
    key: Callable[[Any], str] = _by_app
    compacted: bool = False
    restricted: bool = False
    retention_ms: int = FOREVER

    @property
    def name(self) -> str:
        """Name on the broker."""
        return f"easeml.{self.noun}.v1"

    @property
    def dead_letters(self) -> str:
        """Name of its dead-letter topic."""
        return f"{self.name}.dlq"


_USER = ("user",)
_VIEWERS = ("user",)
_MAKERS = ("datamagic", "user")
OWNER = "test-set owner"
OUTSIDE = ("user", "any cleaner or labeller", "external models")
"""Who writes from outside the house: people and their programs."""

APPS = Topic("apps", (p.AppDefined, p.AppDeleted), _USER, ("all services",), compacted=True)
DATA_TRAIN = Topic(
    "data.train",
    (p.RelationBatch,),
    (*_MAKERS, "market"),
    ("snoopy", "cpclean", "market", "trainer", "labels", "datamagic", "advisor"),
)
DATA_POOL = Topic("data.pool", (p.RelationBatch,), _MAKERS, ("market", "labels", "datamagic"))
DATA_VALIDATION = Topic(
    "data.validation", (p.RelationBatch,), _MAKERS, ("cpclean", "market", "trainer", "datamagic", "advisor")
)
DATA_TEST = Topic("data.test", (p.RelationBatch,), _MAKERS, ("serving", "ci", "labels", "datamagic"))
DATA_PRODUCTION = Topic(
    "data.production",
    (p.RelationBatch,),
    ("datamagic", "user", "serving"),
    ("serving", "labels", "datamagic", "advisor"),
)
DATA_TEST_LABELS = Topic("data.test-labels", (p.TestLabels,), _MAKERS, ("ci",), restricted=True)
UPLOADS = Topic("uploads", (p.Upload,), _MAKERS, ("datamagic",), key=lambda u: f"{u.app}/{u.upload}")
UPLOADS_TEST = Topic(
    "uploads.test", (p.Upload,), _MAKERS, ("datamagic", OWNER), key=lambda u: f"{u.app}/{u.upload}", restricted=True
)
CANDIDATES = Topic(
    "candidates",
    (p.CandidateBatch,),
    ("any cleaner or labeller",),
    ("datamagic", "snoopy", "cpclean", "market", "trainer", "automl", "advisor"),
)
DATA_VERSIONS = Topic(
    "data-versions",
    (p.DataVersion,),
    _MAKERS,
    ("snoopy", "cpclean", "market", "automl", "trainer", "datamagic", "advisor"),
)
QUESTIONS = Topic(
    "questions", (p.Question,), ("cpclean", "market", "modelpicker"), ("labels",), key=lambda q: f"{q.app}/{q.question}"
)
ANNOTATIONS = Topic(
    "annotations", (p.Annotation,), ("labels",), ("labels",), key=lambda a: f"{a.app}/{a.question}/{a.annotator}"
)
ANSWERS = Topic(
    "answers",
    (p.Answer,),
    ("labels",),
    ("modelpicker", "snoopy", "cpclean", "market", "trainer", "automl", "datamagic", "advisor", "labels"),
    key=lambda a: f"{a.app}/{a.question}",
)
CI_QUESTIONS = Topic(
    "ci.questions", (p.Question,), ("ci",), ("labels",), key=lambda q: f"{q.app}/{q.question}", restricted=True
)
# also who answered and what was paid: how many labels a verdict takes would tell developers more than its bit
CI_ANSWERS = Topic(
    "ci.answers", (p.Annotation, p.Answer, p.Budget, p.AuditRecord), ("labels",), ("ci", "labels"), restricted=True
)
BUDGETS = Topic("budgets", (p.Budget,), ("labels",), _VIEWERS, key=lambda b: f"{b.app}/{b.asker}", compacted=True)
ALGORITHMS = Topic(
    "algorithms", (p.AlgorithmAnnounced,), ("user",), ("automl",), key=lambda a: a.algorithm, compacted=True
)
TRIALS = Topic(
    "trials",
    (p.TrialRequested, p.TrialAssigned, p.TrialProgress, p.TrialFinished),
    ("automl", "trainer"),
    ("trainer", "automl"),
)
MODELS = Topic(
    "models",
    (p.ModelPublished, p.ModelRetired),
    ("trainer", "serving", "advisor", "user"),
    ("serving", "ci", "modelpicker", "snoopy", "advisor"),
    key=lambda m: f"{m.app}/{m.model}",
)
PREDICTIONS = Topic(
    "predictions",
    (p.PredictionBatch,),
    ("serving", "external models"),
    ("ci", "modelpicker"),
    key=lambda b: f"{b.app}/{b.model}",
)
VERDICTS = Topic(
    "verdicts", (p.Verdict,), ("ci",), ("modelpicker", "serving", "advisor"), key=lambda v: f"{v.app}/{v.model}"
)
VERDICTS_DETAIL = Topic(
    "verdicts.detail",
    (p.VerdictDetail,),
    ("ci",),
    (OWNER,),
    key=lambda v: f"{v.app}/{v.model}",
    restricted=True,
)
TESTSETS = Topic(
    "testsets", (p.TestSetNeeded, p.TestSetOpened, p.TestSetExhausted, p.MeterReading), ("ci",), ("advisor",)
)
PICKS = Topic("picks", (p.ModelPicked,), ("modelpicker",), ("serving", "advisor"), compacted=True)
TICKS = Topic(
    "ticks",
    (p.Tick,),
    ("supervisor",),
    ("snoopy", "cpclean", "market", "automl", "trainer", "ci", "modelpicker", "labels", "datamagic"),
    key=lambda _: "tick",
    retention_ms=WEEK,
)
FEASIBILITY = Topic("feasibility", (p.FeasibilityReport,), ("snoopy",), ("snoopy", "advisor"))
CLEANING = Topic("cleaning", (p.CleaningReport,), ("cpclean",), ("cpclean", "advisor"))
VALUES = Topic("values", (p.ValuesReport,), ("market",), ("market", "advisor"))
ADVICE = Topic("advice", (p.Advice,), ("advisor",), _VIEWERS)
LINEAGE = Topic("lineage", (p.OperatorRun,), ("datamagic", "user"), _VIEWERS)
AUDIT = Topic("audit", (p.AuditRecord,), ("labels", "user"), _VIEWERS)

CATALOGUE: tuple[Topic, ...] = (
    APPS,
    DATA_TRAIN,
    DATA_POOL,
    DATA_VALIDATION,
    DATA_TEST,
    DATA_PRODUCTION,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    UPLOADS,
    UPLOADS_TEST,
    CANDIDATES,
    FEASIBILITY,
    CLEANING,
    VALUES,
    ADVICE,
    QUESTIONS,
    ANNOTATIONS,
    ANSWERS,
    CI_QUESTIONS,
    CI_ANSWERS,
    BUDGETS,
    ALGORITHMS,
    TRIALS,
    MODELS,
    PREDICTIONS,
    VERDICTS,
    VERDICTS_DETAIL,
    TESTSETS,
    PICKS,
    TICKS,
    LINEAGE,
    AUDIT,
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in CATALOGUE}
PILLAR_TOPICS: dict[p.Pillar, Topic] = {
    p.Pillar.TRAIN: DATA_TRAIN,
    p.Pillar.POOL: DATA_POOL,
    p.Pillar.VALIDATION: DATA_VALIDATION,
    p.Pillar.TEST: DATA_TEST,
    p.Pillar.PRODUCTION: DATA_PRODUCTION,
}


def uploads_topic(pillar: str) -> Topic:
    """Return the topic of files for a pillar: a split, and whatever else may hold test rows, is not for developers.

    >>> uploads_topic("train").noun, uploads_topic("test").noun, uploads_topic("").noun
    ('uploads', 'uploads.test', 'uploads.test')
    """
    return UPLOADS_TEST if pillar in {"", p.Pillar.TEST} else UPLOADS


def guarded_topics() -> tuple[str, ...]:
    """Return the names of all topics that tell of test labels: the restricted ones, and what is kept of them.

    Those are their dead letters, and the states of the services that read them.
    """
    closed = [topic for topic in CATALOGUE if topic.restricted]
    readers = sorted({name for topic in closed for name in topic.consumed_by} - {OWNER})
    return (
        *(name for topic in closed for name in (topic.name, topic.dead_letters)),
        *(f"easeml.{service}.state.v1" for service in readers),
    )


def markdown_table() -> str:
    """Return the catalogue as the README's table."""
    lines = ["| topic | payloads | written by | read by | kept |", "|---|---|---|---|---|"]
    for topic in CATALOGUE:
        names = ", ".join(payload.__name__ for payload in topic.payloads)
        kept = "last per key" if topic.compacted else "for ever" if topic.retention_ms == FOREVER else "a week"
        name = f"`{topic.name}`" + (" (restricted)" if topic.restricted else "")
        readers = ", ".join(topic.consumed_by) or "-"
        lines.append(f"| {name} | {names} | {', '.join(topic.produced_by)} | {readers} | {kept} |")
    return "\n".join(lines)
