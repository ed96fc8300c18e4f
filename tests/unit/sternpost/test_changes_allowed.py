"""No operation changes anything without the permission: found by walking the package, not by a list."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runtime.settings.loader import load
from sternpost import operations
from sternpost.operations.changes_allowed import ChangesNotAllowedError
from sternpost.operations.doctor import clock, endpoint
from sternpost.operations.severity import Severity
from tests.support.receiver import receiving

PACKAGE = "sternpost.operations"
FOLDER = Path(operations.__file__).parent

WRITES = frozenset(
    {
        *("create_topics", "delete_topics", "create_partitions", "create_acls", "commit", "register"),
        *("produce", "send", "transaction", "post", "put", "patch", "delete", "request"),
    }
)
"""Methods of runtime's clients, and of an HTTP client, that change something outside of this process."""
WRITERS = frozenset({"CommandTransactions", "SynchronousProducer", "TransactionalProducer"})
"""Classes that change something when they are made, if only by fencing another producer."""
IN_THIS_PROCESS = frozenset({"self._deduplicator.commit"})

CHECKS = frozenset({"doctor.run_checks:run_checks", "doctor.clock:check", "doctor.endpoint:check"})
"""They do less without the permission, and do not raise; they have tests of their own below."""


class Function(NamedTuple):
    module: str
    qualname: str
    calls: list[ast.Call]

    @property
    def name(self) -> str:
        return f"{self.module.removeprefix(f'{PACKAGE}.')}:{self.qualname}"

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") and part != "__init__" for part in self.qualname.split("."))


def functions() -> Iterator[Function]:
    for file in sorted(FOLDER.rglob("*.py")):
        module = ".".join((PACKAGE, *file.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                yield Function(module, node.name, calls(node))
            elif isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        yield Function(module, f"{node.name}.{inner.name}", calls(inner))


def mutating() -> list[Function]:
    """Return the functions that reach a writing call, by way of any others of the package."""
    every = list(functions())
    found = {f.name: f for f in every if any(is_write(call) for call in f.calls)}
    while True:
        names = {name.partition(":")[2].removesuffix(".__init__").rpartition(".")[2] for name in found}
        more = {
            f.name: f for f in every if f.name not in found and any(reaches(call, f, found, names) for call in f.calls)
        }
        if not more:
            return list(found.values())
        found |= more


def calls(node: ast.AST) -> list[ast.Call]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]


def is_write(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in WRITES and ast.unparse(call.func) not in IN_THIS_PROCESS
    return isinstance(call.func, ast.Name) and call.func.id in WRITERS


def reaches(call: ast.Call, caller: Function, found: dict[str, Function], names: set[str]) -> bool:
    """Return whether the call is of one of the functions found: of a function that an import names, or any method."""
    target, called = call.func, importlib.import_module(caller.module)
    if isinstance(target, ast.Name):
        value = getattr(called, target.id, None)
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and hasattr(called, target.value.id):
        value = getattr(getattr(called, target.value.id), target.attr, None)
    else:  # a method of some object: take it for any of that name
        return isinstance(target, ast.Attribute) and any(f.qualname.endswith(f".{target.attr}") for f in found.values())
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}".removeprefix(f"{PACKAGE}.")
    return name in found or f"{name}.__init__" in found


FOUND = mutating()
PUBLIC = [function for function in FOUND if function.is_public]


def test_the_walk_finds_what_changes_something() -> None:
    assert {function.name for function in PUBLIC} >= {
        "topics:create",
        "topics:remove",
        "topic_creation:create",
        "add_partitions:increase_partitions",
        "schema:register",
        "acls:create",
        "dead_letters.redrive:redrive",
        "replay.replay:Replay.__init__",
        "replay.replay:Replay.run",
        "replay.write:write",
        *CHECKS,
    }
    names = {function.name for function in FOUND}
    assert not names & {"dead_letters.redrive:plan", "replay.dry_run:dry_run", "topics:check", "schema:check"}


class Nothing:
    """Stands for any argument; whoever looks at it has begun without the permission."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked at")


@pytest.mark.parametrize("function", [f for f in PUBLIC if f.name not in CHECKS], ids=lambda f: f.name)
def test_it_refuses_before_it_does_anything(function: Function) -> None:
    module = importlib.import_module(function.module)
    owner, _, method = function.qualname.rpartition(".")
    if owner and "allowed" in inspect.signature(getattr(module, owner)).parameters:
        target = getattr(module, owner)  # who has no instance cannot call a method
    elif owner:
        target = getattr(getattr(module, owner).__new__(getattr(module, owner)), method)
    else:
        target = getattr(module, function.qualname)
    parameters = inspect.signature(target).parameters
    assert "allowed" in parameters, f"{function.name} changes something and takes no permission"
    arguments = {
        name: None if name == "allowed" else Nothing()
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
    }
    with pytest.raises(ChangesNotAllowedError, match="--allow-changes"):
        target(**arguments)


def test_doctor_reads_no_clock_without_it() -> None:
    [check] = clock.check(Nothing(), None, [1])  # type: ignore[arg-type]
    assert check.severity is Severity.SKIPPED


def test_doctor_asks_the_endpoint_only_what_writes_nothing_without_it() -> None:
    settings = load(None, {"sources": [{"name": "a", "write_keys": ["the-key"], "signing_keys": ["secret"]}]})
    with receiving() as receiver:
        receiver.statuses = [401]
        checks = list(endpoint.check(settings, None, f"{receiver.url}/v1/webhook", send=False))
    assert [check.severity for check in checks] == [Severity.OK, Severity.SKIPPED]
    [(path, _, _)] = receiver.requests
    assert "the-key" not in path
    with pytest.raises(ChangesNotAllowedError):
        list(endpoint.check(settings, None, "http://127.0.0.1:1/v1/webhook", send=True))
