"""The headers of a message that may come from anybody."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any

Headers = list[tuple[str, bytes | None]]

_ask: Callable[[Any], Headers | None] = methodcaller("headers")
"""Called so, Python always checks whether the client has set an exception; of a method call that it has specialized it
does not, and raises SystemError somewhere later."""


def headers_of(message: Any) -> Headers:
    """Return the headers of a `confluent_kafka.Message`, in order; none at all if the name of one is not UTF-8.

    Kafka takes any bytes as a name. If they are not UTF-8, the client returns a list and sets an exception, and from
    then on returns that list, which contains a null pointer and ends the process when it is used. So the message's
    headers are replaced.
    """
    try:
        return _ask(message) or []
    except SystemError:
        message.set_headers([])
        return []
