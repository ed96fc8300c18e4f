"""Whether versions of a schema can read each other's records, without a registry: Avro's resolution rules, by Apache's
own checker.
"""

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any


def misreading(reader: dict[str, Any], writer: dict[str, Any]) -> str | None:
    """What keeps `reader` from reading what was written with `writer`: where in the reader's schema, and why.

    None where it can read all of it. Raises avro.errors.AvroException for what is no schema.
    """
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
    from avro.schema import parse

    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if found.compatibility is SchemaCompatibilityType.compatible:
        return None
    kinds = {kind.value.replace("_", " ") for kind in found.incompatibilities}
    return f"{_list(kinds)} at {_list(found.locations)}: {_list(found.messages)}"


def broken_promises(files: Sequence[Path]) -> list[str]:
    """Where one of the versions cannot read another (FULL_TRANSITIVE), as messages; none where all can read all."""
    schemas = {file.name: json.loads(file.read_text("utf-8")) for file in files}
    return [
        f"{reader} cannot read what was written with {writer}: {reason}"
        for reader, writer in permutations(schemas, 2)
        if (reason := misreading(schemas[reader], schemas[writer]))
    ]


def _list(texts: set[str]) -> str:
    return ", ".join(sorted(texts))
