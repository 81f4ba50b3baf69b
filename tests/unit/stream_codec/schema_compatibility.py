"""FULL_TRANSITIVE, offline: what in a list of versions breaks it."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

NUMBERS = ("double", "float")


def incompatibilities(versions: list[dict[str, Any]]) -> list[str]:
    """Return every way in which a version cannot read another, and every broken rule of the array layout."""
    problems = [f"version {n}: {text}" for n, schema in enumerate(versions, 1) for text in layout_errors(schema)]
    for (i, reader), (j, writer) in permutations(list(enumerate(versions, 1)), 2):
        result = ReaderWriterCompatibilityChecker().get_compatibility(
            reader=parse(json.dumps(reader)), writer=parse(json.dumps(writer))
        )
        if result.compatibility is not SchemaCompatibilityType.compatible:
            problems.append(f"{i} cannot read {j}: {', '.join(sorted(result.messages)) or result.compatibility}")
        mine, theirs = dtypes(reader), dtypes(writer)
        shared = mine.keys() & theirs.keys()
        problems += [f"{i} and {j}: dtype of {name}" for name in shared if mine[name] != theirs[name]]
    return problems


def dtypes(schema: dict[str, Any]) -> dict[str, str]:
    types = {field["name"]: field["type"] for field in schema["fields"]}
    return {name: kind["dtype"] for name, kind in types.items() if isinstance(kind, dict) and "dtype" in kind}


def layout_errors(schema: dict[str, Any]) -> list[str]:
    numbers = [isinstance(f["type"], dict) and f["type"].get("items") in NUMBERS for f in schema["fields"]]
    return [] if numbers == sorted(numbers) else ["number arrays are not the last fields"]
