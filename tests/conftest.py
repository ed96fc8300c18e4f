"""Fixtures for all tests: one Kafka and one registry a session, topics and settings of its own for each test."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.support.kafka import STOP_MS, WRITE_KEY, Kafka, SettingsMaker, TopicMaker, running
from tests.support.service import Starter

# Tests run from the sources, whatever is compiled: breakpoints, coverage and patches work there. PURE_PYTHON=0 has them
# run what is compiled.
os.environ.setdefault("PURE_PYTHON", "1")

gc.disable()  # until the tests are collected: `pytest_runtestloop` enables it

# How many examples of each property: few while one writes, many where no one waits for them. None has a time limit: the
# speed of the machine is not what these tests test, benchmarks measure that.
for profile, max_examples in {"quick": 5, "usual": 25, "thorough": 100}.items():
    hypothesis.settings.register_profile(
        profile,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        max_examples=max_examples,
    )
hypothesis.settings.load_profile("usual")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, by `nohup` or a script's `&`: what tests start would ignore Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    from schemas.avro import encoder

    return f"encoder: {'the source' if encoder.__file__.endswith('.py') else 'compiled'}"


TIMEOUTS_S = {"chaos": 1200, "network": 1200, "deploy": 1200, "console": 600, "sinks": 600, "site": 600}
"""By folder; `timeout` in pyproject.toml is for the others, and `--timeout` for all."""


LONGEST = (
    "integration/test_processor.py",
    "integration/test_transport_kafka.py",
    "integration/test_msk_iam.py",
    "integration/test_unreachable.py",
    "integration/test_replay.py",
    "integration/test_supervisor.py",
    "integration/test_local_stack.py",
    "integration/test_services.py",
    "integration/test_registry_refuses.py",
    "integration/test_dead_letters.py",
    "integration/test_client_credentials.py",
    "integration/test_find.py",
    "integration/test_security.py",
    "integration/test_ingest_smuggling.py",
    "integration/test_ingest_operation.py",
    "integration/test_group_protocols.py",
    "integration/test_ingest.py",
    "integration/test_cli.py",
    "model/test_transactional_loop.py",
)
"""Files that take longest: first, so that in the end no worker is left alone with one."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort, and give tests of the slower suites more time, unless the command line says how much."""
    order = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get("/".join(item.path.parts[-2:]), len(order)))
    if config.getoption("timeout") is not None:
        return
    for item in items:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        if folder in TIMEOUTS_S and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUTS_S[folder]))


_shared = pytest.StashKey[ExitStack]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """With pytest-xdist, start one Kafka for all workers. They find it in the environment that they inherit."""
    config = session.config
    is_controller = config.getoption("numprocesses", default=None) and not hasattr(config, "workerinput")
    only_units = all("tests/unit" in Path(argument).as_posix() for argument in config.args)
    if not is_controller or only_units or config.option.collectonly:
        return
    config.stash[_shared] = stack = ExitStack()
    kafka = stack.enter_context(running())
    os.environ["STERNPOST_TEST_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
    os.environ["STERNPOST_TEST_REGISTRY_URL"] = kafka.registry_url


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the session's workers shared."""
    if stack := config.stash.get(_shared, None):
        stack.close()


# Hooks rather than fixtures: as fixtures, these two took a fifth of pytest's own time for each of thousands of tests.


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Begin: collect garbage, but pass over what is there now, which stays to the end.

    Remove settings from the environment: a developer's own cluster must not end up in a test.
    """
    gc.freeze()
    gc.enable()
    for name in list(os.environ):
        if name.startswith("STERNPOST_") and not name.startswith("STERNPOST_TEST_"):
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Leave the logs as they were: commands that run within a test silence those of this process."""
    before = structlog.get_config()
    try:
        return (yield)
    finally:
        structlog.configure(**before)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Kafka and a schema registry, shared by the session's tests."""
    with running() as kafka:
        yield kafka


@pytest.fixture
def make_topics(kafka: Kafka) -> Iterator[TopicMaker]:
    """`make_topics(partitions=4) -> Topics`: raw, events and dead letters with names of their own."""
    maker = TopicMaker(kafka)
    yield maker
    maker.remove()


@pytest.fixture
def make_settings(kafka: Kafka, tmp_path: Path) -> SettingsMaker:
    """`make_settings(topics, processor={…}) -> Settings` for this session's Kafka and these topics."""
    return SettingsMaker(kafka, tmp_path)


@pytest.fixture
def start(kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path) -> Iterator[Starter]:
    """`start("ingest") -> Service`: services with topics of their own, ended with the test."""
    topics = make_topics(partitions=2)
    settings = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "schema_registry": {"url": kafka.registry_url, "auto_register": True},
        "topics": {"raw": topics.raw, "events": topics.events, "dead_letters": topics.dead_letters},
        "sources": [{"name": "test", "write_keys": [WRITE_KEY]}],
        "ingest": {"host": "127.0.0.1", "drain_delay_ms": 0, "drain_timeout_ms": STOP_MS},
        "processor": {
            "group_id": topics.raw,
            "instance_id": "test",
            "state_dir": str(tmp_path / "state"),
            "shutdown_timeout_ms": STOP_MS,
        },
    }
    starter = Starter(settings, tmp_path)
    yield starter
    for service in starter.started:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
