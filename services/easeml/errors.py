"""Every error that Ease.ML raises on purpose.

::

    EaseMLError
    ├── ConfigurationError          a setting or an option is wrong
    ├── UnavailableError            the broker or a service cannot be reached (retriable)
    ├── PermissionDeniedError       the caller may not do this
    ├── NotFoundError               an app, model, question or row is not known
    ├── ConflictError               the thing exists already with another content
    ├── InvalidDataError            rows, columns, labels or probabilities are wrong
    │   ├── SchemaError             a message does not fit its Avro schema
    │   └── ConditionError          a CI condition does not parse or cannot be planned
    ├── BudgetExhaustedError        no label, test set or compute is left
    ├── ArtifactError               a model file is missing, changed, too large or not trusted
    ├── Poison                      this message can never be processed: dead-letter it
    └── Busy                        this message cannot be processed *yet*: pause and try again

An error says what was wrong, where, and how to mend it. ``Poison`` and ``Busy`` are the two failure words
of the stream: the first gives a message up (with its cause), the second keeps it.
"""

from __future__ import annotations

from typing import ClassVar


class EaseMLError(Exception):
    """Root of all errors raised on purpose.

    Parameters
    ----------
    message : str
        What was wrong and where.
    mend : str, optional
        What the reader can do about it.
    reason : str, optional
        A more specific machine-readable reason than the class's own.
    """

    reason: str = "internal"
    retriable: ClassVar[bool] = False
    grpc_code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, mend: str = "", reason: str | None = None) -> None:
        super().__init__(f"{message} {mend}".strip())
        self.message = message
        self.mend = mend
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.mend, self.reason))


def _rebuild(kind: type[EaseMLError], message: str, mend: str, reason: str) -> EaseMLError:
    return kind(message, mend=mend, reason=reason)


class ConfigurationError(EaseMLError):
    """A setting or an option is wrong."""

    reason = "configuration"
    grpc_code = "FAILED_PRECONDITION"


class UnavailableError(EaseMLError):
    """The broker or a service cannot be reached; trying again may help."""

    reason = "unavailable"
    retriable = True
    grpc_code = "UNAVAILABLE"


class PermissionDeniedError(EaseMLError):
    """The caller may not do this."""

    reason = "permission_denied"
    grpc_code = "PERMISSION_DENIED"


class NotFoundError(EaseMLError):
    """An app, model, question or row is not known."""

    reason = "not_found"
    grpc_code = "NOT_FOUND"


class ConflictError(EaseMLError):
    """The thing exists already with another content."""

    reason = "conflict"
    grpc_code = "ALREADY_EXISTS"


class InvalidDataError(EaseMLError):
    """Rows, columns, labels or probabilities are wrong."""

    reason = "invalid_data"
    grpc_code = "INVALID_ARGUMENT"


class SchemaError(InvalidDataError):
    """A message does not fit its Avro schema."""

    reason = "schema"


class ConditionError(InvalidDataError):
    """A CI condition does not parse or cannot be planned."""

    reason = "condition"


class BudgetExhaustedError(EaseMLError):
    """No label, test set or compute is left."""

    reason = "budget_exhausted"
    grpc_code = "RESOURCE_EXHAUSTED"


class ArtifactError(EaseMLError):
    """A model file is missing, changed, too large or not trusted."""

    reason = "artifact"
    grpc_code = "DATA_LOSS"


class Poison(EaseMLError):  # noqa: N818 - one of the two failure words of the stream, not an -Error
    """A message that can never be processed: it goes to the dead-letter topic with this reason."""

    reason = "poison"
    grpc_code = "INVALID_ARGUMENT"


class Busy(EaseMLError):  # noqa: N818 - the other failure word
    """A message that cannot be processed yet: its partition pauses and it is tried again."""

    reason = "busy"
    retriable = True
    grpc_code = "UNAVAILABLE"
