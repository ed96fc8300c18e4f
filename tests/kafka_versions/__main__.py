"""Run the contract with Kafka, and whole services, on a broker of each version.

`python -m tests.kafka_versions [VERSION…]`: all versions by default. The files beside this one pin the older ones, the
newest is the local stack's. Exit 1 if a test fails on any.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sternpost.local import LocalStack, ports
from sternpost.local.artifacts import Cache, pinned
from sternpost.local.broker import Broker, Member, new_id

FOLDER = Path(__file__).parent
NEWEST = next(artifact.version for artifact in pinned() if artifact.name == "kafka_2.13")
OLDER = sorted((file.stem for file in FOLDER.glob("*.txt")), key=lambda text: [int(part) for part in text.split(".")])
TESTS = (
    "tests/integration/test_transport_kafka.py",
    "tests/integration/test_topics.py",
    "tests/integration/test_processor.py::test_each_event_once_and_in_order_whatever_happens_to_the_processes",
)
DIFFERENT = (
    # Kafka 3.0 takes any number for retention.ms.
    "tests/integration/test_topics.py::test_a_setting_that_the_brokers_refuse_is_named_and_leaves_no_topic",
)
"""Tests of what versions do differently."""


class FormattedInPlace(Broker):
    """A broker whose version formats its storage in a way of its own."""

    def _format(self) -> None:
        if not (self._folder / "data" / "meta.properties").exists():
            command = [*self._formatter, "-t", self._cluster_id, "-c", str(self._configuration)]
            subprocess.run(command, check=True, capture_output=True)


@contextmanager
def broker(version: str) -> Iterator[str]:
    """Run one broker, and provide its address."""
    with tempfile.TemporaryDirectory(prefix=f"kafka-{version}-") as name:
        folder = Path(name)
        jars = Cache().fetch(pinned(FOLDER / f"{version}.txt"))
        member = Member(1, ports.choose(0, "the broker", ""), ports.choose(0, "the controller", ""))
        one = FormattedInPlace(
            member,
            [member],
            cluster_id=new_id(),
            jars=jars,
            flags=[],
            checkpoint=folder / "unused",
            folder=folder,
            log=folder / "log",
            properties={},
        )
        try:
            one.start()
            one.wait_ready()
            yield one.address
        finally:
            one.kill()


def run(address: str, registry_url: str) -> tuple[int, str]:
    """Return pytest's exit code and last line."""
    env = {
        **os.environ,
        "STERNPOST_TEST_BOOTSTRAP_SERVERS": address,
        "STERNPOST_TEST_REGISTRY_URL": registry_url,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600", *TESTS]
    command += [f"--deselect={test}" for test in DIFFERENT]
    with tempfile.TemporaryDirectory(prefix="kafka-versions-") as folder:
        command.append(f"--basetemp={folder}/tests")
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    return done.returncode, done.stdout.strip().splitlines()[-1]


def main(chosen: list[str]) -> int:
    results: dict[str, tuple[int, str]] = {}
    with LocalStack() as stack:
        for version in chosen or [*OLDER, NEWEST]:
            sys.stdout.write(f"Kafka {version}\n")
            if version == NEWEST:
                results[version] = run(stack.bootstrap_servers, stack.registry_url)
            else:
                with broker(version) as address:
                    results[version] = run(address, stack.registry_url)
    for version, (_, line) in results.items():
        sys.stdout.write(f"Kafka {version}: {line}\n")
    return int(any(code for code, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
