"""Metrics summed over processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.disks import small_disk

SCRIPT = """
import json, subprocess, sys
from runtime import metrics

requests = metrics.counter("t_requests_total", "Requests.", "source")
waiting = metrics.gauge("t_waiting", "Waiting.")
seconds = metrics.histogram("t_seconds", "Seconds.", bounds=(0.1, 1))

def work():
    requests.labels("a").inc()
    metrics.buffered_counter(requests, "a").inc()
    requests.labels("b").inc()
    waiting.labels().set(5)
    seconds.labels().observe(0.05)
    for value in (0.1, 0.5, 7):
        metrics.buffered_histogram(seconds).observe(value)
    metrics.flush()
    metrics.flush()

if sys.argv[1:] == ["work"]:
    metrics.open_counters()
    work()
    print("worked", flush=True)
    sys.stdin.read()
else:
    metrics.enable_multiprocess()
    workers = [
        subprocess.Popen([sys.executable, __file__, "work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for worker in workers:
        worker.stdout.readline()
    print(json.dumps(metrics.render().decode()))
    workers[0].communicate()
    metrics.mark_process_dead(workers[0].pid)
    metrics.mark_process_dead(workers[0].pid)
    print(json.dumps(metrics.render().decode()))
    workers[1].communicate()
"""


FULL = """
import sys
from runtime import metrics, temporary

temporary.MEMORY = sys.argv[1]
metrics.enable_multiprocess()
metrics.LOG_LINES_DROPPED.labels().inc()
print(metrics.render().decode())
"""


def samples(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def count_on(disk: Path, temporary: Path) -> "subprocess.CompletedProcess[str]":
    """Count with one disk for what is to be in memory, and one for temporary files."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(
        [sys.executable, "-c", FULL, disk], env=environment, capture_output=True, text=True, check=False
    )


def test_memory_without_room_for_counters_is_not_used(tmp_path: Path) -> None:
    """The kernel would end the process as soon as it counts."""
    with small_disk(tmp_path / "memory", "64k") as memory:
        ran = count_on(memory, tmp_path)
        assert samples(ran.stdout)["sternpost_log_lines_dropped_total{}"] == 1, ran
        assert list(memory.iterdir()) == []
        ran = count_on(memory, memory)
        assert ran.returncode == 1
        assert "ConfigurationError: no temporary folder can be made (No space left on device)" in ran.stderr


def test_processes_are_added_up_and_one_that_ended_keeps_its_counts(tmp_path: Path) -> None:
    script = tmp_path / "counting.py"
    script.write_text(SCRIPT)
    ran = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    printed = [json.loads(line) for line in ran.stdout.splitlines()]
    both, one = map(samples, printed)
    counts = {
        "t_requests_total{source=a}": 4,
        "t_requests_total{source=b}": 2,
        "t_seconds_bucket{le=0.1}": 4,
        "t_seconds_bucket{le=1.0}": 6,
        "t_seconds_bucket{le=+Inf}": 8,
        "t_seconds_count{}": 8,
        "t_seconds_sum{}": pytest.approx(15.3),
        "sternpost_log_lines_dropped_total{}": 0,  # there from the start
    }
    for text in printed:
        assert "# HELP t_seconds Seconds.\n" in text
    assert both == {**counts, "t_waiting{}": 10}
    assert one == {**counts, "t_waiting{}": 5}
