"""A pipeline that really runs, and the Prometheus and Alertmanager that watch it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sternpost.local import LocalStack
from tests.deploy.tools import DEPLOY, ROOT, run, tool
from tests.support.kafka import SIGNING_KEY, WRITE_KEY
from tests.support.ports import free_ports
from tests.support.waiting import until

STERNPOST = Path(sys.executable).with_name("sternpost")
START_S = 120.0
RULES = DEPLOY / "prometheus" / "alerts.yaml"

SCALE = 10
"""How much faster time runs in the rules that the tests load: a minute takes six seconds. Thresholds stay."""

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@contextmanager
def process(command: Sequence[object], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """A program that runs for as long as the block does; its process id. It leads a group of its own."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@dataclass(frozen=True)
class Pipeline:
    """One broker, a registry, ingest and a processor."""

    stack: LocalStack
    folder: Path
    settings: Path
    ingest_admin: int
    processor_admin: int

    def sternpost(self, *arguments: object, timeout_s: float = 600) -> str:
        return run(STERNPOST, "--config", self.settings, *arguments, timeout_s=timeout_s)


@contextmanager
def pipeline(folder: Path) -> Iterator[Pipeline]:
    """Started, with topics and schema, and ready."""
    with ExitStack() as running:
        stack = running.enter_context(LocalStack())
        webhook, ingest_admin, processor_admin = free_ports(3)
        settings = folder / "sternpost.toml"
        settings.write_text(
            f"""\
[kafka]
bootstrap_servers = "{stack.bootstrap_servers}"
[schema_registry]
url = "{stack.registry_url}"
[topics]
partitions = 2
replication_factor = 1
min_insync_replicas = 1
[[sources]]
name = "production"
write_keys = ["{WRITE_KEY}"]
signing_keys = ["{SIGNING_KEY}"]
[ingest]
host = "127.0.0.1"
port = {webhook}
admin_port = {ingest_admin}
drain_delay_ms = 0
[processor]
admin_port = {processor_admin}
instance_id = "monitored"
state_dir = "{folder / "state"}"
""",
            "utf-8",
        )
        found = Pipeline(stack, folder, settings, ingest_admin, processor_admin)
        found.sternpost("topics", "create")
        found.sternpost("schema", "register")
        for command, port in (("ingest", ingest_admin), ("process", processor_admin)):
            running.enter_context(process([STERNPOST, "--config", settings, command], folder / f"{command}.log"))
            until(lambda port=port: answers(f"http://127.0.0.1:{port}/readyz"), START_S)  # type: ignore[misc]
        yield found


def answers(url: str) -> bool:
    """Whether it answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def get(url: str, **parameters: str) -> Any:
    """The JSON of an answer."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=START_S) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that scrapes every second."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query. Raises urllib.error.HTTPError if Prometheus refuses the expression."""
        found: list[dict[str, Any]] = get(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return found

    def alerts(self) -> set[str]:
        """Names of the alerts that fire."""
        found = get(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, list[int]], rules: Path | None = None, alertmanager: int | None = None
) -> Iterator[Prometheus]:
    """One that scrapes these ports of 127.0.0.1, by job, every second."""
    folder.mkdir()
    (port,) = free_ports(1)
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            for job, ports in targets.items()
        ],
    }
    if rules is not None:
        config["rule_files"] = [str(rules)]
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    command = [
        *(tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with process(command, folder / "prometheus.log"):
        until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), START_S)
        yield Prometheus(f"http://127.0.0.1:{port}")


@contextmanager
def alertmanager(folder: Path) -> Iterator[int]:
    """One that groups nothing and tells nobody; its port."""
    folder.mkdir()
    (port,) = free_ports(1)
    file = folder / "alertmanager.yaml"
    file.write_text(yaml.safe_dump({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}), "utf-8")
    command = [
        *(tool("prometheus-alertmanager"), f"--config.file={file}", f"--storage.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    with process(command, folder / "alertmanager.log"):
        until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), START_S)
        yield port


def hurried(folder: Path) -> Path:
    """The rules with every duration divided by SCALE, so that what takes minutes takes seconds."""
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = _scaled(rule["for"])
            rule["expr"] = re.sub(
                r"\[([^\]]+)\]|offset (\w+)",
                lambda found: (
                    f"[{':'.join(_scaled(part) if part else '' for part in found[1].split(':'))}]"
                    if found[1]
                    else f"offset {_scaled(found[2])}"
                ),
                rule["expr"],
            )
    file = folder / "alerts.yaml"
    file.write_text(yaml.safe_dump(rules), "utf-8")
    return file


def _scaled(duration: str) -> str:
    seconds = sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))
    return f"{seconds * 1000 // SCALE}ms"


EVERY_METRIC = ROOT / "tests" / "deploy" / "every_metric.py"
