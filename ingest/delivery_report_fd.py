"""A file descriptor that becomes readable when a producer has delivery reports for `poll`.

librdkafka offers this (`rd_kafka_queue_io_event_enable`), but confluent_kafka does not pass it on. So it is called in
the librdkafka that confluent_kafka ships, with the handle that the Producer object holds in its first field. If the
library or the object differs from what is expected here, there is no descriptor and the caller polls instead, which
costs 6 to 31 % more CPU per webhook and up to a millisecond of latency (docs/performance.md).

https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import confluent_kafka
from confluent_kafka import Producer

_PRODUCER_BYTES = 176
"""Size of the Producer object whose layout is known here. An object of another size may be laid out differently."""

_NONE = -1
"""The descriptor by which librdkafka stops to signal."""

_ONE = (1).to_bytes(8, sys.byteorder)  # makes an eventfd readable


def open_fd(producer: Producer) -> int | None:
    """Return an eventfd that is readable when `producer.poll` has something to report; None if that is impossible.

    Read it with `os.eventfd_read`, and close it with `close_fd`: librdkafka's threads write to it.
    """
    library = _library()
    known = handle(producer)
    if library is None or known is None:
        return None
    event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    _signal(library, known, event)
    producer.poll(0)  # librdkafka signals only what arrives in an empty queue
    return event


def close_fd(producer: Producer, event: int) -> None:
    """Have librdkafka write no more to the descriptor that `open_fd` returned, and close it.

    The producer may live on, if anything still refers to it: it must not write to what gets this number next.
    """
    library, known = _library(), handle(producer)
    if library is not None and known is not None:
        _signal(library, known, _NONE)
    os.close(event)


def _signal(library: ctypes.CDLL, producer: int, event: int) -> None:
    queue = library.rd_kafka_queue_get_main(producer)
    library.rd_kafka_queue_io_event_enable(queue, event, _ONE, len(_ONE))
    library.rd_kafka_queue_destroy(queue)


def handle(producer: Producer) -> int | None:
    """Return the address of librdkafka's own producer; None if it cannot be found."""
    if Producer.__basicsize__ != _PRODUCER_BYTES:
        return None
    return ctypes.c_void_p.from_address(id(producer) + object.__basicsize__).value


@cache
def _library() -> ctypes.CDLL | None:
    """Return the librdkafka that this process has loaded already; never load a second one."""
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
