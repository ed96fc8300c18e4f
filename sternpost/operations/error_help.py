"""What to do about each error code that a payload's sender can cause."""

from schemas.customerio.lossless_json import MAX_DEPTH
from schemas.error_codes import ErrorCode

ERROR_HELP = {
    ErrorCode.MALFORMED_JSON: f"a body is JSON text in UTF-8, no more than {MAX_DEPTH} levels deep",
    ErrorCode.NOT_AN_OBJECT: "a webhook is one JSON object: event_id, object_type, metric, timestamp, data",
    ErrorCode.MISSING_IDENTITY: "give data.customer_id, or one of id, email and cio_id in data.identifiers",
    ErrorCode.INVALID_FIELD: "a value is carried exactly or not at all; docs/mapping.md says what each field takes",
    ErrorCode.INVALID_TIMESTAMP: "give seconds since 1970 as a number, or ISO-8601 such as 2021-02-11T17:04:49Z",
}
