"""A network of its own for processes under test: its 127.0.0.1 is nobody else's, so the usual ports are free in it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

ROOT_ONLY = [] if os.geteuid() == 0 else ["--map-root-user"]


@contextmanager
def network() -> Iterator[list[str]]:
    """Give the beginning of a command that runs the rest of it in a new network namespace (Linux)."""
    holder = subprocess.Popen(
        ["unshare", "--net", *ROOT_ONLY, "sh", "-c", "ip link set lo up && echo up && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stderr
    with holder:
        try:
            if holder.stdout.readline() != b"up\n":
                holder.stdin.close()
                pytest.skip(f"no network namespace can be made here: {holder.stderr.read().decode().strip()}")
            user = ["--user", "--preserve-credentials"] if ROOT_ONLY else []
            yield ["nsenter", f"--target={holder.pid}", *user, "--net"]
        finally:
            holder.stdin.close()  # ends `cat`, and with the last process in it, the namespace
