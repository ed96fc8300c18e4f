"""Register the events' Avro schema, and check it."""

from collections.abc import Callable
from typing import NamedTuple

from runtime.errors import CheckFailedError, SchemaIncompatibleError, SchemaNotFoundError
from runtime.schema_registry import COMPATIBILITY, Registered, Registry, events_subject
from runtime.settings.model import Settings
from schemas.evolution import check_all_versions
from schemas.track_event import SCHEMA_FILE, SCHEMA_FILES, load_schema
from sternpost.operations.changes_allowed import ChangesAllowed, require


class Checked(NamedTuple):
    """The result of `check`."""

    registered: Registered | None
    findings: list[str]
    """What is wrong, and how to fix it."""
    notes: list[str]
    """What could not be checked."""


def register(
    settings: Settings, allowed: ChangesAllowed | None, warn: Callable[[str], None] = lambda _: None
) -> Registered:
    """Register the newest version under the events topic's subject, unless it is registered already.

    `warn` is told what was not done, and does not keep the schema from being used. Raises CheckFailedError if it is
    incompatible with what is there, ChangesNotAllowedError, and the registry's errors.
    """
    require(allowed, "register a schema")
    subject = events_subject(settings, load_schema())
    with Registry(settings.schema_registry) as registry:
        try:
            return registry.register(subject, load_schema(), warn)
        except SchemaIncompatibleError as error:
            raise CheckFailedError(f"{SCHEMA_FILE.name} cannot be registered under {subject}: {error}") from None


def check(settings: Settings) -> Checked:
    """Check that the schema is registered and that its subject stays compatible. Raises the registry's errors."""
    findings, notes = check_all_versions(SCHEMA_FILES), []
    subject = events_subject(settings, load_schema())
    found: Registered | None = None
    with Registry(settings.schema_registry) as registry:
        try:
            found = registry.lookup(subject, load_schema())
        except SchemaNotFoundError:
            compatible = registry.is_compatible(subject, load_schema())
            findings.append(
                f"{SCHEMA_FILE.name} is not registered under {subject}: "
                + ("`sternpost schema register`" if compatible else "and it is incompatible with what is there")
            )
        level = registry.compatibility(subject) if found else COMPATIBILITY
        if level is None:
            notes.append(f"the registry does not tell the compatibility of {subject}, which should be {COMPATIBILITY}")
        elif level != COMPATIBILITY:
            findings.append(
                f"the compatibility of {subject} is {level}, and should be {COMPATIBILITY}: "
                "`sternpost schema register` sets it"
            )
    return Checked(found, findings, notes)
