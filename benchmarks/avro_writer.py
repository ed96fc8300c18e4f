"""Writers of Avro on the events of every kind of webhook: CPU time an event, each round taking all writers in turn.

    .venv/bin/python -m benchmarks.avro_writer

fastavro and Apache's avro are there in any case. cavro, avroc and cerializer take part where they are installed
(cerializer calls a C compiler). All must write the same bytes. All take an event as nested dicts; ours once more as the
mapping gives it, flat and without its constant fields.
"""

import argparse
import importlib
import io
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import fastavro

from processor.mapping import CONSTANTS, Mapper
from schemas.avro_writer import Writer
from schemas.paths import nested
from schemas.track_event import load_schema
from sternpost import samples

Event = dict[str, Any]
Write = Callable[[Event], bytes]


FLAT = "ours, flat"


def events() -> list[Event]:
    """One of each kind of webhook, mapped and flat."""
    mapper = Mapper("rudderstack")
    return [
        mapper.fields(
            json.dumps(payload).encode(),
            1_700_000_000_000 + index,
            1_700_000_000,
            f"01E4V2SBHYK4TNTG8W{index:08d}",
            "bench",
        )
        for index, payload in enumerate(samples.one_of_each())
    ]


def without_logical_types(schema: Any) -> Any:
    """For writers that take datetimes only where the schema says timestamp; the bytes are the same."""
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {name: without_logical_types(value) for name, value in schema.items()}
    return [without_logical_types(item) for item in schema] if isinstance(schema, list) else schema


def by_fastavro(schema: Event, **options: bool) -> Write:
    parsed = fastavro.parse_schema(schema)

    def write(event: Event) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, event, **options)
        return out.getvalue()

    return write


def by_avro(schema: Event) -> Write:
    import avro.io
    import avro.schema

    writer = avro.io.DatumWriter(avro.schema.parse(json.dumps(without_logical_types(schema))))

    def write(event: Event) -> bytes:
        out = io.BytesIO()
        writer.write(event, avro.io.BinaryEncoder(out))
        return out.getvalue()

    return write


def by_cavro(schema: Event) -> Write:
    write: Write = importlib.import_module("cavro").Schema(json.dumps(without_logical_types(schema))).binary_encode
    return write


def by_avroc(schema: Event) -> Write:
    write: Write = importlib.import_module("avroc").compile_encoder(without_logical_types(schema))
    return write


def by_cerializer(schema: Event) -> Write:
    handler = importlib.import_module("cerializer.cerializer_handler")
    schemata = importlib.import_module("cerializer.schema_handler").CerializerSchemata
    schema = without_logical_types(schema)
    name = f"{schema['namespace']}.{schema['name']}"
    write: Write = handler.Cerializer(schemata([(name, schema)]), schema["namespace"], schema["name"]).serialize
    return write


WRITERS: dict[str, Callable[[Event], Write]] = {
    "fastavro": by_fastavro,
    "fastavro, no tuple notation": lambda schema: by_fastavro(schema, disable_tuple_notation=True),
    "fastavro, strict": lambda schema: by_fastavro(schema, strict_allow_default=True),
    "avro (Apache)": by_avro,
    "avroc": by_avroc,
    "cavro": by_cavro,
    "cerializer": by_cerializer,
    "ours": Writer,
    FLAT: lambda schema: Writer(schema, CONSTANTS),
}


def cpu_us(write: Write, data: list[Event], at_least_s: float = 0.05) -> float:
    """CPU microseconds an event."""
    done, started = 0, time.process_time()
    while (taken := time.process_time() - started) < at_least_s:
        for event in data:
            write(event)
        done += len(data)
    return 1e6 * taken / done


def measure(rounds: int) -> dict[str, list[float]]:
    """For each writer that is there, a figure a round, after one that does not count."""
    flat, schema = events(), load_schema()
    trees = [nested({**CONSTANTS, **event}) for event in flat]
    expected = [by_fastavro(schema)(event) for event in trees]
    writers: dict[str, Write] = {}
    for name, make in WRITERS.items():
        try:
            writers[name] = make(schema)
        except ModuleNotFoundError:
            continue
        if [writers[name](event) for event in (flat if name == FLAT else trees)] != expected:
            raise SystemExit(f"{name} writes other bytes than fastavro")
    figures: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(rounds + 1):
        for name, write in writers.items():
            figures[name].append(cpu_us(write, flat if name == FLAT else trees))
    return {name: values[1:] for name, values in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", dest="as_json", help="the figures of each round")
    options = parser.parse_args()
    figures = measure(options.rounds)
    if options.as_json:
        print(json.dumps({"machine": platform.platform(), "python": platform.python_version(), "us": figures}))
        return
    base = statistics.median(figures["fastavro"])
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}; {options.rounds} rounds"
    )
    print(f"{'':30}{'us/event':>10}{'from':>8}{'to':>8}{'x fastavro':>12}")
    for name, values in sorted(figures.items(), key=lambda item: -statistics.median(item[1])):
        median = statistics.median(values)
        print(f"{name:30}{median:10.1f}{min(values):8.1f}{max(values):8.1f}{base / median:12.1f}")


if __name__ == "__main__":
    main()
