"""When compiled modules are imported, and when their sources."""

from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tools.compile import MODULES, ROOT
from tools.compiled_finder import PACKAGES, CompiledFinder, digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree of sources."""
    root = tmp_path / "tree"
    modules = ("schemas/__init__.py", "schemas/avro/encoder.py", "schemas/customerio/lossless_json.py")
    for file in (*modules, "processor/pipeline/explanation.py"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(f"# {file}")
    return root


@pytest.fixture
def built(root: Path, tmp_path: Path) -> Path:
    """What was compiled of it."""
    folder = tmp_path / "built"
    (folder / "schemas/avro").mkdir(parents=True)
    (folder / "schemas/customerio").mkdir()
    for name in ("schemas/customerio/lossless_json", "schemas/avro/encoder", "x__mypyc"):
        (folder / name).with_suffix(EXTENSION_SUFFIXES[0]).touch()
    (folder / "digest").write_text(digest(root))
    return folder


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PURE_PYTHON", raising=False)


def found(built: Path, root: Path, name: str) -> str | None:
    """Where the module comes from, without its suffix; None where another finder is to look."""
    finder = CompiledFinder(built)
    finder.find_spec("schemas.customerio.lossless_json", [str(root / "schemas/customerio")])
    spec = finder.find_spec(name, [str(root.joinpath(*name.split(".")[:-1]))] if "." in name else None)
    return None if spec is None or spec.origin is None else spec.origin.removesuffix(EXTENSION_SUFFIXES[0])


def test_what_is_compiled_is_found_while_the_sources_are_the_same(built: Path, root: Path) -> None:
    assert found(built, root, "schemas.customerio.lossless_json") == str(built / "schemas/customerio/lossless_json")
    assert found(built, root, "schemas.avro.encoder") == str(built / "schemas/avro/encoder")
    assert found(built, root, "x__mypyc") == str(built / "x__mypyc")
    for other in ("schemas", "processor.pipeline.explanation", "schemas.avro", "json", "tests.values"):
        assert found(built, root, other) is None


def test_a_module_of_a_package_in_a_package_may_be_the_first(built: Path, root: Path) -> None:
    spec = CompiledFinder(built).find_spec("schemas.avro.encoder", [str(root / "schemas/avro")])
    assert spec is not None


def edit(root: Path) -> None:
    (root / "processor/pipeline/explanation.py").write_text("# processor/core.pY")


def add(root: Path) -> None:
    (root / "schemas/avro/new.py").touch()


def remove(root: Path) -> None:
    (root / "processor/pipeline/explanation.py").unlink()


def move_text(root: Path) -> None:
    """The same bytes in the same order, divided between two files in another way."""
    one, other = root / "schemas/avro/encoder.py", root / "schemas/customerio/lossless_json.py"
    one.write_text(one.read_text() + other.read_text())
    other.write_text("")


@pytest.mark.parametrize("change", [edit, add, remove, move_text])
def test_nothing_compiled_is_taken_after_a_change_of_any_source(
    built: Path, root: Path, change: Callable[[Path], None]
) -> None:
    change(root)
    for name in ("schemas.customerio.lossless_json", "schemas.avro.encoder", "x__mypyc"):
        assert found(built, root, name) is None


def test_the_sources_of_another_tree_are_compared_with_what_was_compiled(built: Path, root: Path) -> None:
    other = root.rename(root.with_name("other"))
    assert found(built, other, "schemas.customerio.lossless_json")
    edit(other)
    assert found(built, other, "schemas.customerio.lossless_json") is None


@pytest.mark.parametrize(("value", "compiled"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_pure_python_has_the_sources_run(
    built: Path, root: Path, monkeypatch: pytest.MonkeyPatch, value: str, compiled: bool
) -> None:
    monkeypatch.setenv("PURE_PYTHON", value)
    assert (found(built, root, "schemas.customerio.lossless_json") is not None) == compiled


def test_what_is_compiled_is_there_and_seen_by_the_finder() -> None:
    for module in MODULES:
        assert (ROOT / module).exists(), module
        assert module.split("/")[0] in PACKAGES
