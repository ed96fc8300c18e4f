"""What goes wrong on networks: each fault hurts links while events flow, and heals them again.

The clients' own links to ingest stay as they are: what is asked of ingest is its answer.
"""

import contextlib
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence

from confluent_kafka.admin import AdminClient

from tests.chaos.faults import hold
from tests.chaos.pipeline import TRANSACTION_S
from tests.network.hosts import Host, Peer
from tests.network.site import Site

Fault = Callable[[Site, random.Random], None]
Way = Callable[[Iterable[Host], Iterable[Host]], contextlib.AbstractContextManager[None]]

FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def hold_a_while(rng: random.Random) -> None:
    """Briefly; longer than a transaction; than a session; or so long that requests time out as well."""
    hold(rng.choice([3, 9, 18, 35]))


@contextlib.contextmanager
def unheard(
    senders: Iterable[Host], receivers: Iterable[Host], *which: str, then: Sequence[str] = ["DROP"]
) -> Iterator[None]:
    """Drop what receivers would get from senders: all of it, or the packets that `which` says, as iptables(8) has it.

    It is dropped as it arrives. Dropped as it leaves, the sender would be told.
    """
    senders = list(senders)
    with contextlib.ExitStack() as stack:
        for receiver in receivers:
            rules = [["INPUT", "-s", one.address, *which, "-j", *then] for one in senders if one is not receiver]
            stack.enter_context(receiver.rules(*rules))
        yield


@contextlib.contextmanager
def deaf(receivers: Iterable[Host], senders: Iterable[Host]) -> Iterator[None]:
    """Drop what receivers would get; what they send arrives."""
    with unheard(senders, receivers):
        yield


@contextlib.contextmanager
def cut(ones: Iterable[Host], others: Iterable[Host], *which: str) -> Iterator[None]:
    """Drop packets both ways."""
    ones, others = list(ones), list(others)
    with unheard(ones, others, *which), unheard(others, ones, *which):
        yield


def some_way(rng: random.Random) -> Way:
    """Both ways or one way."""
    ways: list[Way] = [cut, unheard, deaf]
    return rng.choice(ways)


def forget_connections(peer: Peer, *which: str) -> None:
    """Be a firewall before it that lost its memory: what is connected hears nothing more; what is new works."""
    peer.run("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=0")
    peer.run("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_be_liberal=1")
    peer.run("iptables", "-w", "-A", "INPUT", *which, "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")


def peers(site: Site, *but: Host) -> list[Peer]:
    """All hosts that events pass through, but these."""
    return [peer for peer in site.network.peers.values() if peer not in but]


def some_peer(site: Site, rng: random.Random) -> Peer:
    return rng.choice([*site.brokers, *map(site.host_of, (*site.ingests, *site.processors))])


def coordinator(site: Site, topic: str, key: str) -> Peer:
    """Return the leader of what brokers keep about a group or a transactional id."""
    found = AdminClient({"bootstrap.servers": site.stack.bootstrap_servers}).list_topics(topic, timeout=30)
    partitions = found.topics[topic].partitions
    hashed = 0  # Java's String.hashCode
    for character in key:
        hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
    return site.brokers[partitions[(hashed & 0x7FFFFFFF) % len(partitions)].leader - 1]


@fault
def broker_cut_off(site: Site, rng: random.Random) -> None:
    broker = rng.choice(site.brokers)
    with some_way(rng)([broker], [site.network.client, *peers(site, broker)]):
        hold_a_while(rng)


@fault
def broker_cut_from_the_other_brokers(site: Site, rng: random.Random) -> None:
    """Clients still reach it, and believe what it says."""
    broker = rng.choice(site.brokers)
    with some_way(rng)([broker], [one for one in site.brokers if one is not broker]):
        hold_a_while(rng)


@fault
def two_brokers_cut_from_each_other(site: Site, rng: random.Random) -> None:
    """The third reaches both, so that they disagree about who is there."""
    one, other = rng.sample(site.brokers, 2)
    with some_way(rng)([one], [other]):
        hold_a_while(rng)


@fault
def group_coordinator_cut_from_a_processor(site: Site, rng: random.Random) -> None:
    processor = site.host_of(rng.choice(site.processors))
    with some_way(rng)([coordinator(site, "__consumer_offsets", "sternpost")], [processor]):
        hold_a_while(rng)


@fault
def transaction_coordinator_cut_from_its_processor(site: Site, rng: random.Random) -> None:
    processor = rng.choice(site.processors)
    transactional_id = f"sternpost-{processor.name}-0"
    with some_way(rng)([coordinator(site, "__transaction_state", transactional_id)], [site.host_of(processor)]):
        hold_a_while(rng)


@fault
def processor_cut_from_all_brokers(site: Site, rng: random.Random) -> None:
    """Until others have its partitions: what it still has in flight must not count."""
    with some_way(rng)([site.host_of(rng.choice(site.processors))], site.brokers):
        hold_a_while(rng)


@fault
def processor_cut_from_the_registry_as_it_starts(site: Site, rng: random.Random) -> None:
    processor = rng.choice(site.processors)
    with some_way(rng)([site.host_of(processor)], [site.host_of(site.stack.registry)]):
        processor.signal_all(signal.SIGKILL)
        hold_a_while(rng)


@fault
def ingest_cut_from_one_broker(site: Site, rng: random.Random) -> None:
    """It leads some partitions and not others."""
    with some_way(rng)([site.host_of(rng.choice(site.ingests))], [rng.choice(site.brokers)]):
        hold_a_while(rng)


@fault
def all_ingests_cut_from_all_brokers(site: Site, rng: random.Random) -> None:
    with some_way(rng)(map(site.host_of, site.ingests), site.brokers):
        hold_a_while(rng)


@fault
def link_flaps(site: Site, rng: random.Random) -> None:
    peer = some_peer(site, rng)
    for _ in range(10):
        with cut([peer], peers(site, peer)):
            hold(rng.uniform(0.2, 2))
        hold(rng.uniform(0.2, 2))


@fault
def link_slow(site: Site, rng: random.Random) -> None:
    with some_peer(site, rng).slow(rng.choice([20, 100, 300])):
        hold_a_while(rng)


@fault
def link_thin(site: Site, rng: random.Random) -> None:
    """It lets so little through that whatever waits for it waits for seconds."""
    peer = rng.choice([*site.brokers, *map(site.host_of, site.processors)])
    with peer.thin(rng.choice([64, 256])):
        hold_a_while(rng)


@fault
def link_lossy(site: Site, rng: random.Random) -> None:
    peer, share = some_peer(site, rng), rng.choice([0.02, 0.1, 0.3])
    with cut([peer], peers(site, peer), "-m", "statistic", "--mode", "random", "--probability", str(share)):
        hold_a_while(rng)


@fault
def large_packets_dropped(site: Site, rng: random.Random) -> None:
    """As by a tunnel whose limit nobody was told of: what is said with few bytes is heard."""
    peer = some_peer(site, rng)
    with cut([peer], peers(site, peer), "-m", "length", "--length", "600:65535"):
        hold_a_while(rng)


@fault
def connections_reset(site: Site, rng: random.Random) -> None:
    peer = some_peer(site, rng)
    for _ in range(rng.choice([1, 5])):
        with unheard(peers(site, peer), [peer], "-p", "tcp", then=["REJECT", "--reject-with", "tcp-reset"]):
            hold(rng.uniform(0.2, 2))
        hold(2)


@fault
def connections_silent(site: Site, rng: random.Random) -> None:
    """It does not end by itself: everything must give its old connections up."""
    for peer in rng.choice([[some_peer(site, rng)], peers(site)]):
        forget_connections(peer, "!", "-s", site.network.client.address)


@fault
def brokers_move(site: Site, rng: random.Random) -> None:
    """One, or one after the other, comes back at another address, as pods do when they are replaced."""
    for broker in rng.sample(site.stack.brokers, rng.choice([1, 3])):
        site.network.move(site.host_of(broker))  # before its process ends: nobody is told
        broker.kill()
        hold(rng.choice([0, TRANSACTION_S + 2]))
        broker.start()
        broker.wait_ready()


@fault
def registry_moves(site: Site, rng: random.Random) -> None:
    """What starts meanwhile must find it at the new address."""
    processor = rng.choice(site.processors)
    site.network.move(site.host_of(site.stack.registry))
    site.stack.registry.kill()
    processor.signal_all(signal.SIGKILL)
    hold(3)
    site.stack.registry.start()
    site.stack.registry.wait_ready()
