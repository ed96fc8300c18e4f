"""The mutations: what each one breaks, how, and the scenario that brings it out."""

from typing import NamedTuple

from tests.mutations import scenarios
from tests.mutations.edits import Edit
from tests.mutations.run import Scenario

LOOP = "processor/stream_processor.py"
PRODUCER = "runtime/kafka/transactional_producer.py"
SINK = "processor/transaction_sink.py"
CONSUMER = "processor/group_consumer.py"
DEDUPLICATOR = "processor/deduplication/deduplicator.py"
RECORDS = "processor/pipeline/records.py"


def _breakpoint(file: str, text: str, name: str, *, before: bool = False, first: str = "") -> Edit:
    """A place after the line `text`, or before it; `first` is a statement before the place."""
    indent = text[: len(text) - len(text.lstrip())]
    place = f"{indent}{first}__import__('breakpoints').reached('{name}')\n"
    return Edit(file, text, place + text if before else text + place)


BREAKPOINTS = (
    Edit(LOOP, "\nimport structlog\n", "\nimport breakpoints\nimport structlog\n"),
    _breakpoint(LOOP, "        outcomes = self._process_batch(records)\n", "processed"),
    _breakpoint(PRODUCER, "        if offsets:\n", "written", before=True, first="producer.flush(5.0); "),
    _breakpoint(LOOP, "        ended.result()\n", "committed"),
    _breakpoint(SINK, '        """See `TransactionSink.abort`."""\n', "aborting"),
)
"""In every copy. When a processor starts, which says that the copy is what runs. After a batch is mapped; after its
records are on the brokers and before its offsets are; after its transaction is committed and before the deduplication
state is; before an abort."""


class Mutation(NamedTuple):
    """A fault of the product."""

    name: str
    what: str
    """For the table in docs/reliability.md."""
    scenario: Scenario
    edits: tuple[Edit, ...]
    survives: str = ""
    """What makes up for it, if the judge is not to find anything."""


_NO_OFFSETS = Edit(PRODUCER, "        if offsets:\n", "        if False:\n")

_PLAIN_COMMIT = (
    "self._consumer._consumer.commit(offsets=[__import__('confluent_kafka').TopicPartition("
    "self._consumer._topic, p, o) for p, o in {}.items()], asynchronous=False)\n"
)

_RANDOM_ID = Edit(
    "processor/service.py",
    'lambda: KafkaTransactionSink(settings, f"{processor.group_id}-{member}"),',
    'lambda: KafkaTransactionSink(settings, f"{processor.group_id}-{member}-{time.time_ns()}"),',
)

_NO_MEMBERSHIP = (
    Edit(
        CONSUMER,
        "        self._as_pattern = False\n",
        "        self._as_pattern = False\n"
        "        self._nobody = make_consumer(settings, {'group.id': processor.group_id})\n",
    ),
    Edit(
        CONSUMER,
        "            return self._consumer.consumer_group_metadata()\n",
        "            return self._nobody.consumer_group_metadata()\n",
    ),
)

_NOT_FINISHED = Edit(
    LOOP,
    "            self._finish()\n        except (TransactionAbortedError, ClientUnusableError,",
    "            pass\n        except (TransactionAbortedError, ClientUnusableError,",
)

_STATE_AHEAD = (
    Edit(
        LOOP,
        "        self._deduplicator.prepare_commit(positions)\n",
        "        self._deduplicator.prepare_commit(positions)\n        self._deduplicator.commit(positions)\n",
    ),
    Edit(
        "processor/deduplication/state_store.py",
        "        if state.next_offset > position:\n",
        "        if False:\n",
    ),
    Edit(
        LOOP,
        "            if self._deduplicator.next_offset(partition) > position:\n",
        "            if False:\n",
    ),
    Edit(
        "processor/deduplication/state_restore.py",
        "        if known == position:\n",
        "        if known >= position:\n",
    ),
)

MUTATIONS = (
    Mutation(
        "offsets-outside",
        "offsets are committed by the consumer, after the transaction",
        scenarios.killed_at_each_step,
        (
            _NO_OFFSETS,
            Edit(
                LOOP,
                "        self._metrics.record_commit(ended.tally)\n",
                "        "
                + _PLAIN_COMMIT.format("ended.positions")
                + "        self._metrics.record_commit(ended.tally)\n",
            ),
        ),
    ),
    Mutation(
        "at-most-once",
        "offsets are committed by the consumer, before the batch is written",
        scenarios.killed_at_each_step,
        (
            _NO_OFFSETS,
            Edit(
                LOOP,
                "        self._sink.write(records, outcomes)\n",
                "        " + _PLAIN_COMMIT.format("positions") + "        self._sink.write(records, outcomes)\n",
            ),
        ),
    ),
    Mutation(
        "last-offset",
        "the offset sent is the last record's rather than the next one's",
        scenarios.killed_at_each_step,
        (
            Edit(
                LOOP,
                "{record.partition: record.offset + 1 for record in records}",
                "{record.partition: record.offset for record in records}",
            ),
        ),
    ),
    Mutation(
        "held-back",
        "each transaction writes the batch before its own",
        scenarios.killed_at_each_step,
        (
            Edit(
                LOOP,
                "        self._sink.write(records, outcomes)\n",
                "        held, self._held = getattr(self, '_held', ((), ())), (records, outcomes)\n"
                "        self._sink.write(*held)\n",
            ),
        ),
    ),
    Mutation(
        "random-id",
        "each start takes a transactional id of its own, so that it neither ends nor fences what was before",
        scenarios.killed_in_a_transaction,
        (_RANDOM_ID,),
    ),
    Mutation(
        "random-id-replaced",
        "the same",
        scenarios.replaced_while_frozen,
        (_RANDOM_ID,),
        survives="the group refuses offsets of a former member (KIP-447)",
    ),
    Mutation(
        "random-id-no-membership",
        "the same, and the transaction does not say whose offsets it has",
        scenarios.replaced_while_frozen,
        (_RANDOM_ID, *_NO_MEMBERSHIP),
    ),
    Mutation(
        "no-membership",
        "the transaction does not say whose offsets it has",
        scenarios.frozen_until_another_takes_over,
        _NO_MEMBERSHIP,
    ),
    Mutation(
        "not-finished",
        "partitions are given up with a transaction in flight",
        scenarios.given_up_while_it_commits,
        (_NOT_FINISHED,),
        survives="the group refuses offsets of a former member (KIP-447)",
    ),
    Mutation(
        "not-finished-no-membership",
        "the same, and the transaction does not say whose offsets it has",
        scenarios.given_up_while_it_commits,
        (_NOT_FINISHED, *_NO_MEMBERSHIP),
    ),
    Mutation(
        "goes-on",
        "after an abort, reading goes on from where it was",
        scenarios.batches_refused,
        (
            Edit(
                LOOP,
                "            self._isolating = self._isolation_records\n        self._rewind()\n",
                "            self._isolating = self._isolation_records\n",
            ),
        ),
    ),
    Mutation(
        "wrong-order",
        "the next batch is committed although the one before failed",
        scenarios.batches_refused,
        (
            Edit(
                LOOP,
                "        self._finish()\n        self._last_written =",
                "        try:\n            self._finish()\n        except TransactionAbortedError:\n"
                "            self._sink.abort()\n        self._last_written =",
            ),
        ),
    ),
    Mutation(
        "state-ahead",
        "the deduplication state is written before the commit, and kept if it is ahead of the group",
        scenarios.frozen_in_a_transaction,
        _STATE_AHEAD,
        survives="no record is taken for a duplicate of itself",
    ),
    Mutation(
        "state-ahead-of-itself",
        "the same, and a record is taken for a duplicate of itself",
        scenarios.frozen_in_a_transaction,
        (*_STATE_AHEAD, Edit(DEDUPLICATOR, " and entry[0] != record.offset:", ":")),
    ),
    Mutation(
        "not-restored",
        "the deduplication state is not restored when a partition comes from another member",
        scenarios.repeated_to_another,
        (Edit("processor/deduplication/state_restore.py", "        if known == position:\n", "        if True:\n"),),
    ),
    Mutation(
        "window-one-more",
        "the deduplication window is a millisecond longer",
        scenarios.written_by_another_program,
        (
            Edit(
                DEDUPLICATOR,
                "timestamp_ms - entry[1] < self._window_ms and",
                "timestamp_ms - entry[1] <= self._window_ms and",
            ),
        ),
    ),
    Mutation(
        "window-one-less",
        "the deduplication window is a millisecond shorter",
        scenarios.written_by_another_program,
        (
            Edit(
                DEDUPLICATOR,
                "timestamp_ms - entry[1] < self._window_ms and",
                "timestamp_ms - entry[1] < self._window_ms - 1 and",
            ),
        ),
    ),
    Mutation(
        "window-not-renewed",
        "a duplicate does not renew the window",
        scenarios.written_by_another_program,
        (
            Edit(
                DEDUPLICATOR,
                "entries[key] = (entry[0], max(timestamp_ms, entry[1]))",
                "entries[key] = entry",
            ),
        ),
    ),
    Mutation(
        "identity-without-source",
        "events of two sources with one id are taken for one",
        scenarios.written_by_another_program,
        (Edit(RECORDS, "    return named + record", "    return b'0' + record"),),
    ),
    Mutation(
        "identity-without-attempt",
        "a letter that is sent back is taken for a duplicate",
        scenarios.written_by_another_program,
        (Edit(RECORDS, "record_headers.read_attempt(attempt).to_bytes", "record_headers.read_attempt(None).to_bytes"),),
    ),
    Mutation(
        "identity-cut-short",
        "of an id of more than 64 bytes only the first ones count",
        scenarios.written_by_another_program,
        (Edit(RECORDS, 'hashlib.sha512(plain).digest() + b"\\0"', "plain[:LONGEST_PLAIN]"),),
    ),
    Mutation(
        "early-answer",
        "ingest answers 200 before the brokers acknowledge",
        scenarios.bodies_refused,
        (
            Edit(
                "ingest/publisher.py",
                "        self._in_flight.add(delivery)\n",
                "        self._in_flight.add(delivery)\n        done.set_result(PublishOutcome.WRITTEN)\n",
            ),
        ),
    ),
    Mutation(
        "leader-only",
        "ingest answers 200 once the leader has the record, whatever its followers have",
        scenarios.leader_lost_that_was_alone,
        (
            Edit(
                "runtime/kafka/config.py",
                '"acks": "all", "enable.idempotence": True,',
                '**({"acks": "all"} if "transactional.id" in (fixed or {}) else {"acks": 1}),',
            ),
        ),
    ),
    Mutation(
        "random-key",
        "an event's record has a random key",
        scenarios.all_goes_well,
        (
            Edit(
                SINK,
                "                            produce(topic, outcome.value, outcome.key)\n",
                "                            produce(topic, outcome.value, str(hash(outcome)).encode())\n",
            ),
        ),
    ),
    Mutation(
        "body-rewritten",
        "ingest writes the body as it parsed it",
        scenarios.all_goes_well,
        (
            Edit(
                "ingest/webhook.py",
                "        headers: RecordHeaders = [\n",
                "        if identity.person is not None:\n"
                "            body = __import__('json').dumps(__import__('json').loads(body)).encode()\n"
                "        headers: RecordHeaders = [\n",
            ),
        ),
    ),
    Mutation(
        "field-dropped",
        "the mapping loses one of the body's fields",
        scenarios.all_goes_well,
        (
            Edit(
                "schemas/mapping/fields.csv",
                "properties.triggerEventId,data.trigger_event_id,",
                "properties.triggerEventId,data.trigger_event,",
            ),
        ),
    ),
    Mutation(
        "letter-dropped",
        "a record that makes no sense becomes nothing",
        scenarios.all_goes_well,
        (Edit(SINK, "                elif type(outcome) is DeadLetter:\n", "                elif False:\n"),),
    ),
)
