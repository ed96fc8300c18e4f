"""Run everything for hours, hurt something every five minutes, and tell what was lost, doubled or out of order.

    make soak HOURS=2     build/soak/flow.csv, processes.csv and faults.csv hold the curves, logs lie beside them

Three brokers, a registry, two ingests and four processors. The load is steady, with a burst of twenty times as much in
each period of five minutes and one fault of tests/chaos/faults.py; every half hour all processes are restarted in turn.
One ingest and one processor, the elders, are never hurt themselves: they live as long as the run, and their memory,
descriptors and threads are judged. Retention and deduplication window are short, so that the disk must be flat.
"""

import argparse
import csv
import ctypes.util
import os
import random
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from runtime.settings.model import GroupProtocol
from sternpost.local import LocalStack
from tests.chaos.faults import FAULTS
from tests.chaos.pipeline import Pipeline
from tests.chaos.records import DEAD_LETTERS, EVENTS, RAW
from tests.soak.ledger import DeadLetters, Events
from tests.soak.load import Load
from tests.soak.readers import Reader, events_reader, letters_reader, read_again
from tests.soak.resources import Usage, disk_growth, disk_mb, growth, usage

PERIOD_S = 300.0
RESTART_EVERY = 6
"""Periods between rolling restarts of everything."""

CALM_S = 30.0
"""From a period's begin to its fault."""

BURST_S = 1.0
BURST_FACTOR = 20
STEADY_AFTER_S = 3600.0
"""A quarter of it is more than retention and window: what they keep no longer grows then."""

SAMPLE_S = 10.0
WINDOW_S = 240
RETENTION_MS = 480_000
SEGMENT_BYTES = str(16 * 1024 * 1024)

SETTINGS = {
    # Fewer and larger requests: brokers, services and load share a machine, and hours are about time, not speed.
    "STERNPOST_INGEST__KAFKA_PROPERTIES": '{"linger.ms": "100"}',
    "STERNPOST_PROCESSOR__KAFKA_PROPERTIES": '{"fetch.min.bytes": "1048576", "fetch.wait.max.ms": "500"}',
    "STERNPOST_PROCESSOR__DEDUP_WINDOW_S": str(WINDOW_S),
    # RocksDB's cache keeps blocks of partitions that went to another member. It must be full before memory is judged.
    "STERNPOST_PROCESSOR__STATE_MEMORY_BYTES": str(32 * 1024 * 1024),
    "STERNPOST_TOPICS__RAW_RETENTION_MS": str(RETENTION_MS),
    "STERNPOST_TOPICS__EVENTS_RETENTION_MS": str(RETENTION_MS),
    "STERNPOST_TOPICS__DEAD_LETTERS_RETENTION_MS": str(RETENTION_MS),
}
JEMALLOC = ctypes.util.find_library("jemalloc")
"""What the image preloads. glibc keeps more of what was freed, the more often a partition is taken over."""

BROKERS = {
    "log.retention.check.interval.ms": "30000",
    "log.segment.bytes": SEGMENT_BYTES,
    "offsets.topic.segment.bytes": SEGMENT_BYTES,
    "transaction.state.log.segment.bytes": SEGMENT_BYTES,
    "metadata.log.segment.bytes": SEGMENT_BYTES,
    "metadata.max.retention.bytes": SEGMENT_BYTES,
}


class Soak:
    """One run, with its pipeline, load, readers and samples."""

    def __init__(self, pipeline: Pipeline, folder: Path, rate: int, seed: int) -> None:
        assert isinstance(pipeline.stack, LocalStack)
        self.pipeline, self.stack = pipeline, pipeline.stack
        self.rng = random.Random(seed)
        self.elder_ingest = pipeline.ingests[-1]
        self.elder_processor = pipeline.new_processor(9)
        self.load = Load(pipeline.endpoints, rate)
        self.events, self.letters = Events(from_the_first=True), DeadLetters()
        self.readers = (
            Reader(pipeline, EVENTS, events_reader(pipeline, self.events)),
            Reader(pipeline, DEAD_LETTERS, letters_reader(self.letters)),
        )
        self.slow: list[str] = []
        self.samples: dict[str, list[Usage]] = {}
        self.disk: list[float] = []
        self._folder = folder
        self._began = time.monotonic()
        self._closing = threading.Event()
        self._sampler = threading.Thread(target=self._sample)

    def run(self, hours: float) -> bool:
        """Run, and return whether all was well."""
        self.pipeline.start(self.elder_processor)
        self.elder_processor.wait_ready()
        self._began = time.monotonic()
        self._sampler.start()
        try:
            with self.readers[0], self.readers[1]:
                with self.load:
                    for period in range(round(hours * 3600 / PERIOD_S)):
                        self._period(period)
                self._await_flow("the end", PERIOD_S)
        finally:
            self._closing.set()
            self._sampler.join()
        self.pipeline.stop_service(self.elder_processor)
        return self._verdict()

    def _period(self, period: int) -> None:
        begun = self._began + period * PERIOD_S
        until = begun + PERIOD_S
        self._wait(begun + CALM_S)
        if period % RESTART_EVERY == RESTART_EVERY - 1:
            self._hurt("everything_restarted_in_turn", until)
        else:
            names = list(FAULTS)
            random.Random(period // len(names)).shuffle(names)
            self._hurt(names[period % len(names)], until)
        self.load.burst(round(self.load.rate * BURST_FACTOR * BURST_S))
        self._wait(until)

    def _hurt(self, name: str, until: float) -> None:
        before, begun = self.load.retries, time.monotonic()
        try:
            if name in FAULTS:
                FAULTS[name](self.pipeline, self.rng)
            else:
                self._restart_everything()
        except Exception as error:
            # Hours of curves and the ledger are worth keeping: tell it at the end.
            self.slow.append(f"{name} did not go as planned: {error!r}")
            say(self.slow[-1])
        took = time.monotonic() - begun
        recovered = self._await_flow(name, max(60.0, until - time.monotonic()))
        row = [round(begun - self._began), name, round(took, 1), round(recovered, 1), self.load.retries - before]
        with (self._folder / "faults.csv").open("a") as file:
            csv.writer(file).writerow(row)
        say(f"{row[0]} s: {name} took {took:.0f} s, all events out {recovered:.0f} s later; {self._flow()}")

    def _await_flow(self, what: str, patience_s: float) -> float:
        """Wait until what was acknowledged before is out; return the seconds."""
        begun = time.monotonic()
        target = self.load.acknowledged
        while self.events.count + self.letters.count < target:
            if time.monotonic() - begun > patience_s:
                self.slow.append(f"{what}: {self._flow()} after {patience_s:.0f} s")
                break
            self._closing.wait(0.2)
        return time.monotonic() - begun

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            for reader in self.readers:
                if reader.failure is not None:
                    raise reader.failure
            time.sleep(min(left, 1.0))  # a period's length is what it is

    def _restart_everything(self) -> None:
        pipeline = self.pipeline
        for service in (pipeline.ingests[0], *pipeline.processors):
            pipeline.stop_service(service)
            pipeline.start(service)
            service.wait_ready()
        admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
        for broker in pipeline.stack.brokers:
            broker.stop(60)
            broker.start()
            broker.wait_ready()
            while not in_sync(admin):
                time.sleep(0.5)

    def _flow(self) -> str:
        sent = self.load.acknowledged
        return f"{sent} acknowledged, {sent - self.events.count - self.letters.count} not out yet"

    def _sample(self) -> None:
        pipeline = self.pipeline
        with (
            (self._folder / "flow.csv").open("w", buffering=1) as flow,
            (self._folder / "processes.csv").open("w", buffering=1) as processes,
        ):
            flow_rows, process_rows = csv.writer(flow), csv.writer(processes)
            flow_rows.writerow(
                ["seconds", "acknowledged", "events", "dead_letters", "behind", "retries", "disk_mb", "load"]
            )
            process_rows.writerow(["seconds", "process", *Usage._fields])
            while not self._closing.wait(SAMPLE_S):
                seconds = round(time.monotonic() - self._began)
                watched = [*pipeline.ingests, *pipeline.processors, self.elder_processor]
                for process in (*watched, *self.stack.processes):
                    pid = process.pid
                    found = usage(pid) if pid is not None else None
                    if found is not None:
                        self.samples.setdefault(process.name, []).append(found)
                        process_rows.writerow([seconds, process.name, *(round(value, 1) for value in found)])
                self.disk.append(disk_mb(self.stack.folder) + disk_mb(pipeline.folder))
                busy = round(os.getloadavg()[0], 1)
                sent, events, letters = self.load.acknowledged, self.events.count, self.letters.count
                flow_rows.writerow(
                    [
                        seconds,
                        sent,
                        events,
                        letters,
                        sent - events - letters,
                        self.load.retries,
                        round(self.disk[-1]),
                        busy,
                    ]
                )

    def _verdict(self) -> bool:
        sent = self.load.sent
        again = read_again(self.pipeline)
        raw = end_offsets(self.pipeline, RAW)
        duplicates = raw - self.events.count - self.letters.count
        most = self.load.repeats + self.load.retries
        faults = [*self.events.faults, *self.letters.faults, *again.faults, *self.slow]
        faults += [*self.events.missing(sent), *self.letters.missing(sent), *again.missing(sent)]
        if not self.load.repeats <= duplicates <= most:
            faults.append(f"{duplicates} duplicates in raw, of {self.load.repeats} to {most} that were sent")
        elders = (self.elder_ingest.name, self.elder_processor.name)
        if time.monotonic() - self._began >= STEADY_AFTER_S:
            for name in elders:
                faults += growth(name, self.samples[name])
            faults += disk_growth(self.disk)
        else:
            say(
                f"memory, descriptors, threads and disk are judged in runs of {STEADY_AFTER_S / 3600:.0f} hours or more"
            )
        faults += [f"ended by itself: {end}" for end in self.pipeline.restarts if end.split(":")[0] in elders]
        say(
            f"{self.load.acknowledged} acknowledged = {self.events.count} events + {self.letters.count} dead letters; "
            f"{raw} raw records, {duplicates} of them duplicates; {self.load.repeats} sent again, "
            f"{self.load.retries} tries repeated; {again.count} events read once more; "
            f"{len(self.pipeline.restarts)} restarts of what had ended"
        )
        for fault in faults:
            say(f"FAULT: {fault}")
        return not faults


def in_sync(admin: AdminClient) -> bool:
    """Whether every partition has all of its replicas."""
    topics = admin.list_topics(timeout=30).topics.values()
    return all(len(one.isrs) == len(one.replicas) for topic in topics for one in topic.partitions.values())


def end_offsets(pipeline: Pipeline, topic: str) -> int:
    """Return how many records were ever written to a topic without transactions."""
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
    partitions = admin.list_topics(topic, timeout=30).topics[topic].partitions
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(topic, partition): latest for partition in partitions}
    return sum(found.result(30).offset for found in admin.list_offsets(wanted).values())


def say(text: str) -> None:
    sys.stdout.write(f"[soak] {text}\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code: 1 if anything was not well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("build/soak"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "faults.csv").write_text("seconds,fault,took_s,recovered_s,retries\n")
    settings = SETTINGS | ({"LD_PRELOAD": JEMALLOC} if JEMALLOC else {})
    with Pipeline(3, GroupProtocol.CLASSIC, ingests=2, settings=settings, broker_properties=BROKERS) as pipeline:
        say(f"{options.hours} hours, {options.rate} events a second; logs in {pipeline.folder}")
        say(f"services allocate with {JEMALLOC}" if JEMALLOC else "no jemalloc here: services allocate with glibc")
        well = Soak(pipeline, options.output, options.rate, options.seed).run(options.hours)
    say("all is well" if well else "not all is well")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
