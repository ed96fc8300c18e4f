"""The schema registry: looks the event schema up, registers it, and fetches others by their id.

A thin layer over confluent_kafka's client that knows our subject and our compatibility level. Each failure is one of
the errors of `runtime.errors`, with a sentence of its own (`runtime.schema_registry_failures`).

The client is imported by who makes one: it brings an HTTP client, OAuth and JWT along, a quarter of what a processor
imports, and neither the parent of the workers nor most commands talk to the registry.
"""

import json
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import structlog

from runtime import schema_registry_failures as failures
from runtime.errors import (
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaNotFoundError,
    SternpostError,
)
from runtime.settings.model import SchemaRegistrySettings, Settings, SubjectName

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

Answer = TypeVar("Answer")

COMPATIBILITY = "FULL_TRANSITIVE"
"""Every version can read every other's records: sinks and producers may be upgraded in any order, and old records stay
readable (https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html)."""

LARGEST_ID = 2**31 - 1
"""The wire format has four bytes for a schema's id, and registries treat it as a Java int."""

ABSENT_S = 5.0
"""For so long an id without a schema is not asked for again: a topic may be full of another program's records."""

MOST_ABSENT = 10_000
"""The number of such ids that are kept. They come from records, which anyone may have written."""

RETRY_S = 2.0
LOG_INTERVAL_S = 60.0


class Registered(NamedTuple):
    """A schema as the registry has it."""

    subject: str
    id: int
    version: int


def subject_of(topic: str) -> str:
    """Return the subject of a topic's values (Confluent's TopicNameStrategy)."""
    return f"{topic}-value"


def events_subject(settings: Settings, schema: Mapping[str, Any]) -> str:
    """Return the subject of the events' schema, as the settings under `schema_registry` name it.

    https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#subject-name-strategy
    """
    topic, registry = settings.topics.events, settings.schema_registry
    name = subject_of(topic)
    if registry.subject_name is SubjectName.TOPIC_RECORD:
        name = f"{topic}-{schema['namespace']}.{schema['name']}"
    return f"{_prefix(registry)}{name}"


def _prefix(registry: SchemaRegistrySettings) -> str:
    """Return what qualifies a subject with the context.

    https://docs.confluent.io/platform/current/schema-registry/schema-contexts-cp.html
    """
    return f":{registry.context}:" if registry.context else ""


class Registry:
    """A client of one registry, and a context manager.

    Every method raises RegistryUnavailableError, which may pass by itself, and RegistryMisconfiguredError and
    RegistryRefusedError, which do not.
    """

    def __init__(self, settings: SchemaRegistrySettings) -> None:
        """Make the client, without connecting. Raises ConfigurationError if the client refuses the settings."""
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 (see above)

        self._settings = settings
        try:
            if settings.ca_file is not None:
                settings.ca_file.open("rb").close()  # the client would take a folder, and find nothing in it
            self._client = SchemaRegistryClient(settings.client_properties())
        except Exception as error:  # ValueError, TypeError, OSError, and the HTTP library's own
            raise failures.misconfigured(settings, error) from None
        self._absent: set[int] = set()
        self._absent_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def lookup(self, subject: str, schema: dict[str, Any]) -> Registered:
        """Return the id and version of exactly this schema under the subject. Raises SchemaNotFoundError."""
        try:
            found = self._ask(lambda: self._client.lookup_schema(subject, _avro(schema)))
        except SchemaNotFoundError as error:
            raise SchemaNotFoundError(
                f"{failures.name(self._settings)} does not have this version's schema under {subject} ({error})",
                "`sternpost schema register` registers it",
            ) from None
        schema_id, version = found.schema_id, found.version
        if schema_id is None or version is None or not (_is_id(schema_id) and _is_id(version)):
            raise failures.not_a_registry(self._settings, "JSON without the id and version of a schema")
        return Registered(subject, schema_id, version)

    def register(
        self, subject: str, schema: dict[str, Any], warn: Callable[[str], None] = lambda _: None
    ) -> Registered:
        """Register the schema unless it is there, and set the subject's compatibility to FULL_TRANSITIVE.

        `warn` is called with a sentence if the schema is registered but the compatibility could not be set. Raises
        SchemaIncompatibleError if an earlier version cannot read it, or cannot be read by it; RegistryRefusedError if
        the compatibility is another one and cannot be set, and so would not be checked.
        """
        try:
            found = self.lookup(subject, schema)
        except SchemaNotFoundError:
            # The level first: under the registry's own, which may be NONE, it would take a breaking schema.
            refused = self._guard(subject)
            self._ask(lambda: self._client.register_schema(subject, _avro(schema)))
            found = self.lookup(subject, schema)
        else:
            refused = self._set_compatibility(subject)
        if refused is not None:
            warn(
                f"the schema is registered, but the compatibility of {subject} could not be set to {COMPATIBILITY}: "
                f"{refused.problem}. Have someone set it who may: a schema that breaks sinks could be registered"
            )
        return found

    def compatibility(self, subject: str) -> str | None:
        """Return the level in force: the subject's own, else the registry's; None if the registry tells neither."""
        for of in (subject, _prefix(self._settings) or None):
            try:
                return self._level(of)
            except (RegistryRefusedError, SchemaNotFoundError):
                continue
        return None

    def is_compatible(self, subject: str, schema: dict[str, Any]) -> bool:
        """Return whether the registry would accept the schema as the subject's next version."""
        try:
            answer = self._ask(lambda: self._client.test_compatibility(subject, _avro(schema)))
        except SchemaNotFoundError:
            # Confluent answers so for a subject without versions, Karapace for one that it does not know:
            # https://docs.confluent.io/platform/current/schema-registry/develop/api.html#compatibility
            return True
        if not isinstance(answer, bool):
            raise failures.not_a_registry(self._settings, "JSON that does not say whether a schema is compatible")
        return answer

    def wait_for(
        self,
        subject: str,
        schema: dict[str, Any],
        stopping: threading.Event,
        *,
        register: bool = False,
        waiting: Callable[[], None] = lambda: None,
    ) -> Registered | None:
        """Look the schema up, or register it, waiting while the registry is away or does not have the schema.

        Return None if `stopping` is set first. `waiting` is called between two tries. The log says what is waited for,
        once and then every minute. Raises the errors that waiting does not change.
        """
        log = structlog.get_logger()
        said: tuple[str, int] | None = None
        tries = 0
        while not stopping.is_set():
            try:
                found = self.register(subject, schema, log.warning) if register else self.lookup(subject, schema)
            except RegistryUnavailableError as error:
                reason, hint = "the schema registry does not answer", str(error)
            except SchemaNotFoundError as error:
                reason, hint = f"the schema registry has no such schema under {subject}", str(error)
            else:
                if said:
                    log.info("schema found", subject=subject, schema_id=found.id)
                return found
            minute = int(tries * RETRY_S / LOG_INTERVAL_S)
            if said != (reason, minute):
                said = (reason, minute)
                log.warning(f"waiting: {reason}", hint=hint)
            tries += 1
            waiting()
            stopping.wait(RETRY_S)
        return None

    def _guard(self, subject: str) -> SternpostError | None:
        """Ensure that the registry refuses what breaks the subject's earlier versions, if there are any.

        Return the error if the level could not be set but the subject is safe nevertheless.
        """
        refused = self._set_compatibility(subject)
        if isinstance(refused, RegistryUnavailableError):
            raise refused
        if refused is None or self.compatibility(subject) == COMPATIBILITY or not self._has_versions(subject):
            return refused
        raise RegistryRefusedError(
            f"the compatibility of {subject} is not {COMPATIBILITY} and could not be set: {refused.problem}",
            "have someone set it who may, then register: until then, the registry takes a schema that breaks sinks",
        )

    def _set_compatibility(self, subject: str) -> SternpostError | None:
        """Set the subject's level to ours; return the error if the registry refuses."""
        try:
            if self._level(subject) == COMPATIBILITY:
                return None
        except SternpostError:
            pass  # setting it shows what is wrong
        try:
            self._ask(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
        except SternpostError as error:  # 403, 404, 405, read-only: other questions may be answered all the same
            return error
        return None

    def _level(self, subject: str | None) -> str:
        level = self._ask(lambda: self._client.get_compatibility(subject))
        if not isinstance(level, str):
            raise failures.not_a_registry(self._settings, "JSON without a compatibility level")
        return level

    def _has_versions(self, subject: str) -> bool:
        try:
            return bool(self._ask(lambda: self._client.get_versions(subject)))
        except SchemaNotFoundError:
            return False

    def schema(self, schema_id: int) -> dict[str, Any] | None:
        """Return the schema as JSON; None if there is none, or none of Avro."""
        if monotonic() >= self._absent_until:
            self._absent.clear()
        if schema_id in self._absent:
            return None
        schema = self._fetch(schema_id)
        if schema is None:
            if len(self._absent) == MOST_ABSENT:
                self._absent.clear()
            if not self._absent:
                self._absent_until = monotonic() + ABSENT_S
            self._absent.add(schema_id)
        return schema

    def _fetch(self, schema_id: int) -> dict[str, Any] | None:
        try:
            # An id is unique within its context only.
            context = _prefix(self._settings) or None
            text = self._ask(lambda: self._client.get_schema(schema_id, context)).schema_str
            # The client keeps every schema that it has seen.
            self._client.clear_caches()  # type: ignore[no-untyped-call]
        except SchemaNotFoundError:
            return None
        if not isinstance(text, str):
            raise failures.not_a_registry(self._settings, "JSON without a schema")
        try:
            schema = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return schema if isinstance(schema, dict) else None

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except Exception as error:
            failure = failures.explain(self._settings, error, self._is_registry)
            if failure is None:
                raise
            raise failure from None

    def _is_registry(self) -> bool:
        """Return whether the address answers a request that every registry answers."""
        try:
            return isinstance(self._client.get_subjects(), list)
        except Exception:
            return False


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_ID


def _avro(schema: dict[str, Any]) -> "Schema":
    from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 (see above)

    return Schema(json.dumps(schema, separators=(",", ":")), "AVRO")
