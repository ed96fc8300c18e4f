"""Writes records with header names that are not text, which Python's client cannot: by librdkafka, in C."""

import ctypes
from pathlib import Path

import confluent_kafka

_END, _TOPIC, _VALUE, _KEY, _MSGFLAGS, _HEADERS = 0, 1, 4, 5, 7, 10
"""rd_kafka_vtype_t: https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h"""
_COPY = 2
_PRODUCER = 0


def write(
    bootstrap_servers: str, topic: str, value: bytes, headers: list[tuple[bytes, bytes]], key: bytes = b""
) -> None:
    """Write one record, and wait until the brokers have it."""
    library = _library()
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    said = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    servers = bootstrap_servers.encode()
    assert library.rd_kafka_conf_set(configuration, b"bootstrap.servers", servers, said, len(said)) == 0, said.value
    producer = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, configuration, said, len(said)))
    assert producer.value, said.value
    made = ctypes.c_void_p(library.rd_kafka_headers_new(len(headers)))
    for name_bytes, content in headers:
        name_size, size = ctypes.c_ssize_t(len(name_bytes)), ctypes.c_ssize_t(len(content))
        assert library.rd_kafka_header_add(made, name_bytes, name_size, content, size) == 0
    size_t, integer = ctypes.c_size_t, ctypes.c_int
    arguments = [integer(_TOPIC), topic.encode(), integer(_VALUE), value, size_t(len(value))]
    arguments += [integer(_KEY), key, size_t(len(key)), integer(_MSGFLAGS), integer(_COPY)]
    assert library.rd_kafka_producev(producer, *arguments, integer(_HEADERS), made, integer(_END)) == 0
    assert library.rd_kafka_flush(producer, 60_000) == 0
    library.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    """Return the librdkafka that Python's client uses: that of its wheel, or the system's."""
    bundled = sorted((Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*.so*"))
    return ctypes.CDLL(str(bundled[0]) if bundled else "librdkafka.so.1")
