"""The names of record headers, and how their numbers are read. Values are UTF-8 text, numbers in decimal."""

# Raw records, and so dead letters
SOURCE = "source"
RECEIVED_AT = "received_at"  # Unix milliseconds; absent = the record's own timestamp
REQUEST_TIMESTAMP = "request_timestamp"  # X-CIO-Timestamp: Unix seconds, when the request was sent
EVENT_ID = "event_id"
CONTENT_TYPE = "content_type"  # absent = JSON
TRACEPARENT = "traceparent"  # the only header of an event
ATTEMPT = "attempt"  # how often a dead letter was redriven; absent = 0

# Dead letters: the raw record they come from
RAW_TOPIC = "raw_topic"
RAW_PARTITION = "raw_partition"
RAW_OFFSET = "raw_offset"

# Dead letters: why there is no event
ERROR_CODE = "error_code"
ERROR_MESSAGE = "error_message"
ERROR_FIELD = "error_field"
ERROR_STAGE = "error_stage"

# In the dead-letter topic: a record without a value marks a letter as redriven
REDRIVEN_OFFSET = "redriven_offset"  # of the letter, in the note's own partition

DEFAULT_SOURCE = "default"
"""The source of a raw record without our headers, which another program wrote."""

LARGEST_ATTEMPT = 2**32 - 1
"""Its 4 bytes are part of the key by which duplicates are found."""

LARGEST_OFFSET = 10**18 - 1
"""18 digits, which fit in the 8 bytes of an offset."""

_MOST_DIGITS = 18


def read_number(value: bytes | None, largest: int = LARGEST_OFFSET) -> int | None:
    """Return a header's number, or None if the value is not 1 to 18 ASCII digits, or more than `largest`."""
    if value is None or not value.isdigit() or len(value) > _MOST_DIGITS:
        return None
    number = int(value)
    return number if number <= largest else None


def read_attempt(value: bytes | None) -> int:
    """Return the value of the header `attempt`; 0 if it is absent or not a number."""
    return read_number(value, LARGEST_ATTEMPT) or 0
