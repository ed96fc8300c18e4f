"""Registers the events' Avro schema, and checks it."""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import CheckFailed, DependencyError
from runtime.settings import Settings
from schemas.evolution import broken_promises
from schemas.registry import (
    COMPATIBILITY,
    Registered,
    Registry,
    RegistryUnavailable,
    SchemaMissing,
    SchemaRefused,
    subject_of,
)
from schemas.track_event import SCHEMA_FILE, SCHEMA_FILES, load_schema


@contextmanager
def open_registry(settings: Settings) -> Iterator[Registry]:
    """The registry, its errors turned into messages for people: DependencyError."""
    registry = Registry(**settings.schema_registry.options())
    try:
        yield registry
    except (RegistryUnavailable, SchemaRefused) as error:
        verb = "does not answer" if isinstance(error, RegistryUnavailable) else "refuses"
        raise DependencyError(
            f"the schema registry {verb} ({error}); check schema_registry.url and schema_registry.basic_auth"
        ) from None
    finally:
        registry.close()


def register(settings: Settings) -> Registered:
    """Registers the newest version under the events topic's subject; does nothing where it is there.

    Raises CheckFailed where it is incompatible with what is there, DependencyError where the registry cannot be used.
    """
    subject = subject_of(settings.topics.events)
    with open_registry(settings) as registry:
        try:
            return registry.register(subject, load_schema())
        except SchemaRefused as error:
            raise CheckFailed(
                f"the registry refuses {SCHEMA_FILE.name} under {subject}: {error}. Is it another topic's subject? "
                "See topics.events"
            ) from None


def check(settings: Settings) -> tuple[Registered | None, list[str]]:
    """Where the schema is registered, and what is wrong, each with its mend; nothing where all is right."""
    subject, findings = subject_of(settings.topics.events), broken_promises(SCHEMA_FILES)
    found: Registered | None = None
    with open_registry(settings) as registry:
        try:
            found = registry.lookup(subject, load_schema())
        except SchemaMissing:
            compatible = registry.is_compatible(subject, load_schema())
            findings.append(
                f"{SCHEMA_FILE.name} is not registered under {subject}: "
                + ("`sternpost schema register`" if compatible else "and it is incompatible with what is there")
            )
        level = registry.compatibility(subject)
        if found and level != COMPATIBILITY:
            findings.append(
                f"the compatibility of {subject} is {level or 'not set'}, and should be {COMPATIBILITY}: "
                "`sternpost schema register` sets it"
            )
    return found, findings
