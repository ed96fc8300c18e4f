"""A read-only root without a place for temporary files, as containers have it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.kafka import Kafka, TopicMaker, idempotent_producer
from tests.support.service import PROGRAM, SERVICES, Starter
from tests.support.waiting import PATIENCE_S

READ_ONLY = """
for folder in {folders}; do mount --rbind $folder $folder; mount -o remount,bind,ro $folder; done
mount --bind {kept} {kept}; mount -o remount,bind,rw {kept}
cd /proc
TMPDIR=/nonexistent exec "$@"
"""
TEMPORARY = "/tmp /var/tmp"
MEMORY = "/dev/shm"


def without(folders: str, kept: Path) -> list[str]:
    """A command prefix: run in a mount namespace in which `folders` are read-only, and of them only `kept` is not.

    Disks that other tests have mounted there meanwhile cannot be left out (`--rbind`), mount_namespaces(7) says.
    """
    kept.mkdir(exist_ok=True)
    script = READ_ONLY.format(folders=folders, kept=kept)
    return ["unshare", "--mount", "--map-root-user", "sh", "-ec", script, "sh"]


@pytest.fixture(autouse=True)
def _namespaces(tmp_path: Path) -> None:
    if subprocess.run([*without(TEMPORARY, tmp_path / "state"), "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs mount namespaces")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_needs_none_where_there_is_memory(start: Starter, name: str, tmp_path: Path) -> None:
    service = start(name, *without(TEMPORARY, tmp_path / "state"))
    service.works()
    assert service.end() == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_without_any_names_tmpdir(start: Starter, name: str, tmp_path: Path) -> None:
    service = start(name, *without(f"{TEMPORARY} {MEMORY}", tmp_path / "state"), stderr=subprocess.PIPE)
    _, stderr = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 78
    assert b"TMPDIR" in stderr
    assert b"Traceback" not in stderr


def test_a_replay_without_any_names_tmpdir(kafka: Kafka, make_topics: TopicMaker, tmp_path: Path) -> None:
    topics = make_topics()
    settings = {
        "kafka.bootstrap_servers": kafka.bootstrap_servers,
        "schema_registry.url": kafka.registry_url,
        "topics.raw": topics.raw,
        "topics.events": topics.events,
        "topics.dead_letters": topics.dead_letters,
    }
    command = [PROGRAM, *(f"--set={name}={value}" for name, value in settings.items())]
    producer = idempotent_producer(kafka.bootstrap_servers)
    producer.produce(topics.raw, b"{}")
    assert producer.flush(PATIENCE_S) == 0
    subprocess.run([*command, "schema", "register"], check=True, capture_output=True)
    ran = subprocess.run(
        [*without(TEMPORARY, tmp_path / "state"), *command, "replay", "--from", "beginning", "--dry-run"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, "TMPDIR" in ran.stderr, "Traceback" in ran.stderr) == (78, True, False), ran.stderr
