"""Registration, lookup and the checking of parameters."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.lineage import lookup, operator, operators, ops
from easeml.relation import Relation

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def scale():
    @operator("test.scale", version=2)
    def scale(
        relation: Relation,
        *,
        by: Annotated[float, Field(gt=0)] = 2.0,
        mode: Literal["up", "down"] = "up",
        names: list[str],
        since: date | None = None,
        progress=None,
    ) -> Relation:
        """Scale it.

        At length.
        """
        return relation

    return lookup("test.scale")


def test_signature_makes_the_operator(scale):
    assert scale.inputs == ("relation",)
    assert scale.required == 1
    assert not scale.variadic
    assert list(scale.adapters) == ["by", "mode", "names", "since"]
    assert scale.summary == "Scale it."
    assert scale.version == 2


def test_defaults_are_filled_in_and_values_become_json(scale):
    checked = scale.check({"names": ("a", "b"), "by": np.float32(4), "since": date(2020, 1, 2).isoformat()})
    assert checked == {"by": 4.0, "mode": "up", "names": ["a", "b"], "since": "2020-01-02"}
    assert isinstance(checked["by"], float)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs the parameter 'names'"),
        ({"names": [], "mod": "up"}, "Did you mean 'mode'"),
        ({"names": [], "by": 0}, "parameter by: input should be greater than 0, not 0"),
        ({"names": [], "by": "3"}, "parameter by: input should be a valid number, not '3'"),
        ({"names": [], "by": True}, "parameter by"),
        ({"names": ["a", 1]}, r"parameter names\[1\]: input should be a valid string, not 1"),
        ({"names": [], "mode": "sideways"}, "'up' or 'down'"),
        ({"names": [], "by": float("nan")}, "nan has no JSON form"),
        ({"names": [], "since": {1, 2}}, "set is neither a relation nor a JSON value"),
        ({"names": [], "since": "soon"}, "parameter since"),
    ],
)
def test_a_wrong_parameter_is_named(scale, given, words):
    with pytest.raises(InvalidDataError, match=words):
        scale.check(given)


def test_every_error_shows_how_to_call(scale):
    with pytest.raises(InvalidDataError) as caught:
        scale.check({})
    assert "test.scale(relation, *, by: Annotated[float, Field(gt=0)] = 2.0" in caught.value.mend
    assert "progress" not in caught.value.mend


def test_rich_types_reach_the_function():
    @operator("test.year")
    def year(*, day: date) -> int:
        return day.year

    assert lookup("test.year").run((), {"day": "2021-03-04"}) == 2021
    assert year(day=date(2021, 1, 1)) == 2021


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: operator("noname")(lambda: 1), "names no operator"),
        (lambda: operator("test.x", version=0)(lambda: 1), "names no operator"),
        (lambda: operator("test.x")(lambda **more: 1), r"\*\*keywords"),
        (lambda: operator("test.x")(lambda *, n=1: n), "parameter 'n' has no type"),
        (lambda: operator("test.x", reads=["path"])(lambda: 1), "reads the parameter 'path'"),
        (lambda: operator("test.x", rowwise=True)(lambda a, b: 1), "exactly one input"),
    ],
)
def test_a_wrong_registration_is_refused(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_default_must_fit_its_type():
    with pytest.raises(InvalidDataError, match=r"test\.x: parameter n"):

        @operator("test.x")
        def wrong(*, n: Annotated[int, Field(ge=1)] = 0) -> int:
            return n


def test_a_type_without_json_is_refused():
    class Odd:
        pass

    def function(*, odd):
        return odd

    function.__annotations__["odd"] = Odd
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        operator("test.x")(function)


def test_two_functions_cannot_share_a_name_and_version(scale):
    with pytest.raises(ConflictError, match=r"test\.scale version 2 is registered"):
        operator("test.scale", version=2)(lambda relation: relation)


def test_versions_live_side_by_side(scale):
    operator("test.scale", version=1)(lambda relation: relation)
    assert lookup("test.scale").version == 2
    assert lookup("test.scale", 1).version == 1
    with pytest.raises(NotFoundError, match=r"no version 9 here\. Known: 1, 2"):
        lookup("test.scale", 9)


def test_short_names_are_found_when_they_are_clear(scale):
    assert lookup("take").name == "relation.take"
    operator("other.scale")(lambda relation: relation)
    with pytest.raises(NotFoundError, match=r"other\.scale, .*test\.scale|test\.scale"):
        lookup("scale")


def test_an_unknown_operator_gets_a_hint():
    with pytest.raises(NotFoundError, match="Did you mean 'take'"):
        lookup("tke")


def test_a_package_that_cannot_be_imported_is_told(monkeypatch):
    class Entry:
        module = "no_such_package.operators"

    monkeypatch.setattr(operators, "entry_points", lambda group: [Entry] if group == "easeml.operators" else [])
    with pytest.raises(NotFoundError, match=r"no_such_package\.operators could not be loaded: ModuleNotFoundError"):
        lookup("nothing_like_it_at_all")


def test_operators_of_installed_packages_are_found(monkeypatch, tmp_path):
    (tmp_path / "foreign_operators.py").write_text(
        "from easeml.lineage import operator\n@operator('foreign.one')\ndef one() -> int:\n    return 1\n"
    )

    class Entry:
        module = "foreign_operators"

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(operators, "entry_points", lambda group: [Entry])
    assert ops.foreign.one().eval(cache=False) == 1


def test_attributes_that_are_no_operators_do_not_exist():
    assert not hasattr(ops, "nothing_like_it_at_all")
    assert not hasattr(ops, "_repr_html_")
    assert "take" in dir(ops)
    assert "relation" in dir(ops)
    assert ops.relation.take is not None
