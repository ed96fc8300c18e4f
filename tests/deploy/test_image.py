"""The image: what it holds, and that it runs."""

import json
import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from runtime.settings.model import TopicSettings
from tests.deploy.image import RESTRICTED, Images, build, remove
from tests.deploy.tools import DEPLOY, ROOT, outcome, project_version, run, tool
from tests.support.kafka import SIGNING_KEY, WRITE_KEY, Kafka, TopicMaker
from tests.support.ports import free_ports
from tests.support.waiting import until

DOCKERFILE = DEPLOY / "Dockerfile"
MOST_COMPRESSED_BYTES = 60_000_000
MOST_UNPACKED_BYTES = 180_000_000


def locked() -> list[Requirement]:
    """What requirements/runtime.txt pins."""
    lines = (ROOT / "requirements/runtime.txt").read_text("utf-8").splitlines()
    return [Requirement(line.rstrip("\\ ")) for line in lines if re.match(r"^[a-z0-9]", line)]


def test_hadolint_finds_nothing() -> None:
    run(tool("hadolint"), DOCKERFILE)


def test_every_base_is_pinned_by_its_digest() -> None:
    text = DOCKERFILE.read_text("utf-8")
    bases = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE)
    assert len(stages) == len(re.findall(r"^FROM ", text, re.MULTILINE))
    names = {name for _, name in stages}
    for base, _ in stages:
        if base not in names:
            assert re.search(r":\S+@sha256:[0-9a-f]{64}$", bases[base.strip("${}")]), base


@pytest.mark.parametrize("requirements", ["runtime", "extra-msk", "extra-tracing"])
def test_arm64_has_a_wheel_of_every_locked_package(tmp_path: Path, requirements: str) -> None:
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--python-version=3.13", "--implementation=cp", f"--target={tmp_path}"),
        *(f"--platform=manylinux{version}_aarch64" for version in ("2014", "_2_17", "_2_28", "_2_34")),
        *("--requirement", ROOT / f"requirements/{requirements}.txt"),
        timeout_s=300,
    )


@pytest.mark.timeout(1800)
def test_extras_are_in_it_if_they_are_asked_for(images: Images) -> None:
    name = "localhost/sternpost-extras"
    images.build(name, "msk tracing")
    found = [
        outcome(
            *(tool("podman"), "run", "--rm", *RESTRICTED, "--entrypoint=python3", tag),
            *("-c", "import aws_msk_iam_sasl_signer, opentelemetry.sdk, confluent_kafka, ingest"),
            environment=images.environment,
        ).returncode
        for tag in (f"{name}:{project_version()}", images.tag)
    ]
    assert found == [0, 1]


@pytest.mark.timeout(1800)
def test_it_is_small_enough(images: Images) -> None:
    compressed, unpacked = images.archive().stat().st_size, images.inspect()["Size"]
    sys.stdout.write(f"compressed {compressed / 1e6:.1f} MB, unpacked {unpacked / 1e6:.1f} MB\n")
    assert compressed <= MOST_COMPRESSED_BYTES
    assert unpacked <= MOST_UNPACKED_BYTES


@pytest.mark.timeout(1800)
def test_it_runs_as_nobody_and_starts_the_program_without_a_shell(images: Images) -> None:
    config = images.inspect()["Config"]
    assert config["User"] == "65532:65532", "runAsNonRoot needs a number"
    assert config["Entrypoint"] == ["sternpost"]
    assert config["Cmd"] == ["--help"]
    assert images.inspect()["Healthcheck"]["Test"] == [
        "CMD",
        "sternpost",
        "healthcheck",
    ]
    labels = images.inspect()["Labels"]
    for name in ("title", "description", "licenses", "version", "revision", "created", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"], name
    assert labels["org.opencontainers.image.version"] == project_version()


@pytest.mark.timeout(1800)
def test_nothing_is_in_it_that_it_does_not_need(images: Images) -> None:
    programs = {Path(file).name for file in images.files() if re.search(r"(^|/)s?bin/[^/]+$", file)}
    assert "sternpost" in programs
    allowed = re.compile(r"sternpost|python3?(\.\d+)?|ldconfig")
    assert not {program for program in programs if not allowed.fullmatch(program)}
    packages = {file for file in images.files() if "/site-packages/pip/" in file or "/dist-packages/pip/" in file}
    assert not packages
    assert any(re.search(r"opt/sternpost/sternpost__mypyc\..*\.so$", file) for file in images.files()), "not compiled"


@pytest.mark.timeout(1800)
def test_the_debug_twin_is_the_same_and_a_shell(images: Images) -> None:
    plain, debug = images.inspect()["RootFS"]["Layers"], images.inspect(images.debug_tag)["RootFS"]["Layers"]
    assert debug[: len(plain)] == plain
    said = images.podman("run", "--rm", "--network=host", "--entrypoint=sh", images.debug_tag, "-c", "id -u")
    assert said.split()[-1] == "65532"


@pytest.mark.timeout(1800)
def test_built_again_from_nothing_it_has_the_same_digest(images: Images, tmp_path: Path) -> None:
    again = build(tmp_path / "again", images.folder / "bases")
    try:
        assert again.inspect()["RootFS"]["Layers"] == images.inspect()["RootFS"]["Layers"]
        assert again.inspect()["Config"] == images.inspect()["Config"]
        # In Docker's format buildah writes a host name that it makes up; OCI's, which registries get, has none.
        assert again.digest() == images.digest()
    finally:
        remove(again)


@pytest.mark.timeout(1800)
def test_the_bill_of_materials_names_each_locked_package(images: Images) -> None:
    said = run(tool("syft"), "scan", "--quiet", f"oci-archive:{images.archive()}", "--output", "cyclonedx-json")
    found = {
        component["name"].lower().replace("_", "-"): component["version"]
        for component in json.loads(said)["components"]
        if component.get("purl", "").startswith("pkg:pypi/")
    }
    image = {"sys_platform": "linux", "python_full_version": "3.13.5", "python_version": "3.13"}
    expected = {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in locked()
        if requirement.marker is None or requirement.marker.evaluate(image)
    }
    assert len(expected) > 30
    assert {name: version for name, version in found.items() if name != "sternpost"} == expected
    assert found["sternpost"] == project_version()
    assert "sternpost" in found


@pytest.mark.timeout(1800)
def test_it_takes_webhooks_to_events_with_nothing_writable_but_its_state(
    images: Images, kafka: Kafka, make_topics: TopicMaker, tmp_path: Path
) -> None:
    topics = make_topics()
    settings = tmp_path / "sternpost.toml"
    settings.write_text(toml(kafka, topics), "utf-8")
    settings.chmod(0o644)
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65532, 65532)
    mounted = (
        f"--volume={settings}:/etc/sternpost/sternpost.toml:ro",
        "--env=STERNPOST_CONFIG=/etc/sternpost/sternpost.toml",
    )
    registered = images.podman("run", "--rm", *RESTRICTED, *mounted, images.tag, "schema", "register")
    assert "version 1" in registered
    with (
        images.container("ingest", options=mounted) as ingest,
        images.container("process", options=(*mounted, f"--volume={state}:/var/lib/sternpost")) as processor,
    ):
        for container, service in ((ingest, "ingest"), (processor, "processor")):
            until(partial(passes, images, "exec", container, "sternpost", "healthcheck", "--ready", service), 240)
            # The image's own, which may fail twice in a row: on a busy machine one may take longer than it is given.
            until(partial(passes, images, "healthcheck", "run", container), 240)
        program = str(Path(sys.executable).with_name("sternpost"))
        sent = json.loads(run(program, "--config", settings, "send", "--json").splitlines()[-1])
        number = sent["acknowledged"]
        assert number > 60
        tail = run(program, "--config", settings, "tail", "--from-beginning", f"--count={number}", "--idle-s=60")
        assert len({json.loads(line)["messageId"] for line in tail.splitlines()}) == number
        begun = time.monotonic()
        assert [images.stop(ingest), images.stop(processor)] == [0, 0]
        sys.stdout.write(f"both ended by themselves in {time.monotonic() - begun:.1f} s\n")
    assert any(state.rglob("*.sst")) or any(state.rglob("*.log")), "the state is where it was mounted"


def passes(images: Images, *command: str) -> bool:
    """Run a command of podman, and return whether it succeeded."""
    return outcome(tool("podman"), *command, environment=images.environment).returncode == 0


def toml(kafka: Kafka, topics: TopicSettings) -> str:
    """Settings for both services, on ports that are free."""
    webhook, ingest_admin, processor_admin = free_ports(3)
    return f"""\
[kafka]
bootstrap_servers = "{kafka.bootstrap_servers}"

[schema_registry]
url = "{kafka.registry_url}"

[topics]
raw = "{topics.raw}"
events = "{topics.events}"
dead_letters = "{topics.dead_letters}"
partitions = {topics.partitions}
replication_factor = 1
min_insync_replicas = 1

[[sources]]
name = "test"
write_keys = ["{WRITE_KEY}"]
signing_keys = ["{SIGNING_KEY}"]

[ingest]
port = {webhook}
admin_port = {ingest_admin}
drain_delay_ms = 0

[processor]
admin_port = {processor_admin}
group_id = "{topics.raw}"
instance_id = "test"
"""
