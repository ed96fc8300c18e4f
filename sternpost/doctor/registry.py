"""The registry: reachable, with this version's schema, and set to refuse what would break sinks."""

from collections.abc import Iterator

from runtime.settings import Settings
from schemas.registry import (
    COMPATIBILITY,
    Registry,
    RegistryUnavailable,
    SchemaMissing,
    SchemaRefused,
    subject_of,
)
from schemas.track_event import load_schema
from sternpost.doctor.check import Check, fault, ok, warning


def check(settings: Settings) -> Iterator[Check]:
    subject, schema = subject_of(settings.topics.events), load_schema()
    registry = Registry(**settings.schema_registry.options())
    try:
        try:
            found = registry.lookup(subject, schema)
        except SchemaMissing:
            yield from _missing(registry, subject)
            return
        yield ok("schema", f"{subject} version {found.version}, id {found.id}")
        level = registry.compatibility(subject)
        if level == COMPATIBILITY:
            yield ok("compatibility", f"{subject} is {level}")
        else:
            yield warning(
                "compatibility",
                f"{subject} is {level or 'at the registry’s default'}, and should be {COMPATIBILITY}: a schema that "
                "breaks sinks could be registered",
                "`sternpost schema register` sets it",
            )
    except RegistryUnavailable as error:
        yield fault("schema registry", f"it does not answer: {error}", "start it, or mend schema_registry.url")
    except SchemaRefused as error:
        yield fault("schema registry", f"it refuses us: {error}", "check schema_registry.basic_auth and .ca_file")
    finally:
        registry.close()


def _missing(registry: Registry, subject: str) -> Iterator[Check]:
    """Whether it could be registered, where other versions are there."""
    try:
        compatible = registry.is_compatible(subject, load_schema())
    except SchemaMissing:
        compatible = True  # the subject is new
    if compatible:
        yield fault("schema", f"this version's schema is not under {subject}", "`sternpost schema register`")
    else:
        yield fault(
            "schema",
            f"this version's schema is not under {subject}, and is incompatible with one that is",
            "was the subject written by something else? Use another topic, or delete the foreign versions",
        )
