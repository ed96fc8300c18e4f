"""Commands and services against a broker with TLS, SASL and an authorizer, each with its role's rights alone."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from runtime.errors import DependencyError, SternpostError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.settings.model import Settings
from sternpost.cli.main import cli
from sternpost.local import ports
from sternpost.operations import acls, topics
from sternpost.operations.acls import Role
from sternpost.operations.changes_allowed import ChangesAllowed
from tests.support.kafka import Kafka
from tests.support.secured import ADMIN, SecuredBroker, basic, certificates, secured_broker, secured_registry
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S, until

REPLAYED = "replayed.events"
PREFIX = f"secured-{os.getpid()}"
PROGRAM = (sys.executable, "-c", "from sternpost.cli.main import main; main()")


class Secured:
    """The secured cluster, and the command line for a role."""

    def __init__(self, broker: SecuredBroker, registry_url: str, folder: Path) -> None:
        self.broker, self.registry_url, self.folder = broker, registry_url, folder
        self.admin_ports = {name: ports.choose(0, name, "") for name in ("ingest", "processor")}
        self.port = ports.choose(0, "ingest", "")

    def user(self, role: Role) -> str:
        return f"sternpost-{role}"

    def settings(self, user: str) -> Settings:
        return Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": self.broker.address, "properties": self.broker.properties(user)},
                "schema_registry": {
                    "url": self.registry_url,
                    "basic_auth": "someone:something",
                    "ca_file": self.broker.ca_file,
                },
                "topics": {
                    "events": f"{PREFIX}.events",  # its subject in a registry that others use, too
                    "partitions": 1,
                    "replication_factor": 1,
                    "min_insync_replicas": 1,
                },
                "sources": [{"name": "test", "write_keys": ["key"], "signing_keys": ["signing"]}],
                "ingest": {"port": self.port, "admin_port": self.admin_ports["ingest"], "drain_delay_ms": 0},
                "processor": {"admin_port": self.admin_ports["processor"], "state_dir": self.folder / "state"},
            }
        )

    def command(self, user: str, *arguments: str) -> list[str]:
        """For `cli`; the options that make the settings come first."""
        options = []
        for section, values in json.loads(self.settings(user).model_dump_json(exclude={"sources", "log"})).items():
            options += [
                f"--set={section}.{name}={json.dumps(value) if isinstance(value, dict) else value}"
                for name, value in values.items()
                if value is not None and name != "basic_auth"
            ]
        options += [
            "--set=schema_registry.basic_auth=someone:something",
            '--set=sources=[{"name":"test","write_keys":["key"],"signing_keys":["signing"]}]',
        ]
        return [*options, *arguments]

    def run(self, role: Role, *arguments: str, code: int = 0, output: bool = False) -> Any:
        logs = structlog.get_config()
        done = CliRunner().invoke(cli, self.command(self.user(role), *arguments))
        structlog.configure(**logs)
        error = done.exception
        exited = error.exit_code if isinstance(error, SternpostError) else done.exit_code
        assert exited == code, f"{arguments}: {error!r} {done.output}"
        return done.stdout if output or code == 0 else str(error)

    @contextmanager
    def service(self, role: Role, command: str) -> Iterator[None]:
        path = self.folder / f"{command}.log"
        with (
            path.open("w") as log,
            subprocess.Popen([*PROGRAM, *self.command(self.user(role), command)], stdout=log, stderr=log) as process,
        ):
            try:
                address = f"http://127.0.0.1:{self.admin_ports[role.value]}/readyz"

                def ready() -> bool:
                    assert process.poll() is None, path.read_text()
                    return _answers(address)

                until(ready)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE_S)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def secured(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ca_file, server_file = certificates(folder)
    with (
        secured_broker(folder, ca_file, server_file) as broker,
        secured_registry(kafka.registry_url, server_file, basic("someone", "something")) as url,
    ):
        secured = Secured(broker, url, folder)
        broker.add_users([secured.user(role) for role in Role])
        for role in Role:
            grants = acls.grants(secured.settings(ADMIN), role, [REPLAYED])
            acls.create(secured.settings(ADMIN), ChangesAllowed(), grants, f"User:{secured.user(role)}")
            await_acls(secured, grants, secured.user(role))
        yield secured


def await_acls(secured: Secured, grants: Sequence[acls.Grant], user: str) -> None:
    """Return once the broker goes by these ACLs: the controller answers a moment before."""
    admin, wanted = KafkaAdmin(secured.settings(ADMIN)), set(acls.bindings(grants, f"User:{user}"))
    until(lambda: wanted <= set(admin.describe_acls()))


@pytest.fixture(scope="module")
def provisioned(secured: Secured) -> Secured:
    """The three topics are there, made by the role that may."""
    assert len(json.loads(secured.run(Role.PROVISIONING, "topics", "create", "--json"))["created"]) == 3
    return secured


def test_the_whole_way_each_role_with_its_own_rights(provisioned: Secured) -> None:
    secured, run = provisioned, provisioned.run
    run(Role.PROVISIONING, "topics", "check")
    run(Role.PROVISIONING, "schema", "register")
    with secured.service(Role.INGEST, "ingest"), secured.service(Role.PROCESSOR, "process"):
        (secured.folder / "broken").write_bytes(b'{"event_id":\n')
        run(Role.INGEST, "send", "--count", "20")
        run(Role.INGEST, "send", str(secured.folder / "broken"))

        def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(run(Role.VIEWER, "status", "--interval-s", "0.1", "--json"))
            return found

        until(lambda: status()["lag"]["records"] == 0)
        settle(secured.settings(ADMIN))
        said = status()
        assert said["group"]["state"] == "stable"
        assert said["dead_letters"]["by_code"] == {"malformed_json": 1}
        assert said["schema"]["problem"] is None
        assert len(run(Role.VIEWER, "tail", "--no-follow").splitlines()) == 20
    assert json.loads(run(Role.VIEWER, "dead-letters", "list", "--json"))["total"] == 1
    assert json.loads(run(Role.VIEWER, "replay", "--from", "beginning", "--dry-run", "--json"))["unchanged"] == 20
    assert json.loads(run(Role.OPERATOR, "dead-letters", "redrive", "--even-if-failing", "--json"))["sent"] == 1
    replayed = run(Role.OPERATOR, "replay", "--from", "beginning", "--to-topic", REPLAYED, "--json")
    assert json.loads(replayed)["events"] == 20

    endpoint = f"http://127.0.0.1:{secured.port}/v1/webhook"
    with secured.service(Role.INGEST, "ingest"):
        healthy = run(Role.PROVISIONING, "doctor", "--role", "provisioning", "--url", endpoint, "--json")
        found = {check["name"]: check["verdict"] for check in json.loads(healthy)["checks"]}
        del found["processor"]  # was stopped, which brokers may not have noticed yet
        # --send tries the source; the lag takes the right to read people's data, which this role has not.
        assert {name: verdict for name, verdict in found.items() if verdict != "ok"} == {
            "source test": "skipped",
            "lag": "skipped",
        }
        lacking = run(Role.VIEWER, "doctor", "--role", "operator", "--url", endpoint, code=1, output=True)
        assert f"Write on {PREFIX}.events" in lacking, lacking
        assert "sternpost acls --role operator" in lacking

    denied = run(Role.VIEWER, "dead-letters", "redrive", code=69)
    assert "sternpost acls" in denied or "authoriz" in denied.lower()


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        (Role.INGEST, "events"),
        (Role.INGEST, "dead_letters"),
        (Role.PROCESSOR, "raw"),
        (Role.PROVISIONING, "raw"),
        (Role.VIEWER, "raw"),
        (Role.VIEWER, "events"),
    ],
)
def test_a_role_may_not_write_where_it_has_no_business(provisioned: Secured, role: Role, topic: str) -> None:
    secured = provisioned
    settings = secured.settings(secured.user(role))
    name = getattr(settings.topics, topic)
    errors: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        errors.append(error)

    before = range_consumer.readable_ranges(secured.settings(ADMIN), name)
    producer = Producer(
        {"bootstrap.servers": secured.broker.address, **secured.broker.properties(secured.user(role))}
        | {"logger": None, "message.timeout.ms": 2_000}
    )
    producer.produce(name, b"x", on_delivery=delivered)
    assert producer.flush(PATIENCE_S) == 0
    assert errors[0] is not None
    # A topic that may not even be seen is to the client one that is not there yet.
    assert errors[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._MSG_TIMED_OUT)
    assert range_consumer.readable_ranges(secured.settings(ADMIN), name) == before


@pytest.mark.parametrize("role", [Role.INGEST, Role.PROVISIONING])
def test_a_role_may_not_read_peoples_data_that_is_not_its_business(provisioned: Secured, role: Role) -> None:
    secured = provisioned
    consumer = Consumer(
        {"bootstrap.servers": secured.broker.address, **secured.broker.properties(secured.user(role))}
        | {"group.id": "sternpost", "logger": None}
    )
    consumer.assign([TopicPartition("customerio.raw", 0, 0)])

    def refused() -> bool:
        if (message := consumer.poll(0.2)) is None:
            return False
        error = message.error()
        assert error is not None, "it read a record"
        return error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)

    until(refused)
    consumer.close()


def test_what_is_created_is_what_is_printed(secured: Secured) -> None:
    settings = secured.settings(ADMIN)
    admin = AdminClient({"bootstrap.servers": secured.broker.address, **secured.broker.properties(ADMIN)})
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]
        ResourcePatternType.ANY,
        f"User:{secured.user(Role.PROCESSOR)}",
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    found = admin.describe_acls(everything).result(PATIENCE_S)
    wanted = acls.grants(settings, Role.PROCESSOR)
    assert {(b.name, b.operation) for b in found} == {(b.name, b.operation) for b in acls.bindings(wanted, "User:x")}
    printed = acls.commands(settings, wanted, "User:x")
    assert len(printed) == len(wanted)
    assert sum(line.count("--operation") for line in printed) == len(found)
    assert printed[-1].endswith("--transactional-id sternpost- --resource-pattern-type prefixed")


def test_the_shape_for_scripts(secured: Secured) -> None:
    shown = json.loads(secured.run(Role.INGEST, "acls", "--role", "ingest", "--principal", "User:x", "--json"))
    assert shown == {
        "created": False,
        "roles": [
            {
                "role": "ingest",
                "principal": "User:x",
                "grants": [
                    {
                        "resource": "topic",
                        "name": "customerio.raw",
                        "operations": ["Describe", "Write"],
                        "prefixed": False,
                    }
                ],
            }
        ],
    }
    assert "Alter the cluster" in secured.run(Role.OPERATOR, "acls", "--role", "ingest", "--create", code=69)


LACKING = {
    "nothing": [],
    "describe-topics": [("topic", "Describe")],
    "describe-topics-and-settings": [("topic", "Describe"), ("topic", "DescribeConfigs")],
    "all-but-the-cluster": [
        ("topic", "Describe"),
        ("topic", "DescribeConfigs"),
        ("topic", "Read"),
        ("group", "Describe"),
    ],
    "the-cluster-alone": [("cluster", "Describe"), ("cluster", "DescribeConfigs")],
}
"""Users of a cluster that grants little: what each may do."""


@pytest.fixture(scope="module")
def lacking(provisioned: Secured) -> Secured:
    """Users who lack rights."""
    secured = provisioned
    settings = secured.settings(ADMIN)
    secured.broker.add_users(list(LACKING))
    admin = KafkaAdmin(settings)
    for user, rights in LACKING.items():
        for resource, operation in rights:
            names = topics.names(settings) if resource == "topic" else ["kafka-cluster"]
            names = [settings.processor.group_id] if resource == "group" else names
            grants = [acls.Grant(resource, name, (operation,)) for name in names]
            admin.create_acls(acls.bindings(grants, f"User:{user}"))
            await_acls(secured, grants, user)
    return secured


@pytest.mark.parametrize("user", LACKING)
def test_a_right_that_is_missing_is_told_and_no_check_fails_by_it(lacking: Secured, user: str) -> None:
    """Or an operator of a managed cluster would be told of faults that are none."""
    logs = structlog.get_config()
    commands = (["topics", "check", "--json"], ["doctor", "--url", "http://127.0.0.1:1/v1/webhook", "--json"])
    for command in commands:
        done = CliRunner().invoke(cli, lacking.command(user, *command))
        structlog.configure(**logs)
        assert isinstance(done.exception, SystemExit | SternpostError | None), f"{command}: {done.exception!r}"
        found = json.loads(done.stdout)
        said = found["findings"] if "findings" in found else found["checks"]
        faults = [one for one in said if "fault" in one.values()]
        # The endpoint is none, and the registry lacks the schema; the cluster has no fault, and it is not missing.
        assert [one for one in faults if one.get("name") not in ("endpoint", "schema", "registry")] == []
        assert "it does not exist" not in done.stdout
    if user in ("nothing", "the-cluster-alone"):
        assert "may not see whether it exists" in done.stdout
    elif user == "describe-topics":
        assert "may not see its settings" in done.stdout


@pytest.mark.parametrize("user", LACKING)
def test_what_status_may_not_see_ends_it_with_a_sentence(lacking: Secured, user: str) -> None:
    logs = structlog.get_config()
    done = CliRunner().invoke(cli, lacking.command(user, "status", "--json"))
    structlog.configure(**logs)
    if done.exit_code != 0:
        assert isinstance(done.exception, DependencyError), repr(done.exception)
        assert "sternpost acls" in str(done.exception)
