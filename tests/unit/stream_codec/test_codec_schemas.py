"""Schemas against dataclasses, lock file, compatibility and golden bytes."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import types
import typing
from enum import StrEnum

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from schema_compatibility import incompatibilities

from easeml.errors import ConfigurationError, SchemaError
from easeml.stream import codec, schemas
from easeml.stream.payloads import Payload, RelationBatch

PAYLOADS = typing.get_args(Payload)
HOME = schemas.folder()
GOLDEN = sorted(path for path in HOME.joinpath("golden").iterdir() if path.name.endswith(".bin"))
RELEASED = schemas.released()


def versions_of(subject):
    own = sorted((s for s in RELEASED.values() if s.subject == subject), key=lambda s: s.version)
    return [s.document for s in own]


def avro_type(hint):
    """The Avro type that a dataclass annotation asks for; records by name."""
    if hasattr(hint, "__metadata__"):
        kind = hint.__metadata__[0]
        if kind.startswith("array"):
            return {"type": "array", "items": kind[6:-1]}
        return {"type": "bytes", "dtype": f"<{kind[6:-1]}"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        assert arguments[1] is ...
        return {"type": "array", "items": avro_type(arguments[0])}
    if origin is dict:
        return {"type": "map", "values": avro_type(arguments[1])}
    if origin in (types.UnionType, typing.Union):
        return ["null", avro_type(next(a for a in arguments if a is not type(None)))]
    return {str: "string", bool: "boolean", int: "long", float: "double", bytes: "bytes"}.get(hint, hint)


def assert_same_type(schema, wanted):
    if isinstance(schema, list):
        assert isinstance(wanted, list)
        assert len(schema) == 2
        assert schema[0] == wanted[0]
        assert_same_type(schema[1], wanted[1])
    elif isinstance(schema, dict) and schema["type"] == "record":
        assert schema["name"] == wanted.__name__
        assert_same_fields(schema, wanted)
    elif isinstance(schema, dict) and schema["type"] == "enum":
        assert schema["symbols"] == [member.value for member in wanted]
        assert schema["default"] in schema["symbols"]
    elif isinstance(schema, dict) and schema["type"] in ("array", "map"):
        inside = "items" if schema["type"] == "array" else "values"
        assert schema["type"] == wanted["type"]
        assert_same_type(schema[inside], wanted[inside])
    elif isinstance(wanted, type) and issubclass(wanted, StrEnum):
        assert schema == "string"
    elif dataclasses.is_dataclass(wanted):
        assert schema == wanted.__name__, "a record that was written out before is named"
    else:
        assert schema == wanted


def assert_same_fields(schema, kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    assert schema["doc"]
    assert [field["name"] for field in schema["fields"]] == [member.name for member in dataclasses.fields(kind)]
    for field, member in zip(schema["fields"], dataclasses.fields(kind), strict=True):
        hint = hints[member.name]
        assert field["doc"], f"{kind.__name__}.{member.name}"
        assert_same_type(field["type"], avro_type(hint))
        assert ("default" in field, field.get("default")) == default_of(member, hint), f"{kind.__name__}.{member.name}"
        if isinstance(hint, type) and issubclass(hint, StrEnum) and field["type"] == "string":
            assert field["values"] == [word.value for word in hint]


def default_of(member, hint):
    if member.default is not dataclasses.MISSING:
        if isinstance(member.default, bytes):
            return True, member.default.decode("latin-1")  # Avro writes the default of bytes so
        return True, list(member.default) if isinstance(member.default, tuple) else member.default
    if member.default_factory is not dataclasses.MISSING:
        value = member.default_factory()
        if isinstance(value, dict):
            return True, value
        assert value.size == 0
        return True, "" if "bytes" in hint.__metadata__[0] else []
    return (True, None) if type(None) in typing.get_args(hint) else (False, None)


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
def test_a_dataclass_is_its_newest_schema(kind):
    schema = schemas.newest(kind)
    assert schema.full_name == f"easeml.v1.{kind.__name__}"
    assert_same_fields(schema.document, kind)


def test_the_lock_names_every_file_and_no_other():
    files = {
        f"{folder.name}/{file.name.removesuffix('.avsc')}"
        for folder in HOME.iterdir()
        if folder.is_dir() and folder.name != "golden"
        for file in folder.iterdir()
    }
    lock = json.loads(HOME.joinpath("registry.lock.json").read_text("utf-8"))
    assert set(lock) == files
    assert [line["id"] for line in lock.values()] == list(range(1, len(lock) + 1)), "ids count up, in order of release"


@pytest.mark.parametrize("schema", RELEASED.values(), ids=lambda s: f"{s.subject}-{s.version}")
def test_a_released_file_never_changes(schema):
    path = HOME.joinpath(schema.subject, f"{schema.version}.avsc")
    assert schema.file == hashlib.sha256(path.read_bytes()).hexdigest()
    assert schema.fingerprint == fingerprint(to_parsing_canonical_form(schema.document), "SHA-256")


@pytest.mark.parametrize("subject", sorted({s.subject for s in RELEASED.values()}))
def test_versions_read_each_other(subject):
    assert incompatibilities(versions_of(subject)) == []


def planted(change):
    new = copy.deepcopy(schemas.newest(RelationBatch).document)
    change({field["name"]: field for field in new["fields"]}, new["fields"])
    return incompatibilities([schemas.newest(RelationBatch).document, new])


def test_the_check_accepts_an_added_and_a_removed_field_with_defaults():
    def change(by_name, fields):
        fields.remove(by_name["sources"])
        fields.insert(0, {"name": "note", "type": "string", "default": ""})

    assert planted(change) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda by_name, fields: fields.insert(0, {"name": "note", "type": "string"}),
        lambda by_name, fields: fields.remove(by_name["row_ids"]),
        lambda by_name, fields: by_name["app"].update(type="long"),
        lambda by_name, fields: by_name["version"].update(name="release"),
        lambda by_name, fields: by_name["labels"].update(type={"type": "bytes", "dtype": "<i8"}),
        lambda by_name, fields: fields.append({"name": "note", "type": "string", "default": ""}),
    ],
    ids=["no default", "required removed", "type", "rename", "dtype", "after the numbers"],
)
def test_the_check_finds_a_planted_incompatible_version(change):
    assert planted(change) != []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_bytes_decode_with_the_newest_reader(path):
    raw = path.read_bytes()
    payload = codec.decode(raw)
    shown = json.loads(HOME.joinpath("golden", path.name.replace(".bin", ".json")).read_text("utf-8"))
    # An old message shows the fields of the newest version, too, at their defaults.
    assert {name: value for name, value in codec.json_of(payload).items() if name in shown} == shown
    if int.from_bytes(raw[1:5]) == schemas.newest(type(payload)).id:
        assert codec.encode(payload) == raw


def test_every_version_has_golden_bytes():
    assert {int.from_bytes(path.read_bytes()[1:5]) for path in GOLDEN} == set(RELEASED)


def test_a_dataclass_that_ran_ahead_of_its_schema_is_not_written(monkeypatch):
    schema = schemas.newest(RelationBatch)
    behind = dataclasses.replace(schema, document={**schema.document, "fields": schema.document["fields"][:-1]})
    monkeypatch.setattr(codec, "newest", lambda _: behind)
    codec._writer.cache_clear()
    try:
        with pytest.raises(SchemaError, match=r"relation-batch/1\.avsc differ"):
            codec.encode(RelationBatch("a", "train", "v", (), ()))
    finally:
        codec._writer.cache_clear()


def test_an_installation_without_schemas_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(schemas.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(schemas, "__file__", str(tmp_path / "a" / "b" / "c" / "schemas.py"))
    with pytest.raises(ConfigurationError, match="No folder of schemas"):
        schemas.folder()


def test_a_type_without_schema_is_refused():
    with pytest.raises(SchemaError, match="not a payload"):
        schemas.newest(str)
