"""A file descriptor that wakes the event loop when a producer has acknowledgements to report.

librdkafka has that (`rd_kafka_queue_io_event_enable`), confluent_kafka has no way to it; so it is called in the
librdkafka that confluent_kafka brought along, with the handle that its Producer holds first of all. Where either is not
as it was when this was written there is no descriptor, and whoever asked polls instead: that costs 6 to 31 % more CPU
per webhook and up to a millisecond (docs/performance.md).
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import confluent_kafka
from confluent_kafka import Producer

_PRODUCER_BYTES = 176
"""Size of the Producer object that was looked into: an object of another size may be laid out in another way."""

_ONE = (1).to_bytes(8, sys.byteorder)  # what an eventfd takes to become readable


def descriptor(producer: Producer) -> int | None:
    """Readable once there is something for `producer.poll` to report; to be read with `os.eventfd_read`.

    librdkafka's threads write to it for as long as there is the producer: close it after that, or not at all.
    """
    library = _library()
    known = handle(producer)
    if library is None or known is None:
        return None
    queue = library.rd_kafka_queue_get_main(known)
    event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    library.rd_kafka_queue_io_event_enable(queue, event, _ONE, len(_ONE))
    library.rd_kafka_queue_destroy(queue)
    producer.poll(0)  # only what comes to an empty queue is told of
    return event


def handle(producer: Producer) -> int | None:
    """librdkafka's own; None where it is not to be found."""
    if Producer.__basicsize__ != _PRODUCER_BYTES:
        return None
    return ctypes.c_void_p.from_address(id(producer) + object.__basicsize__).value


@cache
def _library() -> ctypes.CDLL | None:
    """The librdkafka that this process already runs, and no second one."""
    if sys.platform != "linux":
        return None
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    for file in folder.glob("librdkafka*.so*"):
        try:
            library = ctypes.CDLL(str(file), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue
        library.rd_kafka_queue_get_main.argtypes = [ctypes.c_void_p]
        library.rd_kafka_queue_get_main.restype = ctypes.c_void_p
        library.rd_kafka_queue_io_event_enable.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_size_t,
        ]
        library.rd_kafka_queue_io_event_enable.restype = None
        library.rd_kafka_queue_destroy.argtypes = [ctypes.c_void_p]
        library.rd_kafka_queue_destroy.restype = None
        return library
    return None
