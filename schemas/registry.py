"""The schema registry: looks the event schema up, registers it, and fetches others by their id.

A thin layer over confluent_kafka's client that knows our subject, our compatibility level, and what to tell people.
"""

import json
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

COMPATIBILITY = "FULL_TRANSITIVE"
"""Every version can read every other's records: sinks and producers may be upgraded in any order, and old records stay
readable."""

RETRY_S = 2.0
SAY_AGAIN_S = 60.0
NOT_FOUND = (40401, 40402, 40403, 404)


class RegistryUnavailable(Exception):
    """The registry does not answer, or answers with a fault of its own; trying again may help."""


class SchemaMissing(Exception):
    """The registry answers, and has not got the schema."""


class SchemaRefused(Exception):
    """The registry will not take the schema or the request (incompatible, not authorised, …)."""


class Registered(NamedTuple):
    """A schema as the registry has it."""

    subject: str
    id: int
    version: int


def subject_of(topic: str) -> str:
    """The subject of a topic's values (Confluent's TopicNameStrategy)."""
    return f"{topic}-value"


class Registry:
    """One registry."""

    def __init__(
        self, url: str, *, basic_auth: str | None = None, ca_file: Path | None = None, timeout_ms: int = 5_000
    ) -> None:
        """`url`: one or more, separated by commas. `basic_auth`: `user:password`."""
        from confluent_kafka.schema_registry import SchemaRegistryClient

        config: dict[str, Any] = {"url": url, "timeout": timeout_ms / 1_000, "max.retries": 0}
        if basic_auth is not None:
            config["basic.auth.user.info"] = basic_auth
        if ca_file is not None:
            config["ssl.ca.location"] = str(ca_file)
        self._client: SchemaRegistryClient = SchemaRegistryClient(config)
        self.schema = lru_cache(maxsize=1_024)(self._schema)
        """`schema(id)`: that schema as JSON, kept once it was fetched. Raises as `lookup` does."""

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def lookup(self, subject: str, schema: dict[str, Any]) -> Registered:
        """Under which id and version the subject has exactly this schema.

        Raises SchemaMissing, RegistryUnavailable, or SchemaRefused.
        """
        found = self._ask(lambda: self._client.lookup_schema(subject, _avro(schema)))
        return Registered(subject, found.schema_id or 0, found.version or 0)

    def register(self, subject: str, schema: dict[str, Any]) -> Registered:
        """Sets the subject's compatibility to FULL_TRANSITIVE and adds the schema, unless it is there.

        Raises SchemaRefused where it is incompatible with an earlier version, or RegistryUnavailable.
        """
        # The level first: under the registry's own, which may be NONE, it would take a breaking schema.
        self._ask(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
        try:
            return self.lookup(subject, schema)
        except SchemaMissing:
            self._ask(lambda: self._client.register_schema(subject, _avro(schema)))
            return self.lookup(subject, schema)

    def compatibility(self, subject: str) -> str | None:
        """The level that is set for the subject itself; None where the registry's own default holds."""
        try:
            return str(self._ask(lambda: self._client.get_compatibility(subject)))
        except SchemaMissing:
            return None

    def is_compatible(self, subject: str, schema: dict[str, Any]) -> bool:
        """Whether the registry would take the schema as the subject's next version."""
        return bool(self._ask(lambda: self._client.test_compatibility(subject, _avro(schema))))

    def wait_for(
        self,
        subject: str,
        schema: dict[str, Any],
        stopping: threading.Event,
        *,
        register: bool = False,
        waiting: Callable[[], None] = lambda: None,
    ) -> Registered | None:
        """`lookup`, or `register`, waiting while the registry is away or has not got the schema.

        None where `stopping` ends it. `waiting` is called between two tries. The log says once what is waited for, and
        again every minute. Raises SchemaRefused.
        """
        ask = self.register if register else self.lookup
        log = structlog.get_logger()
        said: tuple[str, int] | None = None
        tries = 0
        while not stopping.is_set():
            try:
                found = ask(subject, schema)
            except RegistryUnavailable as error:
                reason, hint = "the schema registry does not answer", str(error)
            except SchemaMissing:
                reason = f"the schema registry has no such schema under {subject}"
                hint = "`sternpost schema register` registers it"
            else:
                if said:
                    log.info("schema found", subject=subject, schema_id=found.id)
                return found
            minute = int(tries * RETRY_S / SAY_AGAIN_S)
            if said != (reason, minute):
                said = (reason, minute)
                log.warning(f"waiting: {reason}", hint=hint)
            tries += 1
            waiting()
            stopping.wait(RETRY_S)
        return None

    def _schema(self, schema_id: int) -> dict[str, Any]:
        text = self._ask(lambda: self._client.get_schema(schema_id)).schema_str
        schema: dict[str, Any] = json.loads(text or "null")
        return schema

    def _ask(self, question: Callable[[], Any]) -> Any:
        from confluent_kafka.schema_registry import SchemaRegistryError

        try:
            return question()
        except SchemaRegistryError as error:
            if error.error_code in NOT_FOUND or error.http_status_code == 404:
                raise SchemaMissing(error.error_message) from None
            if error.http_status_code >= 500 or error.http_status_code in (-1, 408, 429):
                raise RegistryUnavailable(error.error_message) from None
            raise SchemaRefused(f"{error.error_message} (HTTP {error.http_status_code})") from None
        except Exception as error:
            if _is_transport(error):
                # The client's own text may hold the address with a password in it.
                raise RegistryUnavailable(f"{type(error).__name__}; check schema_registry.url") from None
            raise


def _is_transport(error: Exception) -> bool:
    """Whether the request did not get through: the HTTP library's own errors, or the system's."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith(("httpx", "httpcore"))


def _avro(schema: dict[str, Any]) -> "Schema":
    from confluent_kafka.schema_registry import Schema

    return Schema(json.dumps(schema, separators=(",", ":")), "AVRO")
