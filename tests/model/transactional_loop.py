"""A model of the transactional loop, small enough to try every order of its steps.

Two processors of one group share one partition of three records; the third is a duplicate of the first. The model has
the brokers' side of transactions (epochs, one open transaction for each transactional id, offsets that are pending
until it ends, the last stable offset), a network on which the end of a transaction may be delayed and sent again, and
the deduplication state on each processor's disk. At any step a processor may crash, the group may give the partition to
the other one without the first one noticing, and the brokers may let a transaction time out.

`explore` visits every reachable state, breadth first, and returns the shortest way to one that breaks the guarantee:
what a read_committed reader sees is each event once, in order, and no committed offset is ahead of it. `Rules` has one
flag for each rule that the processor keeps; without one of them there is such a way.

What it leaves out: records that the brokers lose, and the batch that is polled while another one is committed.
Kafka's side: https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging
"""

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

RAW = ("a", "b", "a")
EXPECTED = ("a", "b")

Phase = Literal["stopped", "connected", "reading", "writing", "offsets sent", "committing"]


@dataclass(frozen=True)
class Rules:
    """What the processor and its client do to keep the guarantee."""

    producer_fences: bool = True
    """A new producer raises the epoch of its transactional id and ends what was open."""
    stable_offsets: bool = True
    """Committed offsets are read only when no transaction with new ones is open."""
    offsets_in_transaction: bool = True
    """Offsets are part of the transaction rather than committed after it."""
    membership_checked: bool = True
    """Offsets carry the membership of the consumer, and a former member's are refused."""
    rewinds_after_abort: bool = True
    """After a transaction that did not take place, reading starts again from the committed offsets."""
    replaces_after_doubt: bool = True
    """After a request that was sent twice, the producer is replaced before the next transaction."""
    sees_every_resend: bool = True
    """The client tells of each request that it sent twice. librdkafka does not promise that."""
    replaces_always: bool = False
    """The producer is replaced before each transaction, doubt or not."""
    state_after_commit: bool = True
    """The deduplication state remembers a record only when its transaction has been committed."""
    state_never_ahead: bool = True
    """A state that is ahead of the committed offset is dropped."""
    state_restored: bool = True
    """A state that is behind the committed offset is restored before the next record."""
    knows_its_own_batch: bool = True
    """Duplicates within one transaction are found."""


class Written(NamedTuple):
    """An event in the events topic."""

    event: str
    owner: int
    status: Literal["open", "committed", "aborted"]


class Coordinator(NamedTuple):
    """What the brokers know of one transactional id."""

    epoch: int = 0
    ongoing: bool = False
    pending: int | None = None
    """The offset that is committed if the transaction is."""


class Processor(NamedTuple):
    """One processor: its process, and the state on its disk, which survives a crash."""

    phase: Phase = "stopped"
    epoch: int = 0
    generation: int = 0
    """Of its membership, as it believes."""
    position: int = 0
    """The next record to read."""
    begun_at: int = 0
    """Where the transaction began."""
    doubt: bool = False
    """Whether it knows that a request may still be on its way."""
    seen: int = 0
    """The deduplication state has the records before this offset."""


class State(NamedTuple):
    """Everything at one moment."""

    processors: tuple[Processor, Processor] = (Processor(), Processor())
    coordinators: tuple[Coordinator, Coordinator] = (Coordinator(), Coordinator())
    log: tuple[Written, ...] = ()
    offset: int = 0
    owner: int = 0
    generation: int = 0
    network: tuple[tuple[int, int], ...] = ()
    """Requests to commit that are on their way: whose, and with which epoch."""
    crashes: int = 0
    rebalances: int = 0
    resends: int = 0
    timeouts: int = 0


@dataclass(frozen=True)
class Bounds:
    """How often the world may misbehave on one way."""

    crashes: int = 1
    rebalances: int = 1
    resends: int = 1
    timeouts: int = 1


class Exploration(NamedTuple):
    """The number of states, and the steps to the first one that breaks the guarantee, if any."""

    states: int
    trace: list[str] | None
    reached_end: bool
    """Whether all records can be processed: a loop that never commits would keep every rule."""


def explore(rules: Rules, bounds: Bounds | None = None) -> Exploration:
    """Visit every state that the rules allow. Stops at the first one that breaks the guarantee."""
    gc.disable()  # there will be millions of tuples, and no cycle among them
    try:
        return _explore(rules, bounds or Bounds())
    finally:
        gc.enable()


def _explore(rules: Rules, bounds: Bounds) -> Exploration:
    start = State()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    queue, reached_end = deque([start]), False
    while queue:
        state = queue.popleft()
        if fault := broken(state):
            return Exploration(len(came_from), [*_way(came_from, state), fault], reached_end)
        reached_end = reached_end or (state.offset == len(RAW) and visible(state) == EXPECTED)
        for what, step in steps(state, rules, bounds):
            if (after := canonical(step)) not in came_from:
                came_from[after] = (state, what)
                queue.append(after)
    return Exploration(len(came_from), None, reached_end)


def canonical(state: State) -> State:
    """Return the state with the epochs of each transactional id numbered from 0, in their order.

    All that matters of an epoch is which others it equals, and that a new one, the coordinator's and one, is higher
    than all. So states that differ in no more than the numbers are one. A processor that is stopped has no epoch.
    """
    for who in (0, 1):
        me, coordinator = state.processors[who], state.coordinators[who]
        epochs = {coordinator.epoch, *(epoch for owner, epoch in state.network if owner == who)}
        if me.phase != "stopped":
            epochs.add(me.epoch)
        if coordinator.epoch == len(epochs) - 1:
            continue
        number = {epoch: number for number, epoch in enumerate(sorted(epochs))}
        state = _coordinate(state, who, epoch=number[coordinator.epoch])
        if me.phase != "stopped":
            state = _set(state, who, epoch=number[me.epoch])
        network = ((owner, number[epoch] if owner == who else epoch) for owner, epoch in state.network)
        state = state._replace(network=tuple(network))
    return state


def visible(state: State) -> tuple[str, ...]:
    """Return the events that a read_committed reader sees: up to the first open transaction, without aborted ones."""
    events: list[str] = []
    for written in state.log:
        if written.status == "open":
            break
        if written.status == "committed":
            events.append(written.event)
    return tuple(events)


def broken(state: State) -> str | None:
    """Return how the state breaks the guarantee, or None."""
    seen = visible(state)
    if seen != EXPECTED[: len(seen)]:
        return f"a reader sees {', '.join(seen)}"
    # What is committed behind another's open transaction becomes visible when that ends.
    done = {written.event for written in state.log if written.status == "committed"}
    if missing := [event for event in dict.fromkeys(RAW[: state.offset]) if event not in done]:
        return f"the offset {state.offset} is committed, and {', '.join(missing)} is missing"
    return None


def steps(state: State, rules: Rules, bounds: Bounds) -> Iterator[tuple[str, State]]:
    """Yield every possible next step and the state after it."""
    for who in (0, 1):
        yield from _processor_steps(state, who, rules)
        yield from _faults_of(state, who, bounds)
    for request in dict.fromkeys(state.network):
        yield _arrive(state, request, rules)
    if state.rebalances < bounds.rebalances:
        moved = state._replace(owner=1 - state.owner, generation=state.generation + 1)
        yield f"the group gives the partition to {1 - state.owner}", moved._replace(rebalances=state.rebalances + 1)


def _processor_steps(state: State, who: int, rules: Rules) -> Iterator[tuple[str, State]]:
    me = state.processors[who]
    if me.phase == "stopped":
        yield f"{who} creates a producer", _connect(state, who, rules)
    elif me.phase == "connected":
        if may_join(state, who, rules):
            yield f"{who} reads the committed offset", _join(state, who, rules)
    elif me.phase in ("reading", "writing"):
        if me.position < len(RAW):
            yield f"{who} processes record {me.position}", _process(state, who, rules)
        if me.phase == "writing":
            yield f"{who} sends its offsets", _send_offsets(state, who, rules)
    elif me.phase == "offsets sent":
        sent = state._replace(network=_sorted(*state.network, (who, me.epoch)))
        if not rules.state_after_commit:
            sent = _set(sent, who, seen=me.position)
        yield f"{who} asks to commit", _set(sent, who, phase="committing")


def _faults_of(state: State, who: int, bounds: Bounds) -> Iterator[tuple[str, State]]:
    me, coordinator = state.processors[who], state.coordinators[who]
    if me.phase != "stopped" and state.crashes < bounds.crashes:
        yield f"{who} crashes", _set(state, who, **_STOPPED)._replace(crashes=state.crashes + 1)
    if me.phase == "committing" and state.resends < bounds.resends:
        again = state._replace(network=_sorted(*state.network, (who, me.epoch)), resends=state.resends + 1)
        yield f"{who} asks to commit again", _set(again, who, doubt=True)
    if coordinator.ongoing and state.timeouts < bounds.timeouts:
        timed_out = _end(state, who, commit=False)
        raised = _coordinate(timed_out, who, epoch=coordinator.epoch + 1)
        yield f"the brokers abort the transaction of {who}", raised._replace(timeouts=state.timeouts + 1)


_STOPPED = Processor()._asdict()
del _STOPPED["seen"]  # it is on disk


def may_join(state: State, who: int, rules: Rules) -> bool:
    """Return whether the group gives the processor the partition, and the brokers tell it the committed offset."""
    pending = any(coordinator.pending is not None for coordinator in state.coordinators)
    return state.owner == who and not (rules.stable_offsets and pending)


def _connect(state: State, who: int, rules: Rules) -> State:
    """`init_transactions`: end what is open, and raise the epoch."""
    if rules.producer_fences:
        state = _end(state, who, commit=False)
        state = _coordinate(state, who, epoch=state.coordinators[who].epoch + 1)
    return _set(state, who, phase="connected", epoch=state.coordinators[who].epoch, doubt=False)


def _join(state: State, who: int, rules: Rules) -> State:
    me, offset = state.processors[who], state.offset
    seen = me.seen
    if seen > offset and rules.state_never_ahead:
        seen = offset  # dropped, and restored up to the offset
    if seen < offset and rules.state_restored:
        seen = offset
    return _set(state, who, phase="reading", generation=state.generation, position=offset, begun_at=offset, seen=seen)


def _process(state: State, who: int, rules: Rules) -> State:
    """Read a record; if it is no duplicate, write its event. A fenced producer ends the processor."""
    me, coordinator = state.processors[who], state.coordinators[who]
    if coordinator.epoch != me.epoch:
        return _set(state, who, **_STOPPED)
    if me.phase == "reading" and (rules.replaces_always or (me.doubt and rules.replaces_after_doubt)):
        state = _set(_connect(state, who, rules), who, phase="reading")
        me = state.processors[who]
    event = RAW[me.position]
    known = event in (RAW[: me.position] if me.seen == me.begun_at else RAW[: me.seen])
    if me.seen == me.begun_at and not rules.knows_its_own_batch:
        known = event in RAW[: me.begun_at]
    if not known:
        state = state._replace(log=(*state.log, Written(event, who, "open")))
        state = _coordinate(state, who, ongoing=True)
    return _set(state, who, phase="writing", position=me.position + 1)


def _send_offsets(state: State, who: int, rules: Rules) -> State:
    """Add the offsets to the transaction. Aborts if the brokers do not know the membership any more."""
    me, coordinator = state.processors[who], state.coordinators[who]
    if coordinator.epoch != me.epoch:
        return _set(state, who, **_STOPPED)
    if rules.membership_checked and (state.owner, state.generation) != (who, me.generation):
        return _give_up(state, who, rules)
    if rules.offsets_in_transaction:
        state = _coordinate(state, who, ongoing=True, pending=me.position)
    return _set(state, who, phase="offsets sent")


def _give_up(state: State, who: int, rules: Rules) -> State:
    """Abort: a new producer, and again from the committed offsets; without the rule, on from where it was."""
    position = state.processors[who].position
    state = _connect(state, who, rules)
    if not rules.rewinds_after_abort:
        return _set(state, who, phase="reading", position=position, begun_at=position, seen=position)
    return _set(state, who, generation=0, position=0, begun_at=0)


def _arrive(state: State, request: tuple[int, int], rules: Rules) -> tuple[str, State]:
    """Have a request to commit arrive at the brokers, and its answer at the processor, if that still waits for it."""
    who, epoch = request
    left = list(state.network)
    left.remove(request)
    state = state._replace(network=tuple(left))
    me, coordinator = state.processors[who], state.coordinators[who]
    what = f"the request of {who} to commit arrives"
    waits = me.phase == "committing" and me.epoch == epoch
    if coordinator.epoch != epoch:
        return f"{what}, too late", _give_up(state, who, rules) if waits else state
    state = _end(state, who, commit=True)
    if not waits:
        return what, state
    if not rules.offsets_in_transaction:
        state = state._replace(offset=me.position)
    doubt = me.doubt and rules.sees_every_resend
    done = _set(state, who, phase="reading", begun_at=me.position, seen=me.position, doubt=doubt)
    return what, done


def _end(state: State, who: int, *, commit: bool) -> State:
    """End the open transaction of a transactional id, if any."""
    coordinator = state.coordinators[who]
    if not coordinator.ongoing:
        return state
    status: Literal["committed", "aborted"] = "committed" if commit else "aborted"
    log = tuple(one._replace(status=status) if (one.owner, one.status) == (who, "open") else one for one in state.log)
    if not commit:
        log = tuple(one for one in log if one.status != "aborted")  # nobody sees them: fewer states
    offset = coordinator.pending if commit and coordinator.pending is not None else state.offset
    return _coordinate(state._replace(log=log, offset=offset), who, ongoing=False, pending=None)


def _set(state: State, who: int, **changes: object) -> State:
    processors = list(state.processors)
    processors[who] = processors[who]._replace(**changes)  # type: ignore[arg-type]
    return state._replace(processors=(processors[0], processors[1]))


def _coordinate(state: State, who: int, **changes: object) -> State:
    coordinators = list(state.coordinators)
    coordinators[who] = coordinators[who]._replace(**changes)  # type: ignore[arg-type]
    return state._replace(coordinators=(coordinators[0], coordinators[1]))


def _sorted(*requests: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(requests))


def _way(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way: list[str] = []
    while (step := came_from[state]) is not None:
        state, what = step
        way.append(what)
    return way[::-1]


def without(*rules: str) -> Rules:
    """Return the rules without some of them."""
    return replace(Rules(), **dict.fromkeys(rules, False))
