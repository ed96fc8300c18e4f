"""One run: ingest and processors from a copy of the product, on brokers that runs share, and what a scenario can do."""

import os
import random
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from click.testing import CliRunner
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from runtime.settings.model import GroupProtocol
from sternpost.cli.main import cli
from sternpost.local import LocalStack
from tests.chaos.load import Load
from tests.chaos.oracle import Watch, read_topics
from tests.chaos.pipeline import PARTITIONS, SHUTDOWN_S, Pipeline, Service
from tests.chaos.records import Topics
from tests.chaos.verdict import Verdict, Witness, weigh
from tests.mutations import breakpoints
from tests.mutations.edits import Edit, copy_tree
from tests.mutations.raw_writer import RawWriter
from tests.support.kafka import Kafka
from tests.support.waiting import until

PATIENCE_S = 180.0
"""For something that must come about, on a machine that does much else."""

DRAIN_S = 180.0
"""For a mutated processor to come to the end of the raw topic, which it may never do."""

BATCH_RECORDS = 50


class DidNotComeAboutError(Exception):
    """The scenario did not get to where its fault is: the run says nothing."""


class Scenario(NamedTuple):
    """How a run goes, and with what."""

    play: "Callable[[Run], None]"
    processors: int = 2
    ingests: int = 0
    """Where none takes part, the scenario writes the raw topic itself."""
    brokers: int = 1
    window_s: int = 86_400
    repeats: bool = False
    """Whether one event is rightly there more than once: then what the reader saw meanwhile says nothing."""
    long_transactions: bool = False
    """Whether brokers keep a frozen processor's transaction and membership for as long as a scenario may take."""


class SharedStack:
    """A running Kafka and registry that outlive the runs on them."""

    def __init__(self, stack: Kafka | LocalStack) -> None:
        self._stack = stack

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It goes on for the next run."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stack, name)


class _Pipeline(Pipeline):
    """With settings of its own for the processors, which may be let go."""

    def __init__(self, scenario: Scenario, stack: SharedStack) -> None:
        self._scenario = scenario
        self._shared = stack
        super().__init__(scenario.processors, GroupProtocol.CLASSIC, scenario.ingests)

    def new_stack(self) -> SharedStack:
        return self._shared

    def prepare(self) -> None:
        """In this process, which is quicker: what commands do is not what is mutated."""
        for command in (["topics", "create"], ["schema", "register"]):
            result = CliRunner(env=self.env).invoke(cli, command)
            assert result.exit_code == 0, result.output

    def new_processor(self, number: int) -> Service:
        if self._scenario.long_transactions:
            self.env["STERNPOST_PROCESSOR__TRANSACTION_TIMEOUT_MS"] = "240000"
            self.env["STERNPOST_PROCESSOR__SESSION_TIMEOUT_MS"] = "270000"
        return super().new_processor(number)

    def let_go(self, service: Service) -> None:
        """No longer start it again if it ends."""
        with self._lock:
            self._kept.discard(service)


class Run:
    """A pipeline of a copy, its load and its reader, as scenarios use them."""

    def __init__(self, scenario: Scenario, edits: Iterable[Edit], stack: SharedStack, seed: int = 1) -> None:
        """Copy the product with the edits. Raises StaleEditError."""
        self.rng = random.Random(seed)
        self._scenario = scenario
        self._seed = seed
        self._folder = Path(tempfile.mkdtemp(prefix="sternpost-mutation-"))
        self._breakpoints = self._folder / "breakpoints"
        self._breakpoints.mkdir()
        self._copy = self._folder / "copy"
        copy_tree(self._copy, edits)
        name = uuid.uuid4().hex[:8]
        self.topics = Topics(f"raw-{name}", f"events-{name}", f"dead-letters-{name}")
        self.pipeline = _Pipeline(scenario, stack)
        self._exits = ExitStack()
        self._load: Load | None = None
        self._group = f"sternpost-{name}"
        servers = stack.bootstrap_servers
        self._readers = {
            isolation: Consumer({"bootstrap.servers": servers, "group.id": "ends", "isolation.level": isolation})
            for isolation in ("read_committed", "read_uncommitted")
        }
        self._admin = AdminClient({"bootstrap.servers": servers})
        self.raw = RawWriter(servers, self.topics.raw, self.rng)

    def __enter__(self) -> Self:
        self._exits.enter_context(
            _Environment(
                {
                    "PYTHONPATH": str(self._copy),
                    "PURE_PYTHON": "1",
                    "PYTHONDONTWRITEBYTECODE": "",
                    "PYTHONPYCACHEPREFIX": "",
                    breakpoints.FOLDER: str(self._breakpoints),
                    "STERNPOST_TOPICS__RAW": self.topics.raw,
                    "STERNPOST_TOPICS__EVENTS": self.topics.events,
                    "STERNPOST_TOPICS__DEAD_LETTERS": self.topics.dead_letters,
                    "STERNPOST_TOPICS__REPLICATION_FACTOR": str(self._scenario.brokers),
                    "STERNPOST_TOPICS__MIN_INSYNC_REPLICAS": str(self._scenario.brokers // 2 + 1),
                    "STERNPOST_PROCESSOR__GROUP_ID": self._group,
                    "STERNPOST_PROCESSOR__BATCH_MAX_RECORDS": str(BATCH_RECORDS),
                    "STERNPOST_PROCESSOR__DEDUP_WINDOW_S": str(self._scenario.window_s),
                }
            )
        )
        try:
            self._exits.enter_context(self.pipeline)
            self._watch = Watch(self.pipeline, self.topics)
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._watch.close()
        self._exits.__exit__(kind, error, where)
        for reader in self._readers.values():
            reader.close()
        for deleted in self._admin.delete_topics(list(self.topics)).values():
            deleted.exception(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def verdict(self) -> Verdict:
        """Play the scenario, let the processors end in order, and judge. Raises DidNotComeAboutError."""
        # Otherwise another tree runs than the copy. A slow machine may not have started the processors yet.
        until((self._breakpoints / breakpoints.IMPORTED).exists, PATIENCE_S)
        self._scenario.play(self)
        ended = self.drained(DRAIN_S)
        for processor in self.pipeline.processors:
            self.pipeline.let_go(processor)
            processor.signal_all(signal.SIGCONT)
            processor.stop(2 * SHUTDOWN_S)
        self._watch.close()
        acknowledged = [*self.raw.acknowledged, *(self._load.acknowledged if self._load else ())]
        window_ms = 1000 * self._scenario.window_s
        witness = Witness() if self._scenario.repeats else self._watch.witness
        # A mutation that only stops the processor is not found: what it left may still be processed.
        pending = {} if ended else self._committed()
        return weigh(acknowledged, *read_topics(self.pipeline, self.topics), witness, window_ms, pending)

    def load(self, count: int, rate: int = 100, threads: int = 6) -> Load:
        """Send so many webhooks to ingest, in a `with` block."""
        self._load = Load(self.pipeline, self._seed, count, rate, threads)
        return self._load

    def process_some(self, count: int) -> None:
        """Write so many events to the raw topic at once, and wait until they are processed."""
        with self.raw.flow(at_once=count):
            pass
        self.drained()

    def drained(self, patience_s: float = PATIENCE_S) -> bool:
        """Wait until the group has come to the end of the raw topic, and return whether it has."""
        deadline = time.monotonic() + patience_s
        while self._behind() and time.monotonic() < deadline:
            time.sleep(0.5)
        return not self._behind()

    def arm(self, name: str, action: str) -> None:
        """Have a breakpoint do something the next time a processor reaches it."""
        for suffix in (breakpoints.TAKEN, breakpoints.RELEASED):
            (self._breakpoints / name).with_suffix(suffix).unlink(missing_ok=True)
        prepared = self._breakpoints / f"{name}.prepared"
        prepared.write_text(action)
        prepared.rename(self._breakpoints / name)

    def await_taken(self, name: str) -> None:
        """Wait until a processor has reached it. Raises DidNotComeAboutError."""
        deadline = time.monotonic() + PATIENCE_S
        while not (self._breakpoints / name).with_suffix(breakpoints.TAKEN).exists():
            if time.monotonic() > deadline:
                raise DidNotComeAboutError(f"no processor came to {name}")
            time.sleep(0.02)

    def await_log(self, service: Service, text: str) -> None:
        """Wait until a service has logged it. Raises DidNotComeAboutError."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in service.output():
            if time.monotonic() > deadline:
                raise DidNotComeAboutError(f"{service.name} did not log {text}")
            time.sleep(0.1)

    def await_progress(self, patience_s: float) -> None:
        """Wait until the group has come further in any partition, or the time is over."""
        before, deadline = self._behind(), time.monotonic() + patience_s
        while self._behind() == before and time.monotonic() < deadline:
            time.sleep(0.1)

    def release(self, name: str) -> None:
        """Have a held thread go on."""
        (self._breakpoints / name).with_suffix(breakpoints.RELEASED).touch()

    def thaw(self) -> None:
        """Have whatever is frozen go on."""
        for processor in self.pipeline.processors:
            processor.signal_all(signal.SIGCONT)

    def await_no_open_transaction(self) -> None:
        """Wait until the brokers have ended every transaction in the events topic."""
        until(lambda: self._ends("read_committed") == self._ends("read_uncommitted"), PATIENCE_S)

    def await_other_leaders(self, broker: int) -> None:
        """Wait until other brokers lead all partitions of the raw topic."""

        def others() -> bool:
            partitions = self._admin.list_topics(self.topics.raw, timeout=60).topics[self.topics.raw].partitions
            return all(partition.leader not in (-1, broker) for partition in partitions.values())

        until(others, PATIENCE_S)

    def set_largest_batch(self, topic: str, size: int) -> None:
        """Have brokers refuse larger batches of a topic, in bytes."""
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result(60)

    def _behind(self) -> set[int]:
        """Return the partitions of the raw topic with records that the group has not processed."""
        committed, ends = self._committed(), self._ends_of(self.topics.raw)
        return {partition for partition, end in ends.items() if end and committed[partition] < end}

    def _committed(self) -> dict[int, int]:
        asked = [TopicPartition(self.topics.raw, partition) for partition in range(PARTITIONS)]
        of_group = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group, asked)])
        return {one.partition: one.offset for one in of_group[self._group].result(60).topic_partitions}

    def _ends(self, isolation: str) -> dict[int, int]:
        return self._ends_of(self.topics.events, isolation)

    def _ends_of(self, topic: str, isolation: str = "read_committed") -> dict[int, int]:
        reader = self._readers[isolation]
        return {
            partition: reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)[1]
            for partition in range(PARTITIONS)
        }


class _Environment:
    """Environment variables, while a `with` block lasts; what starts meanwhile inherits them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._before = dict(os.environ)

    def __enter__(self) -> None:
        os.environ.update(self._variables)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)
