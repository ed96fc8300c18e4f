"""Why a body could not become an event: the codes that dead letters carry."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable and machine-readable: people alert and filter on them, so one is never renamed."""

    MALFORMED_JSON = "malformed_json"
    """The body is not JSON text in UTF-8."""
    NOT_AN_OBJECT = "not_an_object"
    """The body is JSON, but no object."""
    MISSING_IDENTITY = "missing_identity"
    """Neither a user id, nor an email, nor a cio_id says whom the event is about."""
    INVALID_FIELD = "invalid_field"
    """A field's value cannot be carried exactly in the field's type."""
    INVALID_TIMESTAMP = "invalid_timestamp"
    """The time is of a wrong type, or lies before 1970 or after 9999."""
    UNENCODABLE = "unencodable"
    """The event does not fit the Avro schema in use."""
    TOO_LARGE = "too_large"
    """The event is larger than a record of the output topic may be."""
    REFUSED = "refused"
    """The brokers never take the event's record, for another reason than its size, which the message names."""
    INTERNAL_ERROR = "internal_error"
    """A fault of ours; sending the dead letter back after an upgrade may mend it."""


class Stage(StrEnum):
    """Where on its way a body failed."""

    PARSE = "parse"
    MAP = "map"
    ENCODE = "encode"
    PRODUCE = "produce"


class PayloadRejectedError(Exception):
    """A body cannot become an event.

    `field` is the path in the body (`data.action_id`, `data.recipients[0].device_id`), or None where the whole body
    is at fault. `message` says what is wrong and never quotes the value: values are people's data.
    """

    def __init__(self, code: ErrorCode, message: str, field: str | None = None, stage: Stage = Stage.MAP) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.stage = stage
