"""HTTP load: from wrk if it is installed, else from a client of our own, which limits what can be measured."""

import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('REPORT {"requests":%d,"us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What came back."""

    requests: int
    seconds: float
    failed: int
    """Answers other than 2xx, and connections that broke."""
    p50_ms: float
    p99_ms: float


def has_wrk() -> bool:
    """Return whether wrk is installed: https://github.com/wg/wrk."""
    return shutil.which("wrk") is not None


def run(port: int, path: str, headers: Mapping[str, str], body: bytes, connections: int, seconds: int) -> Load:
    """Send the same POST again and again, on `connections` connections for `seconds`."""
    if has_wrk():
        return _wrk(port, path, headers, body, connections, seconds)
    return asyncio.run(_ours(port, path, headers, body, connections, seconds))


def _wrk(port: int, path: str, headers: Mapping[str, str], body: bytes, connections: int, seconds: int) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "load.lua")
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
        text = json.dumps(body.decode("ascii"))
        script.write_text("\n".join(['wrk.method = "POST"', *lines, f"wrk.body = {text}", _REPORT]))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.partition("REPORT ")[2])
    failed = found["refused"] + found["broken"]
    return Load(found["requests"], found["us"] / 1e6, failed, found["p50_us"] / 1e3, found["p99_us"] / 1e3)


async def _ours(port: int, path: str, headers: Mapping[str, str], body: bytes, connections: int, seconds: int) -> Load:
    taken: list[float] = []
    failed = 0
    began = time.monotonic()

    async def client() -> None:
        nonlocal failed
        async with Connection(port) as connection:
            while (sent := time.monotonic()) < began + seconds:
                status = await connection.post(path, headers, body)
                taken.append(time.monotonic() - sent)
                failed += not 200 <= status < 300

    await asyncio.gather(*(client() for _ in range(connections)))
    return Load(len(taken), time.monotonic() - began, failed, percentile_ms(taken, 50), percentile_ms(taken, 99))


def percentile_ms(seconds: list[float], percent: int) -> float:
    """In milliseconds; nan where there is nothing to take it of."""
    if len(seconds) < 2:
        return 1e3 * seconds[0] if seconds else float("nan")
    return 1e3 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


class Connection:
    """One kept alive. Knows of HTTP what these measurements need."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a request and return the status of the answer."""
        fields = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = answer.partition("content-length:")[2].partition("\r\n")[0].strip()
        if length:
            await self._reader.readexactly(int(length))
        return int(answer.split(" ", 2)[1])


async def at_rate(
    port: int, connections: int, per_s: float, count: int, request: Callable[[int], tuple[str, dict[str, str], bytes]]
) -> tuple[dict[int, float], int]:
    """`count` different requests, each at its time; when each was answered 2xx (time.time), and how many were not."""
    answered: dict[int, float] = {}
    numbers = iter(range(count))
    began = time.monotonic()

    async def client() -> None:
        async with Connection(port) as connection:
            for number in numbers:  # shared: the next free connection takes the next request
                path, headers, body = request(number)
                await asyncio.sleep(began + number / per_s - time.monotonic())
                if 200 <= await connection.post(path, headers, body) < 300:
                    answered[number] = time.time()

    await asyncio.gather(*(client() for _ in range(connections)))
    return answered, count - len(answered)
