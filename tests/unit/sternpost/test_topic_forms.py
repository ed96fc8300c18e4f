"""What `topics create --print` writes, read back by the tools' own languages."""

import json
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from runtime.kafka.config import topic_configs
from runtime.settings.loader import load
from sternpost.cli.main import cli
from sternpost.operations.topic_forms import Form

UNREACHABLE = "--set=kafka.bootstrap_servers=127.0.0.1:1"
SETTINGS = load(None, {})


def printed(form: str, *options: str) -> str:
    done = CliRunner().invoke(cli, [UNREACHABLE, *options, "topics", "create", "--print", form])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_commands_are_what_create_would_do() -> None:
    lines = printed("kafka-topics").splitlines()
    wanted = topic_configs(SETTINGS)
    assert len(lines) == len(wanted)
    for line, (name, config) in zip(lines, wanted.items(), strict=True):
        words = shlex.split(line)
        assert words[:3] == ["kafka-topics", "--bootstrap-server", "127.0.0.1:1"]
        options = list(pairwise(words))
        assert ("--topic", name) in options
        assert ("--partitions", "8") in options
        assert ("--replication-factor", "3") in options
        assert {value for option, value in options if option == "--config"} == {f"{k}={v}" for k, v in config.items()}
    assert "--replication-factor" not in printed("kafka-topics", "--set=topics.replication_factor=-1")
    secured = printed("kafka-topics", '--set=kafka.properties={"security.protocol":"SSL"}')
    assert "--command-config admin.properties" in secured


def test_strimzi_takes_the_yaml() -> None:
    names = ["--set=topics.raw=Raw_1", '--set=topics.omit_configs=["unclean.leader.election.enable"]']
    found: list[Any] = list(yaml.safe_load_all(printed("strimzi", *names)))
    assert [one["spec"]["topicName"] for one in found] == [
        "Raw_1",
        SETTINGS.topics.events,
        SETTINGS.topics.dead_letters,
    ]
    for one in found:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", one["metadata"]["name"])
        assert one["kind"] == "KafkaTopic"
        assert (one["spec"]["partitions"], one["spec"]["replicas"]) == (8, 3)
        assert "unclean.leader.election.enable" not in one["spec"]["config"]
        assert one["spec"]["config"]["cleanup.policy"] == "delete"
    own: list[Any] = list(yaml.safe_load_all(printed("strimzi", "--set=topics.replication_factor=-1")))
    assert all("replicas" not in one["spec"] for one in own)


@pytest.mark.parametrize("form", ["terraform", "terraform-confluent"])
@pytest.mark.parametrize("replicas", ["3", "-1"])
def test_terraform_takes_the_text(form: str, replicas: str, tmp_path: Path) -> None:
    text = printed(form, f"--set=topics.replication_factor={replicas}", "--set=topics.raw=1st.raw")
    kind = "kafka_topic" if form == "terraform" else "confluent_kafka_topic"
    assert re.findall(r'^resource "(\w+)" "([a-z]\w*)"', text, re.MULTILINE) == [
        (kind, "topic_1st_raw"),
        (kind, "rudderstack_events"),
        (kind, "customerio_dead_letters"),
    ]
    assert ("replication_factor" in text) == (form == "terraform")
    for value in topic_configs(SETTINGS)[SETTINGS.topics.events].values():
        assert json.dumps(value) in text
    if shutil.which("terraform") is None:
        pytest.skip("there is no terraform to parse the text")
    file = tmp_path / "topics.tf"
    file.write_text(text)
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_form_is_an_option_and_json_is_another_question() -> None:
    for form in Form:
        assert printed(str(form))
    done = CliRunner().invoke(cli, [UNREACHABLE, "topics", "create", "--print", "strimzi", "--json"])
    assert done.exit_code == 2
