"""Child processes, as real ones."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from runtime.errors import DependencyError
from sternpost.local.process import Process
from tests.support.disks import fill, small_disk
from tests.support.waiting import PATIENCE_S, ended, until

FOR_EVER = "import sys, time; print('started', flush=True)\nwhile True: time.sleep(60)"
DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True)\n\
while True: time.sleep(60)"


def child(tmp_path: Path, program: str) -> Process:
    return Process("the child", [sys.executable, "-c", program], tmp_path / "child.log")


def started(process: Process) -> int:
    process.start()
    process.wait_until(lambda: "started" in process.output(), PATIENCE_S)
    assert process.pid is not None
    return process.pid


def status(pid: int) -> str:
    return str(psutil.Process(pid).status())


def test_it_is_stopped_in_good_order(tmp_path: Path) -> None:
    process = child(tmp_path, FOR_EVER)
    pid = started(process)
    process.stop(PATIENCE_S)
    assert process.exit_code == -signal.SIGTERM
    assert not psutil.pid_exists(pid)
    process.stop()  # does nothing
    process.kill()


def test_one_that_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    process = child(tmp_path, DEAF)
    started(process)
    process.stop(timeout_s=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_frozen_it_stands_still_thawed_it_goes_on_and_frozen_it_can_be_stopped(tmp_path: Path) -> None:
    process = child(tmp_path, FOR_EVER)
    pid = started(process)
    process.freeze()
    process.wait_until(lambda: status(pid) == psutil.STATUS_STOPPED, PATIENCE_S)
    process.thaw()
    process.wait_until(lambda: status(pid) == psutil.STATUS_SLEEPING, PATIENCE_S)
    process.freeze()
    process.stop(PATIENCE_S)
    assert process.exit_code == -signal.SIGTERM


def test_it_can_be_started_again_and_its_output_is_that_of_the_last_run(tmp_path: Path) -> None:
    process = child(tmp_path, FOR_EVER)
    first = started(process)
    process.kill()
    assert started(process) != first
    assert process.output().count("started") == 1
    assert (tmp_path / "child.log").read_text().count("started") == 2
    process.kill()


def test_its_end_before_it_was_ready_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    process = child(tmp_path, "print('java.net.BindException: Address already in use'); raise SystemExit(3)")
    process.start()
    with pytest.raises(DependencyError) as raised:
        process.wait_until(lambda: False, PATIENCE_S)
    message = str(raised.value)
    assert "the child ended with exit code 3 before it was ready" in message
    assert "One of its ports is in use" in message
    assert str(tmp_path / "child.log") in message
    assert "  | java.net.BindException: Address already in use" in message


def test_a_full_disk_is_named_even_if_the_last_words_did_not_fit(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk)
        process = child(disk, "raise SystemExit(3)")
        process.start()
        with pytest.raises(
            DependencyError, match=f"exit code 3 .*\nThe disk of {disk} is full: free space on its disk"
        ):
            process.wait_until(lambda: False, PATIENCE_S)


def test_one_that_is_never_ready_is_an_error_that_says_why(tmp_path: Path) -> None:
    process = child(tmp_path, FOR_EVER)
    started(process)
    with pytest.raises(DependencyError, match=r"was not ready within 0 s \(Kafka is away\)"):
        process.wait_until(lambda: False, 0, lambda: "Kafka is away")
    process.kill()


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    process = Process("the child", [tmp_path / "missing"], tmp_path / "child.log")
    process.start()
    with pytest.raises(DependencyError, match="cannot be run: No such file"):
        process.wait_until(lambda: False, PATIENCE_S)


ANSWERING = "import signal; signal.signal(signal.SIGUSR1, lambda *_: print('here', flush=True))\n" + FOR_EVER


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the thread where Linux shows it")
def test_it_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    process = child(tmp_path, ANSWERING)
    thread = threading.Thread(target=started, args=(process,))
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    process.wait_until(lambda: not task.exists(), PATIENCE_S)

    assert process.pid is not None
    os.kill(process.pid, signal.SIGUSR1)
    process.wait_until(lambda: "here" in process.output(), PATIENCE_S)
    process.kill()


PARENT = """
import sys, time
from pathlib import Path
from sternpost.local.process import Process
child = Process("the child", [sys.executable, "-c", {program!r}], Path({log!r}))
child.start()
child.wait_until(lambda: "started" in child.output(), {patience_s})
print(child.pid, flush=True)
while True: time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's notice of a parent's death is Linux's")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent_however_that_dies(tmp_path: Path, how: signal.Signals) -> None:
    program = PARENT.format(program=DEAF, log=str(tmp_path / "child.log"), patience_s=PATIENCE_S)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, how)
        parent.wait(PATIENCE_S)
    until(lambda: ended(orphan))
