"""Time until the command line answers, and until a service is ready if Kafka is up."""

import http.client
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.cluster import OURS, Cluster, fresh
from benchmarks.process_tree import ProcessTree
from benchmarks.result import Result
from sternpost.local import ports

SERVICES: dict[str, tuple[str, dict[str, object]]] = {"ingest": ("ingest", {"port": 0}), "process": ("processor", {})}
"""The services, with their section of the settings and what is to be set in it."""

READY_S = 60


def measure(cluster: Cluster) -> list[Result]:
    """One run each. Raises DependencyError where a service does not come up."""
    return [_help(), *(_service(cluster, name) for name in SERVICES)]


def _help() -> Result:
    program = Path(sys.executable).with_name("sternpost")
    began, before = time.monotonic(), _children_cpu_s()
    subprocess.run([program, "--help"], check=True, capture_output=True)
    figures = {"seconds": time.monotonic() - began, "cpu_s": _children_cpu_s() - before}
    return Result("start", f"{OURS} --help", {}, figures)


def _service(cluster: Cluster, name: str) -> Result:
    """From the start of the program to `/readyz` saying 200, asked every 20 ms."""
    port = ports.choose(0, name, "")
    section, values = SERVICES[name]
    with fresh(cluster, 4, **{section: {**values, "admin_port": port}}) as place:
        process = place.process(name, None, service=name, environment={})
        began = time.monotonic()
        process.start()
        try:
            process.wait_until(lambda: is_ready(port), READY_S)
            seconds = time.monotonic() - began
            assert process.pid
            cpu_s = ProcessTree(process.pid).cpu_s()
        finally:
            process.stop()
    return Result("start", f"{OURS} {name}", {}, {"seconds": seconds, "cpu_s": cpu_s})


def is_ready(port: int) -> bool:
    """Whether `/readyz` on this port says so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
