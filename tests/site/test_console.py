"""Every shell block of README and docs/ runs, on a Kafka of its own, or says why it does not."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sternpost.local import samples
from tests.site.console_blocks import Block, blocks, matches
from tests.site.network import network

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = [page for page in PAGES if any(not block.reason for block in blocks(page))]
MINUTES = 5
"""How long one command may take before it counts as hanging."""

SERVICES = {"sternpost ingest": "ingest", "sternpost process": "processor"}
"""Commands that go on, and what `sternpost healthcheck` calls them."""


class Shell:
    """A terminal: it keeps its folder and variables from one command to the next."""

    def __init__(self, prefix: list[str], folder: Path, scratch: Path) -> None:
        self.prefix, self.state, self.scratch = prefix, scratch / "state", scratch
        # Without what `make site-test` tells a make below it, which would then print more than a reader sees.
        hidden = ("STERNPOST_", "MAKE", "MFLAGS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        self.environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "160"}
        self.state.write_text(f"cd {shlex.quote(str(folder))}\n", "utf-8")
        self.background: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it printed."""
        keep = f'{{ set; export -p; printf "cd %q\\n" "$PWD"; }} > {shlex.quote(str(self.state))} 2> /dev/null'
        script = f"source {shlex.quote(str(self.state))} 2> /dev/null; set -eo pipefail\n{command}\n{keep}"
        done = subprocess.run(
            [*self.prefix, "bash", "-c", script],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, command: str, until: str) -> None:
        """Start a command that goes on, as in a terminal of its own; return once it has printed a text."""
        log = self.scratch / f"background-{len(self.background)}.log"
        script = f"source {shlex.quote(str(self.state))} 2> /dev/null; set -e\n{command}"
        with log.open("wb") as output:
            started = subprocess.Popen(
                [*self.prefix, "bash", "-c", script],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.background.append(started)
        deadline = time.monotonic() + 60 * MINUTES
        while until not in (printed := log.read_text("utf-8", "replace")):  # half a character at its end, at times
            assert started.poll() is None, f"`{command}` ended:\n{printed}"
            assert time.monotonic() < deadline, f"`{command}` never printed {until!r}:\n{printed}"
            time.sleep(0.1)

    def await_ready(self, service: str) -> None:
        """Return once a service that runs in the background is ready, as a reader's is by the next command."""
        deadline = time.monotonic() + 60 * MINUTES
        while (outcome := self.run(f"sternpost healthcheck --ready {service}"))[0] != 0:
            assert time.monotonic() < deadline, outcome[1]

    def close(self) -> None:
        """End what is in the background as Ctrl-C does, the last first."""
        for process in reversed(self.background):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], str]]:
    """Kafka, registry and both services in a network of their own, with some events; how to enter and to use it."""
    scratch = tmp_path_factory.mktemp("pipeline")
    with network() as prefix:
        shell = Shell(prefix, scratch, scratch)
        try:
            shell.start("sternpost dev", "Ctrl-C ends it")
            log = (scratch / "background-0.log").read_text("utf-8")
            exports = "\n".join(line.strip() for line in log.splitlines() if line.strip().startswith("export "))
            code, output = shell.run(f"{exports}\nsternpost send --count 20 && sternpost doctor --send")
            assert code == 0, output
            yield prefix, exports
        finally:
            shell.close()


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = ROOT if page.parent == ROOT else tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    with ExitStack() as ended:
        if page.name == "tutorial.md":  # it starts a Kafka itself
            shell = Shell(ended.enter_context(network()), folder, tmp_path)
        else:
            prefix, exports = request.getfixturevalue("pipeline")
            shell = Shell(prefix, folder, tmp_path)
            shell.run(exports)
            payloads = [json.dumps(payload) + "\n" for payload in samples.one_of_each()]
            if folder != ROOT:
                (folder / "payload.json").write_text(payloads[0], "utf-8")
                (folder / "payloads.jsonl").write_text("".join(payloads), "utf-8")
        ended.callback(shell.close)
        for block in blocks(page):
            if not block.reason:
                run(shell, block)


def run(shell: Shell, block: Block) -> None:
    for command, expected in block.steps:
        if block.until:
            shell.start(command, block.until)
            if (service := SERVICES.get(command.strip())) is not None:
                shell.await_ready(service)
            continue
        code, output = shell.run(command)
        assert code == 0, f"{block}: `{command}` ended with {code}:\n{output}"
        if block.kind == "console" and expected:
            assert matches(expected, output), f"{block}: `{command}` printed\n{output}\nand not\n" + "\n".join(expected)
