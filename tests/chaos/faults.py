"""What goes wrong: each fault hurts something while events flow, and heals it again."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from tests.chaos.pipeline import SESSION_S, TRANSACTION_S, Pipeline, Service

Fault = Callable[[Pipeline, random.Random], None]

FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def hold(seconds: float) -> None:
    """Lets a state of things last; that it lasts is the fault itself."""
    time.sleep(seconds)


def some(pipeline: Pipeline, rng: random.Random) -> Service:
    return rng.choice(pipeline.processors)


def leader(pipeline: Pipeline, rng: random.Random) -> int:
    return rng.randrange(len(pipeline.stack.brokers))


@fault
def processor_killed(pipeline: Pipeline, rng: random.Random) -> None:
    service = some(pipeline, rng)
    service.signal_all(signal.SIGKILL)


@fault
def all_processors_killed(pipeline: Pipeline, rng: random.Random) -> None:
    del rng
    for service in pipeline.processors:
        service.signal_all(signal.SIGKILL)


@fault
def processor_terminated(pipeline: Pipeline, rng: random.Random) -> None:
    service = some(pipeline, rng)
    pipeline.stop_service(service)
    pipeline.start(service)


@fault
def processor_away_until_others_take_over(pipeline: Pipeline, rng: random.Random) -> None:
    service = some(pipeline, rng)
    pipeline.stop_service(service)
    hold(SESSION_S + 2)
    pipeline.start(service)


@fault
def processor_frozen_until_it_is_a_zombie(pipeline: Pipeline, rng: random.Random) -> None:
    service = some(pipeline, rng)
    service.signal_all(signal.SIGSTOP)
    hold(SESSION_S + TRANSACTION_S)
    service.signal_all(signal.SIGCONT)


@fault
def scaled_up_and_down(pipeline: Pipeline, rng: random.Random) -> None:
    del rng
    more = pipeline.new_processor(len(pipeline.processors))
    pipeline.start(more)
    more.wait_ready()
    hold(3)
    pipeline.stop_service(more)


@fault
def rolling_restart(pipeline: Pipeline, rng: random.Random) -> None:
    for service in rng.sample(pipeline.processors, len(pipeline.processors)):
        pipeline.stop_service(service)
        pipeline.start(service)
        service.wait_ready()


@fault
def state_deleted(pipeline: Pipeline, rng: random.Random) -> None:
    """While it is in use, and once more between two lives."""
    service = some(pipeline, rng)
    shutil.rmtree(pipeline.state_dir(service.name), ignore_errors=True)
    hold(2)
    service.signal_all(signal.SIGKILL)
    shutil.rmtree(pipeline.state_dir(service.name), ignore_errors=True)


@fault
def state_disk_full(pipeline: Pipeline, rng: random.Random) -> None:
    """A disk with no room for one partition's state; it ends by itself, and is started again, until there is."""
    service = some(pipeline, rng)
    folder = pipeline.state_dir(service.name)
    pipeline.stop_service(service)
    shutil.rmtree(folder)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], check=True)
    try:
        before = len(pipeline.restarts)
        pipeline.start(service)
        service_ended = f"{service.name}: 69"
        deadline = time.monotonic() + 180
        while service_ended not in pipeline.restarts[before:]:
            assert time.monotonic() < deadline, "the full disk was not noticed"
            hold(0.2)
        subprocess.run(["mount", "-o", "remount,size=256m", str(folder)], check=True)
        pipeline.await_ready(service)
    finally:
        pipeline.stop_service(service)
        subprocess.run(["umount", str(folder)], check=True)
    pipeline.start(service)


@fault
def ingest_killed(pipeline: Pipeline, rng: random.Random) -> None:
    del rng
    pipeline.ingests[0].signal_all(signal.SIGKILL)


@fault
def broker_killed(pipeline: Pipeline, rng: random.Random) -> None:
    broker = rng.choice(pipeline.stack.brokers)
    broker.kill()
    broker.start()
    broker.wait_ready()


@fault
def broker_lost(pipeline: Pipeline, rng: random.Random) -> None:
    broker = rng.choice(pipeline.stack.brokers)
    broker.kill()
    hold(15)
    broker.start()
    broker.wait_ready()


@fault
def broker_frozen_past_the_transaction_timeout(pipeline: Pipeline, rng: random.Random) -> None:
    broker = rng.choice(pipeline.stack.brokers)
    broker.freeze()
    hold(TRANSACTION_S + 6)
    broker.thaw()


@fault
def all_brokers_frozen(pipeline: Pipeline, rng: random.Random) -> None:
    del rng
    for broker in pipeline.stack.brokers:
        broker.freeze()
    hold(TRANSACTION_S + 2)
    for broker in pipeline.stack.brokers:
        broker.thaw()


@fault
def registry_away(pipeline: Pipeline, rng: random.Random) -> None:
    """What runs goes on; what starts meanwhile waits for it."""
    registry = pipeline.stack.registry
    assert registry is not None
    registry.kill()
    service = some(pipeline, rng)
    service.signal_all(signal.SIGKILL)
    hold(4)
    registry.start()
    registry.wait_ready()
