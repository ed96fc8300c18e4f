"""Writes `runtime/kafka/properties.csv` from what the installed librdkafka says of its properties:

python -m tests.support.librdkafka_properties
"""

import csv
import ctypes
import io
import re
from pathlib import Path

from confluent_kafka import cimpl

TABLE = Path(__file__).resolve().parents[2] / "runtime/kafka/properties.csv"
CLIENTS = {"*": "any", "P": "producer", "C": "consumer"}


def render() -> str:
    """The table as CSV: one row a property, in librdkafka's order; the global one of two with the same name."""
    rows: dict[str, list[str]] = {}
    for line in _shown().splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if len(cells) < 6 or cells[1] not in CLIENTS or cells[0] in rows:
            continue
        name, client, values, text = cells[0], cells[1], cells[2], " | ".join(cells[5:])
        alias = re.search(r"Alias for `([^`]+)`", text)
        kind = re.search(r"\*Type: ([^*]+)\*", text)
        rows[name] = [name, CLIENTS[client], alias[1] if alias else "", kind[1] if kind else "", values]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "client", "alias_of", "type", "values"])
    writer.writerows(rows.values())
    return out.getvalue()


def _shown() -> str:
    """What `rd_kafka_conf_properties_show` prints, a table in Markdown.

    https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html
    """
    library, libc = ctypes.CDLL(cimpl.__file__), ctypes.CDLL(None)
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    libc.open_memstream.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    library.rd_kafka_conf_properties_show(stream)
    libc.fclose(stream)
    shown = ctypes.string_at(text, size.value).decode()
    libc.free(text)
    return shown


if __name__ == "__main__":
    TABLE.write_text(render(), "utf-8")
