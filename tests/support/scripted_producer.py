"""A scripted producer in place of librdkafka's."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka import clients, transactional_producer
from tests.support.waiting import PATIENCE_S


class ScriptedProducer:
    """Raises each scripted error of a call once, and records the calls."""

    script: ClassVar[list[tuple[str, BaseException]]] = []
    made: ClassVar[list["ScriptedProducer"]] = []

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.report: Callable[[KafkaError | None, Any], None] = config["on_delivery"]
        self.reports: list[KafkaError] = []
        self.calls: list[str] = []
        self.offsets: list[tuple[int, int]] = []
        self.made.append(self)

    def __call__(self, name: str) -> None:
        self.calls.append(name)
        if self.script and self.script[0][0] == name:
            raise self.script.pop(0)[1]

    def init_transactions(self, _: float) -> None:
        self("init")

    def begin_transaction(self) -> None:
        self("begin")

    def produce(self, *_: object, **__: object) -> None:
        self("produce")

    def send_offsets_to_transaction(self, positions: Any, metadata: object, _: float) -> None:
        self.offsets = [(tp.partition, tp.offset) for tp in positions]
        self("offsets")

    def commit_transaction(self, _: float) -> None:
        self("commit")

    def abort_transaction(self, _: float) -> None:
        self("abort")

    def flush(self, _: float) -> int:
        self("flush")
        return 0

    def poll(self, _: float) -> int:
        while self.reports:
            self.report(self.reports.pop(0), None)
        return 0


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedProducer]:
    """The producers in the order of their creation. None counts as delayed for being tried on a busy machine."""
    monkeypatch.setattr(ScriptedProducer, "script", [])
    monkeypatch.setattr(ScriptedProducer, "made", [])
    monkeypatch.setattr(clients, "Producer", ScriptedProducer)
    monkeypatch.setattr(transactional_producer, "RETRY_S", 0.0)
    monkeypatch.setattr(transactional_producer, "UNDISTURBED_S", PATIENCE_S)
    return ScriptedProducer.made


def error(code: int, *, retriable: bool = False, abort: bool = False, fatal: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, fatal=fatal, retriable=retriable, txn_requires_abort=abort))
