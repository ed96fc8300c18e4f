"""What is light to import stays so."""

import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = ("confluent_kafka", "click", "pydantic", "granian", "httpx2", "rocksdict", "prometheus_client")
GOOD = b'{"event_id":"e","object_type":"email","metric":"sent","timestamp":1,"data":{"customer_id":"42"}}'


@pytest.mark.parametrize(
    ("code", "absent"),
    [("import sternpost", ("processor", "schemas", "fastavro")), ("from sternpost import Mapper; Mapper()", CLIENTS)],
)
def test_the_library_imports_little(code: str, absent: tuple[str, ...]) -> None:
    program = f"{code}; import sys; print(*sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_transform_needs_no_heavy_library_and_no_settings(tmp_path: Path) -> None:
    (tmp_path / "sternpost.toml").write_text("broken")
    heavy = ("confluent_kafka", "pydantic", "granian", "rocksdict")
    code = (
        "import sys; from sternpost.cli.main import cli; cli(['transform'], standalone_mode=False); "
        f"sys.exit(' '.join(name for name in {heavy!r} if name in sys.modules) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, input=GOOD, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert b'"Email Sent"' in result.stdout


def test_a_command_collects_garbage_once_it_is_imported() -> None:
    code = (
        "import gc; from sternpost.cli.main import cli; print(gc.isenabled()); "
        "cli(['mapping'], standalone_mode=False); print(gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("False\n")
    assert done.stdout.endswith("\nTrue\n")
