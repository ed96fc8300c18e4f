"""The processor service: builds the parts of each group member, and decides what restarts or ends it.

raw topic ──▶ KafkaGroupConsumer ──▶ BatchProcessor ──▶ KafkaTransactionSink ──▶ events, dead letters, offsets
                                     (deduplicate, map, encode)
                                       └── state, restored from the raw topic
"""

import gc
import time
from functools import partial
from typing import Any

import structlog

from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_restore import KafkaRestoreConsumer
from processor.deduplication.state_store import NullStateStore, StateDirectory, StateError, unusable_folder
from processor.gc_tuning import raise_gc_thresholds
from processor.group_consumer import KafkaGroupConsumer, check_group_protocol
from processor.interfaces import OpenState
from processor.pipeline import records
from processor.pipeline.pipeline import BatchProcessor, build_pipeline
from processor.stream_processor import StreamProcessor
from processor.transaction_sink import KafkaTransactionSink
from runtime import logs, metrics
from runtime.errors import (
    ClientUnusableError,
    ConfigurationError,
    InstanceFencedError,
    InstanceInUseError,
    ProcessorHaltedError,
)
from runtime.kafka.admin import KafkaAdmin, check_topics
from runtime.kafka.config import for_service, record_limits
from runtime.kafka.errors import why_unreachable
from runtime.kafka.transactional_producer import check_client
from runtime.schema_registry import Registered, Registry, events_subject
from runtime.settings.model import ProcessorSettings, Settings
from runtime.supervisor import Supervisor, Worker
from schemas.track_event import load_schema

log = structlog.get_logger()

COMPILED = not str(records.__file__).endswith(".py")
"""Whether the hot path runs compiled (tools/compile.py), which takes a third of the CPU."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""The pause after a stream processor failed; doubled after each failure in a row."""

STABLE_AFTER_S = 60.0
"""A stream processor that ran this long resets the pause."""

RELEASE_S = 90.0
"""How long brokers may count a dead process as a member: longer than `group.consumer.max.session.timeout.ms`, 60 s by
default (https://kafka.apache.org/documentation/#brokerconfigs_group.consumer.max.session.timeout.ms)."""

MOST_FENCINGS, FENCED_WITHIN_S = 2, 300.0
"""How often a member may lose its place to one of its name and take it back. Brokers give a static member's place to
each process that asks for it (KIP-345), so if the answer to a request is lost, the member that repeats it has lost its
place to itself. Two processes with one name take it from each other until one of them ends."""


def run(settings: Settings) -> int:
    """Process until SIGTERM or SIGINT, and return the exit code.

    Raises ConfigurationError and DependencyError if the service cannot start.
    """
    logs.configure(settings.log, service="processor")
    settings = for_service(settings, "processor")
    processor, topics = settings.processor, settings.topics
    # librdkafka rejects wrong properties here rather than in each worker.
    check_client(settings, f"{processor.group_id}-check", processor.transaction_timeout_ms)
    check_topics(settings, [topics.raw, topics.events, topics.dead_letters])
    check_group_protocol(settings)
    supervisor = Supervisor(
        "processor",
        run_worker,
        processor.workers,
        settings,
        stop_timeout_s=processor.shutdown_timeout_ms / 1000,
        liveness_timeout_s=processor.max_poll_interval_ms / 1000,
    )
    return supervisor.serve(processor.admin_host, processor.admin_port)


def run_worker(worker: Worker) -> None:
    """Run one group member until the worker is told to stop.

    Raises ConfigurationError if another process has its place or the brokers lack the group protocol, DependencyError
    if the disk or the brokers refuse, and ProcessorHaltedError.
    """
    settings, processor = worker.settings, worker.settings.processor
    member = f"{processor.instance_id}-{worker.index}"
    schema = load_schema()
    registered: Registered | None = worker.kept or _await_schema(worker, schema)
    if registered is None:
        return
    worker.keep(registered)  # so that it can be restarted without the registry
    deduplicator = Deduplicator(processor.dedup_window_s * 1000)
    batch_processor = BatchProcessor(
        deduplicator,
        build_pipeline(processor.profile, schema_id=registered.id, max_event_bytes=record_limits(settings).events),
    )
    log.info("pipeline made", profile=processor.profile, schema_id=registered.id, compiled=COMPILED)
    open_state = _state_opener(settings)
    raise_gc_thresholds(settings.processor.batch_max_records)
    pause_s = FIRST_PAUSE_S
    in_use_since: float | None = None
    fenced: list[float] = []
    while not worker.stopping.is_set():
        stream_processor: StreamProcessor | None = None
        begun, broke = time.monotonic(), False
        try:
            stream_processor = StreamProcessor(
                worker,
                processor,
                batch_processor,
                deduplicator,
                open_state,
                KafkaRestoreConsumer(settings),
                lambda: KafkaTransactionSink(settings, f"{processor.group_id}-{member}"),
                lambda listener: KafkaGroupConsumer(settings, member, listener),
                [source.name for source in settings.sources],
                partial(why_unreachable, settings),
            )
            stream_processor.run()
        except ClientUnusableError as error:
            if time.monotonic() - begun > STABLE_AFTER_S:
                pause_s = FIRST_PAUSE_S
            why = why_unreachable(settings)
            cause = f"{error} ({why})" if why else str(error)
            log.error("restarting the consumer and producer", cause=cause, pause_s=pause_s)  # noqa: TRY400 (the traceback adds nothing)
            metrics.PROCESSOR_RESTARTS.labels().inc()
            worker.ready(False, f"restarting after {cause}")
            worker.beat()
            broke = True
        except InstanceInUseError:
            if in_use_since is None or begun - in_use_since > RELEASE_S + STABLE_AFTER_S:  # or it is another time
                in_use_since = begun
            if time.monotonic() - in_use_since > RELEASE_S:
                raise _not_alone(processor, member) from None
            reason = f"the brokers still count an earlier process as member {member}, until its session times out"
            log.warning("waiting for the place in the group", reason=reason)
            worker.ready(False, reason)
            worker.beat()
            broke = True
        except InstanceFencedError:
            now = time.monotonic()
            fenced = [*(at for at in fenced if now - at < FENCED_WITHIN_S), now]
            if len(fenced) > MOST_FENCINGS:
                raise _not_alone(processor, member) from None
            # The brokers may have given the place to this very member, in an answer to its request that was lost.
            reason = f"the brokers gave the place of member {member} to another, which may be an earlier self"
            log.warning("joining the group again", reason=reason)
            worker.ready(False, reason)
            worker.beat()
            broke = True
        except StateError as error:
            raise unusable_folder(processor.state_dir, error) from None
        except ProcessorHaltedError:
            metrics.PROCESSOR_HALTS.labels().inc()
            raise
        finally:
            if stream_processor is not None:
                stream_processor.close()
        stream_processor = None
        gc.collect()  # reference cycles that hold clients, with their threads and connections
        if broke:
            worker.stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _not_alone(processor: ProcessorSettings, member: str) -> ConfigurationError:
    return ConfigurationError(
        f"another process is member {member} of the group {processor.group_id}: give each machine a "
        "processor.instance_id of its own"
    )


def _await_schema(worker: Worker, schema: dict[str, Any]) -> Registered | None:
    """Wait for the registry and return the schema's registration, or None if the worker is told to stop before.

    Raises RegistryMisconfiguredError and RegistryRefusedError, after which asking again would not help.
    """
    settings = worker.settings
    worker.ready(False, "waiting for the schema registry")
    with Registry(settings.schema_registry) as registry:  # not needed any more once the id is known
        return registry.wait_for(
            events_subject(settings, schema),
            schema,
            worker.stopping,
            register=settings.schema_registry.auto_register,
            waiting=worker.beat,
        )


def _state_opener(settings: Settings) -> OpenState:
    """Return what opens the state of a partition: on disk, or an empty one without deduplication."""
    processor, raw = settings.processor, settings.topics.raw
    if not processor.dedup_window_s:
        return lambda _, position, __: NullStateStore(position)
    topic_id = str(KafkaAdmin(settings).describe_topic(raw).topic_id)
    memory = RocksDBResources(processor.state_memory_bytes)
    window_ms, protocol = processor.dedup_window_s * 1000, processor.group_protocol
    return StateDirectory(processor.state_dir, raw, topic_id, window_ms, memory, protocol).open
