"""Checks without a registry whether versions of a schema can read each other's records.

The rules are Avro's schema resolution (https://avro.apache.org/docs/1.12.0/specification/#schema-resolution), checked
by Apache's own implementation.
"""

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse


def incompatibility(reader: dict[str, Any], writer: dict[str, Any]) -> str | None:
    """Return why schema `reader` cannot read records of schema `writer`, and where, or None if it can.

    Raises avro.errors.AvroException if either is not a schema.
    """
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if found.compatibility is SchemaCompatibilityType.compatible:
        return None
    kinds = {kind.value.replace("_", " ") for kind in found.incompatibilities}
    return f"{_list(kinds)} at {_list(found.locations)}: {_list(found.messages)}"


def check_all_versions(files: Sequence[Path]) -> list[str]:
    """Return a message for each pair of versions that breaks FULL_TRANSITIVE compatibility."""
    schemas = {file.name: json.loads(file.read_text("utf-8")) for file in files}
    return [
        f"{reader} cannot read what was written with {writer}: {reason}"
        for reader, writer in permutations(schemas, 2)
        if (reason := incompatibility(schemas[reader], schemas[writer]))
    ]


def _list(texts: set[str]) -> str:
    return ", ".join(sorted(texts))
