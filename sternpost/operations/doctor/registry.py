"""Check that the registry answers, has this version's schema, and refuses schemas that would break sinks."""

from collections.abc import Iterator

from runtime.errors import SchemaNotFoundError, SternpostError
from runtime.schema_registry import COMPATIBILITY, Registry, events_subject
from runtime.settings.model import Settings
from schemas.track_event import load_schema
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning


def check(settings: Settings) -> Iterator[Check]:
    """Ask the registry as the processor and `sternpost schema` do."""
    schema = load_schema()
    subject = events_subject(settings, schema)
    registry = Registry(settings.schema_registry)  # a wrong setting ends the command
    try:
        with registry:
            try:
                found = registry.lookup(subject, schema)
            except SchemaNotFoundError:
                yield _missing(subject, compatible=registry.is_compatible(subject, schema))
                return
            yield ok("schema", f"{subject} version {found.version}, id {found.id}")
            yield _compatibility(subject, registry.compatibility(subject))
    except SternpostError as error:
        yield fault("schema registry", error.problem, error.remedy)


def _missing(subject: str, *, compatible: bool) -> Check:
    if compatible:
        return fault("schema", f"this version's schema is not under {subject}", "`sternpost schema register`")
    return fault(
        "schema",
        f"this version's schema is not under {subject}, and is incompatible with one that is",
        "was the subject written by something else? Use another topic, or delete the foreign versions",
    )


def _compatibility(subject: str, level: str | None) -> Check:
    if level == COMPATIBILITY:
        return ok("compatibility", f"{subject} is {level}")
    if level is None:
        return skipped("compatibility", f"the registry does not tell the level of {subject}")
    return warning(
        "compatibility",
        f"{subject} is {level}, and should be {COMPATIBILITY}: a schema that breaks sinks could be registered",
        "`sternpost schema register` sets it, as a user who may",
    )
