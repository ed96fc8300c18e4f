"""How runs go: each scenario is the smallest one that brings out what its mutations break."""

import dataclasses
import time

from tests.chaos.load import Sent, event
from tests.mutations.breakpoints import FREEZE, HOLD, KILL, NOTE
from tests.mutations.run import PATIENCE_S, DidNotComeAboutError, Run, Scenario
from tests.support.waiting import until

WINDOW_S = 60
REFUSED_S = 5.0
ALONE_S = 10.0

GIVEN_UP_S = 45.0
"""For the second processor to process what it should not have got; without a mutation it does not."""


def _all_goes_well(run: Run) -> None:
    with run.load(300):
        pass


def _killed_at_each_step(run: Run) -> None:
    with run.raw.flow(rate=50):
        for step in ("processed", "written", "committed"):
            run.arm(step, KILL)
            run.await_taken(step)


def _killed_in_a_transaction(run: Run) -> None:
    """One that brokers would leave open for long: until it ends, no reader comes past its events."""
    run.process_some(100)
    run.arm("written", KILL)
    run.raw.more()
    run.await_taken("written")


def _frozen_in_a_transaction(run: Run) -> None:
    """Until the brokers have ended the transaction and the membership: then it goes on where it was."""
    run.process_some(300)
    run.arm("written", FREEZE)
    run.raw.more()
    run.await_taken("written")
    run.await_no_open_transaction()
    run.thaw()


def _frozen_until_another_takes_over(run: Run) -> None:
    """With a batch in hand and no transaction open; the other one has processed all when it goes on."""
    run.process_some(300)
    run.arm("processed", FREEZE)
    run.raw.more()
    run.await_taken("processed")
    if not run.drained():
        raise DidNotComeAboutError("the other processor did not take over")
    run.thaw()


def _replaced_while_frozen(run: Run) -> None:
    """In a transaction, by a process of its own name, as an orchestrator would that cannot reach its machine."""
    run.process_some(300)
    run.arm("written", FREEZE)
    run.raw.more()
    run.await_taken("written")
    (frozen,) = run.pipeline.processors
    run.pipeline.let_go(frozen)
    replacement = run.pipeline.new_processor(0)
    run.pipeline.processors.append(replacement)
    run.pipeline.start(replacement)
    if not run.drained():
        raise DidNotComeAboutError("the replacement did not go on")
    run.thaw()


def _given_up_while_it_commits(run: Run) -> None:
    """A processor has records of every partition in a transaction in flight when a second one gets some partitions."""
    run.process_some(300)
    (first,) = run.pipeline.processors
    run.pipeline.stop_service(first)
    run.raw.more()  # so that one fetch, and one batch, has all of them
    run.arm("written", HOLD)
    run.pipeline.start(first)
    run.await_taken("written")
    second = run.pipeline.new_processor(1)
    run.pipeline.processors.append(second)
    run.pipeline.start(second)
    run.await_log(first, '"revoked"')
    run.await_progress(GIVEN_UP_S)
    run.release("written")


def _repeated_to_another(run: Run) -> None:
    """A processor leaves for good, and what it has processed is sent again."""
    run.process_some(300)
    run.pipeline.stop_service(run.pipeline.processors[0])
    run.raw.write_again()


def _batches_refused(run: Run) -> None:
    """A transaction is aborted, and more waits behind it: brokers take single events, but not so many in one batch."""
    run.set_largest_batch(run.topics.events, 1_500)
    run.arm("aborting", NOTE)
    with run.raw.flow(at_once=1_000):
        run.await_taken("aborting")
        run.set_largest_batch(run.topics.events, 1 << 20)


def _bodies_refused(run: Run) -> None:
    """At first brokers take nothing into the raw topic; senders try again."""
    run.set_largest_batch(run.topics.raw, 100)
    with run.load(300):
        time.sleep(REFUSED_S)  # that it lasts is the fault itself
        run.set_largest_batch(run.topics.raw, 1 << 20)


def _leader_lost_that_was_alone(run: Run) -> None:
    """Its followers stand still, it takes what comes and is killed; they go on and know nothing of it."""
    *followers, alone = run.pipeline.stack.brokers
    # One thread waits for one partition: some are to send to those that the lonely broker leads.
    with run.load(600, threads=24) as load:
        until(lambda: len(load.acknowledged) > 100, PATIENCE_S)
        for broker in followers:
            broker.freeze()
        time.sleep(ALONE_S)  # that it lasts is the fault itself
        alone.kill()
        for broker in followers:
            broker.thaw()
        run.await_other_leaders(alone.id)
        alone.start()
        alone.wait_ready()


def _written_by_another_program(run: Run) -> None:
    """Repeats at the edges of the window, and identities that differ in one part, dated as Kafka lets a writer do."""
    begun = time.time_ns() // 1_000_000 - 20 * 60_000
    window_ms = 1000 * WINDOW_S

    def body(event_id: str, person: str, number: int = 0) -> Sent:
        return event(event_id, person, number, False, run.rng)

    renewed, expired, returned = body("renewed", "a"), body("expired", "b"), body("returned", "c")
    for at_ms in (0, window_ms - 1, 2 * window_ms - 2):
        run.raw.write(renewed, begun + at_ms)
    for at_ms in (0, window_ms, 2 * window_ms + 1):
        run.raw.write(expired, begun + at_ms)
    for attempt in (0, 1, 2):
        run.raw.write(returned, begun, attempt)
    for number, source in enumerate(("chaos", "other")):
        run.raw.write(dataclasses.replace(body("shared", "d", number), source=source), begun)
    for number, last in enumerate("xyz"):
        run.raw.write(body("long" * 16 + last, "e", number), begun)


all_goes_well = Scenario(_all_goes_well, processors=1, ingests=1)
killed_at_each_step = Scenario(_killed_at_each_step, processors=1)
killed_in_a_transaction = Scenario(_killed_in_a_transaction, processors=1, long_transactions=True)
frozen_in_a_transaction = Scenario(_frozen_in_a_transaction, processors=1)
frozen_until_another_takes_over = Scenario(_frozen_until_another_takes_over)
replaced_while_frozen = Scenario(_replaced_while_frozen, processors=1, long_transactions=True)
given_up_while_it_commits = Scenario(_given_up_while_it_commits, processors=1, long_transactions=True)
repeated_to_another = Scenario(_repeated_to_another)
batches_refused = Scenario(_batches_refused, processors=1)
leader_lost_that_was_alone = Scenario(_leader_lost_that_was_alone, processors=1, ingests=1, brokers=3)
bodies_refused = Scenario(_bodies_refused, processors=1, ingests=1)
written_by_another_program = Scenario(_written_by_another_program, processors=1, window_s=WINDOW_S, repeats=True)
