"""The processor service: puts the parts of each group member together, and runs them until they fail for good.

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
from processor.restart_policy import RestartPolicy
from processor.stream_processor import StreamProcessor
from processor.transaction_sink import KafkaTransactionSink
from runtime import logs, metrics
from runtime.errors import (
    ClientUnusableError,
    InstanceFencedError,
    InstanceInUseError,
    ProcessorHaltedError,
)
from runtime.kafka.admin import KafkaAdmin, check_topics
from runtime.kafka.config import for_service, record_limits
from runtime.kafka.errors import why_unreachable
from runtime.kafka.transactional_producer import check_client
from runtime.schema_registry import Registered, Registry, events_subject
from runtime.settings.model import Settings
from runtime.supervisor import Supervisor, Worker
from schemas.track_event import load_schema

log = structlog.get_logger()

COMPILED = not str(records.__file__).endswith(".py")
"""Whether the hot path runs compiled (tools/compile.py), which takes a third of the CPU."""


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
    restarts = RestartPolicy(processor.group_id, member)
    while not worker.stopping.is_set():
        stream_processor: StreamProcessor | None = None
        begun, cause = time.monotonic(), ""
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
        except (ClientUnusableError, InstanceInUseError, InstanceFencedError) as error:
            unreachable = why_unreachable(settings)
            cause = restarts.cause(error, begun, unreachable)
            if unreachable:
                cause += f" ({unreachable})"
            log.warning("restarting the consumer and producer", cause=cause)
            if not isinstance(error, InstanceInUseError):  # then it had no membership yet
                metrics.PROCESSOR_RESTARTS.labels().inc()
            worker.ready(False, f"restarting: {cause}")
            worker.beat()
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
        if cause:
            worker.stopping.wait(restarts.next_pause_s())


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
