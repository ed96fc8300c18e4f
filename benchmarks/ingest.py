"""Throughput, latency and CPU of signed webhooks over HTTP, each answered once the brokers have it."""

import http.client
import time
from collections.abc import Sequence

from benchmarks import load
from benchmarks.cluster import SIGNING_KEY, WRITE_KEY, Cluster, Place, fresh
from benchmarks.payloads import webhook
from benchmarks.process_tree import ProcessTree
from benchmarks.result import Result
from runtime.kafka import range_consumer
from sternpost.local import ports
from sternpost.local.process import Process
from sternpost.operations.signed_webhook import signature

PATH = f"/v1/webhook?writeKey={WRITE_KEY}"
WARM_UP_S = 2
READY_S = 180


def measure(
    cluster: Cluster, connections: Sequence[int], seconds: int, *, subject: str, command: str | None = None
) -> list[Result]:
    """One run, a result for each number of connections. Raises DependencyError where the program does not answer."""
    port = ports.choose(0, subject, "")
    results = []
    with fresh(cluster, ingest={"port": port}) as place:
        process = start(cluster, place, port, subject, command)
        try:
            assert process.pid
            tree = ProcessTree(process.pid)
            headers, body = signed(0)
            load.run(port, PATH, headers, body, 64, min(WARM_UP_S, seconds))
            for count in connections:
                headers, body = signed(0)
                before, cpu_s = _records(place), tree.cpu_s()
                came = load.run(port, PATH, headers, body, count, seconds)
                cpu_s = tree.cpu_s() - cpu_s
                tree.sample_rss()
                figures = {
                    "requests_per_s": came.requests / came.seconds,
                    "cpu_us_per_request": 1e6 * cpu_s / max(came.requests, 1),
                    "p50_ms": came.p50_ms,
                    "p99_ms": came.p99_ms,
                    "failed": came.failed,
                    "requests": came.requests,
                    "records": _records(place) - before,
                    "rss_mib": tree.peak_rss_bytes / 2**20,
                }
                results.append(Result("ingest", subject, {"connections": count}, figures))
        finally:
            process.stop()
    return results


def start(cluster: Cluster, place: Place, port: int, subject: str, command: str | None) -> Process:
    """Start the program; return once it answers a signed webhook with 200."""
    environment = {
        "PORT": str(port),
        "RAW": place.settings.topics.raw,
        "BOOTSTRAP": cluster.bootstrap_servers,
        "WRITE_KEY": WRITE_KEY,
        "SIGNING_KEY": SIGNING_KEY,
    }
    process = place.process(subject, command, service="ingest", environment=environment)
    process.start()
    try:
        process.wait_until(lambda: _answers(port), READY_S)
    except BaseException:
        process.stop()
        raise
    return process


def signed(index: int, run: str = "") -> tuple[dict[str, str], bytes]:
    """Return headers and body of a webhook that is signed now."""
    body, now = webhook(index, run).body, int(time.time())
    stamp = {"X-CIO-Timestamp": str(now), "X-CIO-Signature": signature(SIGNING_KEY, now, body)}
    return {"Content-Type": "application/json", **stamp}, body


def _answers(port: int) -> bool:
    headers, body = signed(0)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", PATH, body, headers)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _records(place: Place) -> int:
    """Return the number of records in the raw topic, which is at least that of the answered webhooks.

    Wait until it stands still: what was in flight when the load stopped comes later.
    """
    settings, before, found = place.settings, -1, 0
    while found != before:
        time.sleep(0.3)
        spans = range_consumer.readable_ranges(settings, settings.topics.raw)
        before, found = found, sum(span.offsets for span in spans)
    return found
