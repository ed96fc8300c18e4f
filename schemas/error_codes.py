"""The reasons why a body cannot become an event: the error codes that dead letters carry."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """A stable, machine-readable code. People alert and filter on codes, so one is never renamed."""

    MALFORMED_JSON = "malformed_json"
    """The body is not JSON text in UTF-8."""
    NOT_AN_OBJECT = "not_an_object"
    """The body is JSON, but not an object."""
    MISSING_IDENTITY = "missing_identity"
    """The body has neither a user id, nor an email address, nor a cio_id."""
    INVALID_FIELD = "invalid_field"
    """A field's value cannot be carried exactly in the field's type."""
    INVALID_TIMESTAMP = "invalid_timestamp"
    """The time has the wrong type, or is before 1970 or after 9999."""
    UNENCODABLE = "unencodable"
    """The event does not fit the Avro schema in use."""
    TOO_LARGE = "too_large"
    """The event is larger than a record of the output topic may be."""
    REFUSED = "refused"
    """The brokers refuse the event's record for good. The message names the reason, which is not the size."""
    INTERNAL_ERROR = "internal_error"
    """A fault of Sternpost. Redriving the dead letter after an upgrade may help."""


class Stage(StrEnum):
    """The stage of processing at which a body failed."""

    PARSE = "parse"
    MAP = "map"
    ENCODE = "encode"
    PRODUCE = "produce"


class PayloadRejectedError(Exception):
    """A body cannot become an event.

    `field` is the path in the body (`data.action_id`, `data.recipients[0].device_id`), or None if the whole body is at
    fault. `message` says what is wrong and never quotes the value: values are personal data.
    """

    def __init__(self, code: ErrorCode, message: str, field: str | None = None, stage: Stage = Stage.MAP) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.stage = stage
