"""The payloads of every topic: one frozen dataclass per Avro record of ``schemas/``.

The ``.avsc`` files are the public contract; a test holds each dataclass to its newest schema, field by field.
Blocks of numbers are numpy arrays here and plain Avro on the wire: ``F64`` and ``F32`` are ``array<double>`` and
``array<float>``; ``I32`` and ``I64`` are little-endian ``bytes`` whose schema names the dtype.
"""

from easeml.stream.payloads.apps import AppDefined, AppDeleted, Column, ColumnKind, Score
from easeml.stream.payloads.arrays import F32, F64, I32, I64, floats, ints
from easeml.stream.payloads.control import (
    AttemptRecord,
    AuditRecord,
    JournalRecord,
    NeededRecord,
    PositionRecord,
    StateArray,
    StateRecord,
    Tick,
)
from easeml.stream.payloads.data import (
    CandidateBatch,
    CandidateKind,
    DataVersion,
    Pillar,
    RelationBatch,
    TestLabels,
    Upload,
)
from easeml.stream.payloads.guidance import (
    Advice,
    AdviceAction,
    AdvicePhase,
    AdviceStep,
    ArmProgress,
    ArmState,
    CleaningReport,
    FeasibilityReport,
    FeasibilitySignal,
    ValuesReport,
)
from easeml.stream.payloads.lineage import LineageDataset, OperatorRun, RunState
from easeml.stream.payloads.models import (
    AlgorithmAnnounced,
    ModelPublished,
    ModelRetired,
    PredictionBatch,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    TrialProgress,
    TrialRequested,
)
from easeml.stream.payloads.questions import Annotation, Answer, Budget, Question, QuestionKind, tells_otherwise
from easeml.stream.payloads.verdicts import (
    ClauseFound,
    MeterReading,
    ModelPicked,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    Verdict,
    VerdictDetail,
    VerdictOutcome,
)

Payload = (
    AppDefined
    | AppDeleted
    | RelationBatch
    | TestLabels
    | DataVersion
    | Question
    | Annotation
    | Answer
    | Budget
    | AlgorithmAnnounced
    | TrialRequested
    | TrialAssigned
    | TrialProgress
    | TrialFinished
    | ModelPublished
    | ModelRetired
    | PredictionBatch
    | Verdict
    | VerdictDetail
    | TestSetNeeded
    | TestSetOpened
    | TestSetExhausted
    | ModelPicked
    | Tick
    | AuditRecord
    | StateRecord
    | PositionRecord
    | JournalRecord
    | AttemptRecord
    | NeededRecord
    | Upload
    | CandidateBatch
    | OperatorRun
    | FeasibilityReport
    | Advice
    | CleaningReport
    | ValuesReport
    | MeterReading
)
"""Any payload."""

__all__ = [
    "F32",
    "F64",
    "I32",
    "I64",
    "Advice",
    "AdviceAction",
    "AdvicePhase",
    "AdviceStep",
    "AlgorithmAnnounced",
    "Annotation",
    "Answer",
    "AppDefined",
    "AppDeleted",
    "ArmProgress",
    "ArmState",
    "AttemptRecord",
    "AuditRecord",
    "Budget",
    "CandidateBatch",
    "CandidateKind",
    "ClauseFound",
    "CleaningReport",
    "Column",
    "ColumnKind",
    "DataVersion",
    "FeasibilityReport",
    "FeasibilitySignal",
    "JournalRecord",
    "LineageDataset",
    "MeterReading",
    "ModelPicked",
    "ModelPublished",
    "ModelRetired",
    "NeededRecord",
    "OperatorRun",
    "Payload",
    "Pillar",
    "PositionRecord",
    "PredictionBatch",
    "Question",
    "QuestionKind",
    "RelationBatch",
    "RunState",
    "Score",
    "StateArray",
    "StateRecord",
    "TestLabels",
    "TestSetExhausted",
    "TestSetNeeded",
    "TestSetOpened",
    "Tick",
    "TrialAssigned",
    "TrialFinished",
    "TrialOutcome",
    "TrialProgress",
    "TrialRequested",
    "Upload",
    "ValuesReport",
    "Verdict",
    "VerdictDetail",
    "VerdictOutcome",
    "floats",
    "ints",
    "tells_otherwise",
]
