"""Operators: pure functions with a name and a version, found by name, their parameters held to the signature.

Positional arguments of the function are inputs (results of other steps: relations or JSON values), keyword-only
arguments are parameters (JSON values, each with a type). A keyword-only ``progress`` receives the progress callable
of the evaluation and is no parameter. Randomness comes from a parameter such as ``seed: int = 0``.

>>> from typing import Annotated
>>> from pydantic import Field
>>> @operator("example.scale", version=1)
... def scale(numbers: list[float], *, by: Annotated[float, Field(gt=0)] = 2.0) -> list[float]:
...     "Multiply numbers."
...     return [by * number for number in numbers]
>>> lookup("example.scale").check({"by": 3})
{'by': 3.0}
>>> lookup("example.scale").check({"by": 0})
Traceback (most recent call last):
...
easeml.errors.InvalidDataError: example.scale: parameter by: input should be greater than 0, not 0. Call it as \
example.scale(numbers, *, by: Annotated[float, Field(gt=0)] = 2.0).
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.lineage.values import Json, Value, canonical, plain
from easeml.progress import Progress, silent

GROUP = "easeml.operators"
"""Entry-point group; each entry names a module whose import registers its operators."""
PROGRESS = "progress"
_OWN = ("easeml.lineage.builtin", "easeml.lineage.pillars", "easeml.lineage.rules")
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_F = TypeVar("_F", bound=Callable[..., Any])


class _Words:
    """An annotation as it stands in the source; ``inspect`` would quote it."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def __repr__(self) -> str:
        return self._annotation if isinstance(self._annotation, str) else inspect.formatannotation(self._annotation)


@dataclass(frozen=True, eq=False)
class Operator:
    """A registered function.

    Parameters
    ----------
    name : str
        Dotted name, e.g. ``datamagic.read``.
    version : int
        Raised whenever the same inputs and parameters give another result.
    function : callable
        The pure function.
    inputs : tuple of str
        Names of the positional arguments.
    required : int
        How many inputs there must be.
    variadic : bool
        Whether there may be more inputs than named.
    adapters : mapping of str to TypeAdapter
        What validates each parameter.
    defaults : mapping of str to JSON
        Parameters that may be left out.
    rowwise : bool
        Whether each row of the result depends on the same row of the one input alone.
    reads : tuple of str
        Parameters that name a file or folder; its content belongs to the key of the cache.
    cost : float, optional
        Seconds per million input cells, a first guess.
    """

    name: str
    version: int
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    required: int
    variadic: bool
    adapters: Mapping[str, TypeAdapter[Any]]
    defaults: Mapping[str, Json]
    rowwise: bool = False
    reads: tuple[str, ...] = ()
    cost: float | None = None

    @property
    def summary(self) -> str:
        """What it does, in one sentence."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0].replace("\n", " ")

    @cached_property
    def call(self) -> str:
        """How it is called, for error messages."""
        own = inspect.signature(self.function)
        shown = [
            one.replace(annotation=_Words(one.annotation) if one.kind is one.KEYWORD_ONLY else one.empty)
            for one in own.parameters.values()
            if one.name != PROGRESS
        ]
        return f"{self.name}{own.replace(parameters=shown, return_annotation=inspect.Signature.empty)}"

    @cached_property
    def session_source(self) -> str | None:
        """Source of a function that was typed into the session, where it may change under the same version.

        Empty for a function of a module; None when the source cannot be seen, or does not tell all that it does
        because it uses other things of the session.
        """
        if self.function.__module__ != "__main__":
            return ""
        if not _stands_alone(self.function):
            return None
        try:
            return hashlib.sha256(inspect.getsource(self.function).encode()).hexdigest()
        except (OSError, TypeError):
            return None

    def check(self, given: Mapping[str, Any], *, later: Iterable[str] = ()) -> dict[str, Json]:
        """Return the parameters as JSON, defaults filled in.

        Parameters
        ----------
        given : mapping
            Parameters by name.
        later : iterable of str
            Parameters that will be known when the workflow runs; they are left out.

        Raises
        ------
        InvalidDataError
            When one is unknown, missing or does not fit its type; names it.
        """
        postponed = set(later)
        unknown = [name for name in (*given, *postponed) if name not in self.adapters]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self.adapters, 1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InvalidDataError(
                f"{self.name} has no parameter {unknown[0]!r}.",
                mend=f"{hint}Call it as {self.call}.",
                reason="unknown_parameter",
            )
        wanted = [name for name in self.adapters if name not in postponed]
        missing = [name for name in wanted if name not in given and name not in self.defaults]
        if missing:
            raise InvalidDataError(
                f"{self.name} needs the parameter {missing[0]!r}.",
                mend=f"Call it as {self.call}.",
                reason="missing_parameter",
            )
        return {name: self._json(name, given[name]) if name in given else self.defaults[name] for name in wanted}

    def _json(self, name: str, value: Any) -> Json:
        adapter = self.adapters[name]
        try:
            return plain(adapter.dump_python(adapter.validate_json(canonical(plain(value)), strict=True), mode="json"))
        except InvalidDataError as error:
            raise InvalidDataError(
                f"{self.name}: parameter {name}: {error.message}", mend=error.mend, reason="bad_parameter"
            ) from error
        except ValidationError as error:
            raise InvalidDataError(
                f"{self.name}: parameter {_complaint(name, error)}",
                mend=f"Call it as {self.call}.",
                reason="bad_parameter",
            ) from error

    def check_inputs(self, count: int) -> None:
        """Refuse a wrong number of inputs.

        Raises
        ------
        InvalidDataError
            Says how many there must be.
        """
        most = None if self.variadic else len(self.inputs)
        if count < self.required or (most is not None and count > most):
            raise InvalidDataError(
                f"{self.name} was given {count} input{'' if count == 1 else 's'}.",
                mend=f"Call it as {self.call}; what stands before the * are inputs.",
                reason="wrong_inputs",
            )

    def run(self, inputs: Sequence[Value], parameters: Mapping[str, Json], progress: Progress = silent) -> Any:
        """Call the function; parameters are as ``check`` returns them."""
        typed = {
            name: self.adapters[name].validate_json(canonical(value), strict=True) for name, value in parameters.items()
        }
        if PROGRESS in inspect.signature(self.function).parameters:
            typed[PROGRESS] = progress
        return self.function(*inputs, **typed)


def _complaint(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = name + "".join(f"[{part!r}]" for part in first["loc"])
    words = first["msg"][:1].lower() + first["msg"][1:]
    given = repr(first["input"])
    return f"{where}: {words}, not {given if len(given) <= 60 else given[:57] + '...'}."


_registry: dict[str, dict[int, Operator]] = {}
_discovered: dict[str, str] = {}
"""Modules looked at, with what went wrong on import."""


def operator(
    name: str,
    version: int = 1,
    *,
    rowwise: bool = False,
    reads: Iterable[str] = (),
    cost: float | None = None,
) -> Callable[[_F], _F]:
    """Register a pure function; it stays callable as it is.

    Parameters
    ----------
    name : str
        Dotted lower-case name: package, dot, what it does.
    version : int
        From 1; raise it when results change, so that no cache serves the old ones.
    rowwise : bool
        Whether it maps each row of one relation for itself; such neighbours run as one step.
    reads : iterable of str
        Parameters that name a file, a folder or a URI that the function reads.
    cost : float, optional
        Seconds per million input cells, for estimates before it was ever run.

    Raises
    ------
    ConfigurationError
        When name, version or signature are not as they must be.
    ConflictError
        When another function has this name and version.
    """

    def register(function: _F) -> _F:
        made = _made(name, version, function, rowwise=rowwise, reads=tuple(reads), cost=cost)
        present = _registry.setdefault(name, {}).get(version)
        if present is not None and _place(present.function) != _place(function):
            raise ConflictError(
                f"Operator {name} version {version} is registered by {'.'.join(_place(present.function))} already.",
                mend="Give yours another name or version.",
            )
        _registry[name][version] = made
        return function

    return register


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _made(
    name: str,
    version: int,
    function: Callable[..., Any],
    *,
    rowwise: bool,
    reads: tuple[str, ...],
    cost: float | None,
) -> Operator:
    if not _NAME.fullmatch(name) or version < 1:
        raise ConfigurationError(
            f"{name!r} version {version} names no operator.",
            mend="Use a dotted lower-case name such as datamagic.read, and versions from 1.",
        )
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ConfigurationError(f"{name} takes **keywords.", mend="Name every parameter, with its type.")
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    adapters = _adapters(name, function)
    bare = Operator(
        name,
        version,
        function,
        tuple(p.name for p in inputs),
        sum(p.default is p.empty for p in inputs),
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
        adapters,
        {},
    )
    given = {key: signature.parameters[key].default for key in adapters}
    defaults = {key: bare._json(key, value) for key, value in given.items() if value is not inspect.Parameter.empty}
    strange = [key for key in reads if key not in adapters]
    if strange or (rowwise and (len(inputs) != 1 or bare.variadic)):
        what = f"reads the parameter {strange[0]!r}, which it does not have" if strange else "is rowwise"
        raise ConfigurationError(
            f"{name} {what}.", mend="Files are parameters by name; rowwise operators have exactly one input."
        )
    return Operator(
        name, version, function, bare.inputs, bare.required, bare.variadic, adapters, defaults, rowwise, reads, cost
    )


def _adapters(name: str, function: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{name}: a type of its signature is not known: {error}.", mend="Import it at the top of the module."
        ) from error
    adapters = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == PROGRESS:
            continue
        if parameter.name not in hints:
            raise ConfigurationError(f"{name}: parameter {parameter.name!r} has no type.", mend="Annotate it.")
        try:
            adapters[parameter.name] = TypeAdapter(hints[parameter.name])
        except PydanticUserError as error:
            raise ConfigurationError(
                f"{name}: parameter {parameter.name!r} cannot be written as JSON.",
                mend="Use numbers, texts, booleans, literals, lists, dicts, or data classes of them.",
            ) from error
    return adapters


def discover(*, again: bool = False) -> dict[str, str]:
    """Import the operators that come with Ease.ML and those of installed packages.

    Parameters
    ----------
    again : bool
        Whether to look for packages that were installed since.

    Returns
    -------
    dict of str to str
        Modules that could not be imported, with the reason.
    """
    if again or not _discovered:
        installed = [entry.module for entry in entry_points(group=GROUP)]
        for module in dict.fromkeys([*_OWN, *installed]):
            if module not in _discovered:
                try:
                    importlib.import_module(module)
                except Exception as error:  # a foreign package may fail in any way; lookup tells it
                    _discovered[module] = f"{type(error).__name__}: {error}"
                else:
                    _discovered[module] = ""
    return {module: problem for module, problem in _discovered.items() if problem}


def names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    discover()
    return tuple(sorted(_registry))


def resolve(name: str) -> str:
    """Return the full name of an operator given by its full name or, where only one ends so, by its last part.

    Raises
    ------
    NotFoundError
        When no operator or several have it.
    """
    if name in _registry:
        return name
    known = names()
    if name in known:
        return name
    fitting = [full for full in known if full.rpartition(".")[2] == name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotFoundError(f"Several operators are called {name!r}.", mend=f"Say which: {', '.join(fitting)}.")
    problems = "".join(f" {module} could not be loaded: {why}." for module, why in discover(again=True).items())
    if names() != known:
        return resolve(name)
    near = difflib.get_close_matches(name, [*known, *(full.rpartition(".")[2] for full in known)], 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise NotFoundError(
        f"No operator {name!r}.{problems}",
        mend=f"{hint}Import the module that registers it, or install its package. Known: {', '.join(known)}.",
        reason="unknown_operator",
    )


def lookup(name: str, version: int | None = None) -> Operator:
    """Return an operator by full or short name; the newest version unless one is asked for.

    Raises
    ------
    NotFoundError
        When name or version are not known.
    """
    versions = _registry[resolve(name)]
    wanted = max(versions) if version is None else version
    if wanted not in versions:
        raise NotFoundError(
            f"Operator {name} has no version {wanted} here.",
            mend=f"Known: {', '.join(map(str, sorted(versions)))}. Stage the step again, or install the package "
            "version that has it.",
            reason="unknown_version",
        )
    return versions[wanted]


def _stands_alone(function: Callable[..., Any]) -> bool:
    """Return whether a function uses nothing of the session beside modules and what they define."""
    if getattr(function, "__closure__", None):
        return False
    codes, names = [function.__code__], set[str]()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [inner for inner in code.co_consts if inspect.iscode(inner)]
    session = function.__globals__
    used = [session[name] for name in names if name in session]
    return all(inspect.ismodule(value) or getattr(value, "__module__", "__main__") != "__main__" for value in used)
