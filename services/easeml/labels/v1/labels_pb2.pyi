import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuestionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUESTION_KIND_UNSPECIFIED: _ClassVar[QuestionKind]
    QUESTION_KIND_LABEL: _ClassVar[QuestionKind]
    QUESTION_KIND_CELL: _ClassVar[QuestionKind]
    QUESTION_KIND_ROW: _ClassVar[QuestionKind]
QUESTION_KIND_UNSPECIFIED: QuestionKind
QUESTION_KIND_LABEL: QuestionKind
QUESTION_KIND_CELL: QuestionKind
QUESTION_KIND_ROW: QuestionKind

class Candidate(_message.Message):
    __slots__ = ("text", "probability")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    probability: float
    def __init__(self, text: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("shape", "values")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Cell(_message.Message):
    __slots__ = ("column", "number", "text", "flag", "time", "tensor")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    column: str
    number: float
    text: str
    flag: bool
    time: _timestamp_pb2.Timestamp
    tensor: Tensor
    def __init__(self, column: _Optional[str] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., flag: bool = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("app", "question", "kind", "pillar", "row_id", "column", "candidates", "information_gain", "cost", "asked_by", "context", "row", "create_time", "expire_time", "claimed_by", "answers", "answers_wanted")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PILLAR_FIELD_NUMBER: _ClassVar[int]
    ROW_ID_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    INFORMATION_GAIN_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_BY_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_WANTED_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    kind: QuestionKind
    pillar: str
    row_id: str
    column: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    information_gain: float
    cost: float
    asked_by: str
    context: _containers.ScalarMap[str, str]
    row: _containers.RepeatedCompositeFieldContainer[Cell]
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    claimed_by: str
    answers: int
    answers_wanted: int
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., kind: _Optional[_Union[QuestionKind, str]] = ..., pillar: _Optional[str] = ..., row_id: _Optional[str] = ..., column: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., information_gain: _Optional[float] = ..., cost: _Optional[float] = ..., asked_by: _Optional[str] = ..., context: _Optional[_Mapping[str, str]] = ..., row: _Optional[_Iterable[_Union[Cell, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., claimed_by: _Optional[str] = ..., answers: _Optional[int] = ..., answers_wanted: _Optional[int] = ...) -> None: ...

class ListQuestionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "app", "kind", "annotator")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    app: str
    kind: QuestionKind
    annotator: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., app: _Optional[str] = ..., kind: _Optional[_Union[QuestionKind, str]] = ..., annotator: _Optional[str] = ...) -> None: ...

class ListQuestionsResponse(_message.Message):
    __slots__ = ("questions", "next_page_token", "total_size", "withheld")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    next_page_token: str
    total_size: int
    withheld: int
    def __init__(self, questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ..., withheld: _Optional[int] = ...) -> None: ...

class StreamQuestionsRequest(_message.Message):
    __slots__ = ("app", "kind", "annotator")
    APP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    app: str
    kind: QuestionKind
    annotator: str
    def __init__(self, app: _Optional[str] = ..., kind: _Optional[_Union[QuestionKind, str]] = ..., annotator: _Optional[str] = ...) -> None: ...

class StreamQuestionsResponse(_message.Message):
    __slots__ = ("opened", "closed", "caught_up")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    opened: Question
    closed: QuestionClosed
    caught_up: CaughtUp
    def __init__(self, opened: _Optional[_Union[Question, _Mapping]] = ..., closed: _Optional[_Union[QuestionClosed, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ...) -> None: ...

class QuestionClosed(_message.Message):
    __slots__ = ("app", "question", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[QuestionClosed.Reason]
        ANSWERED: _ClassVar[QuestionClosed.Reason]
        EXPIRED: _ClassVar[QuestionClosed.Reason]
        WITHDRAWN: _ClassVar[QuestionClosed.Reason]
        BUDGET_EXHAUSTED: _ClassVar[QuestionClosed.Reason]
        HELD: _ClassVar[QuestionClosed.Reason]
    REASON_UNSPECIFIED: QuestionClosed.Reason
    ANSWERED: QuestionClosed.Reason
    EXPIRED: QuestionClosed.Reason
    WITHDRAWN: QuestionClosed.Reason
    BUDGET_EXHAUSTED: QuestionClosed.Reason
    HELD: QuestionClosed.Reason
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    reason: QuestionClosed.Reason
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., reason: _Optional[_Union[QuestionClosed.Reason, str]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ("withheld",)
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    withheld: int
    def __init__(self, withheld: _Optional[int] = ...) -> None: ...

class ClaimQuestionRequest(_message.Message):
    __slots__ = ("app", "question", "annotator", "lease_seconds")
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    annotator: str
    lease_seconds: float
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., annotator: _Optional[str] = ..., lease_seconds: _Optional[float] = ...) -> None: ...

class ClaimQuestionResponse(_message.Message):
    __slots__ = ("question", "expire_time")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    question: Question
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReleaseQuestionRequest(_message.Message):
    __slots__ = ("app", "question", "annotator")
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    annotator: str
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., annotator: _Optional[str] = ...) -> None: ...

class ReleaseQuestionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitAnswerRequest(_message.Message):
    __slots__ = ("app", "question", "value", "label", "other", "annotator", "request_id")
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    value: int
    label: str
    other: str
    annotator: str
    request_id: str
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., value: _Optional[int] = ..., label: _Optional[str] = ..., other: _Optional[str] = ..., annotator: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SubmitAnswerResponse(_message.Message):
    __slots__ = ("annotation_id",)
    ANNOTATION_ID_FIELD_NUMBER: _ClassVar[int]
    annotation_id: str
    def __init__(self, annotation_id: _Optional[str] = ...) -> None: ...

class SubmitAnswersRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SubmitAnswerRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[SubmitAnswerRequest, _Mapping]]] = ...) -> None: ...

class SubmitAnswersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SubmitResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SubmitResult, _Mapping]]] = ...) -> None: ...

class SubmitResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: SubmitAnswerResponse
    error: Error
    def __init__(self, response: _Optional[_Union[SubmitAnswerResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SkipQuestionRequest(_message.Message):
    __slots__ = ("app", "question", "annotator", "request_id")
    APP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    app: str
    question: str
    annotator: str
    request_id: str
    def __init__(self, app: _Optional[str] = ..., question: _Optional[str] = ..., annotator: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SkipQuestionResponse(_message.Message):
    __slots__ = ("annotation_id",)
    ANNOTATION_ID_FIELD_NUMBER: _ClassVar[int]
    annotation_id: str
    def __init__(self, annotation_id: _Optional[str] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("app", "asked_by")
    APP_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    app: str
    asked_by: str
    def __init__(self, app: _Optional[str] = ..., asked_by: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("budgets",)
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[Budget]
    def __init__(self, budgets: _Optional[_Iterable[_Union[Budget, _Mapping]]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("app", "asked_by", "granted", "spent", "open_questions", "withheld")
    APP_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    OPEN_QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    app: str
    asked_by: str
    granted: float
    spent: float
    open_questions: int
    withheld: int
    def __init__(self, app: _Optional[str] = ..., asked_by: _Optional[str] = ..., granted: _Optional[float] = ..., spent: _Optional[float] = ..., open_questions: _Optional[int] = ..., withheld: _Optional[int] = ...) -> None: ...
