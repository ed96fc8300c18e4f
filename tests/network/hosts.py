"""Hosts of our own on this machine, whose links can be cut, slowed and made lossy.

The process that uses this must have network and mount namespaces of its own, as `unshare --net --mount` gives it. It is
the switch that all hosts are connected to, and itself a host, that of the clients. Each other host is a process that
sleeps in namespaces of its own; what is to run there enters these. So the kernel removes everything with the last
process, however it ended, and what else runs on this machine never sees any of it.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sternpost.local.process import Process
from tests.chaos import pipeline
from tests.support.waiting import until

TOOLS = ("ip", "iptables", "nsenter", "setpriv", "sysctl", "tc", "unshare")
"""What must be there: of Debian's packages iproute2, iptables, procps and util-linux."""


class Host(pipeline.Host):
    """A host with an address and a name on the network; by itself, that of the clients."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def run(self, *command: str) -> None:
        """Run a command there."""
        run(*self.enter, *command)

    @contextlib.contextmanager
    def rules(self, *rules: Sequence[str]) -> Iterator[None]:
        """Have rules of iptables(8) in force there, each from its chain on."""
        added: list[Sequence[str]] = []
        try:
            for rule in rules:
                self.run("iptables", "-w", "-A", *rule)
                added.append(rule)
            yield
        finally:
            for rule in added:
                self.run("iptables", "-w", "-D", *rule)


class Peer(Host):
    """A host in namespaces of its own."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        """`start` starts it; `folder` is for what goes wrong meanwhile."""
        super().__init__(name, address)
        sleep = ["/usr/bin/unshare", "--net", "--mount", "sleep", "infinity"]
        self._log = folder / "hosts.log"
        self._sleep = Process(name, sleep, self._log)

    @property
    def enter(self) -> list[str]:
        """What a command begins with to run there; it keeps its process id."""
        assert self._sleep.pid is not None, f"{self.name} is not on"
        return ["/usr/bin/nsenter", f"--target={self._sleep.pid}", "--net", "--mount"]

    def start(self) -> None:
        """Connect it to the switch, which is the network namespace of this process."""
        self._sleep.start()
        pid = self._sleep.pid
        command = Path(f"/proc/{pid}/comm")
        until(lambda: command.read_text() == "sleep\n")  # and so in its namespaces
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "link", "set", self.name, "master", "switch", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "up")
        self.move(self.address)

    def stop(self) -> None:
        """End it, once nothing runs there any more."""
        self._sleep.kill()

    def move(self, address: str) -> None:
        """Take another address. What is connected to the one before hears no more of it."""
        self.run("ip", "address", "flush", "dev", "eth0")
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.address = address

    @contextlib.contextmanager
    def thin(self, kbit_s: int) -> Iterator[None]:
        """Let only so much through, each way; three seconds' worth may wait, and the rest is dropped."""
        limit = ["tbf", "rate", f"{kbit_s}kbit", "burst", "2kb", "latency", "3s"]
        self.run("tc", "qdisc", "add", "dev", "eth0", "root", *limit)
        run("tc", "qdisc", "add", "dev", self.name, "root", *limit)
        try:
            yield
        finally:
            run("tc", "qdisc", "del", "dev", self.name, "root")
            self.run("tc", "qdisc", "del", "dev", "eth0", "root")

    @contextlib.contextmanager
    def slow(self, delay_ms: int) -> Iterator[None]:
        """Put a link in the place of the one that is there that lets everything through so much later, each way."""
        program = [sys.executable, "-m", "tests.network.slow_link", "near", "far", str(delay_ms)]
        link = Process("slow link", program, self._log)
        link.start()
        try:
            link.wait_until(lambda: {"near", "far"} <= {name for _, name in socket.if_nameindex()}, 60)
            run("ip", "link", "set", "near", "master", "switch", "up")
            run("ip", "link", "set", "far", "netns", str(self._sleep.pid))
            self.run("ip", "link", "set", "eth0", "down")
            self.run("ip", "address", "flush", "dev", "eth0")
            self.run("ip", "address", "add", f"{self.address}/24", "dev", "far")
            self.run("ip", "link", "set", "far", "up")
            yield
        finally:
            link.kill()
            self.run("ip", "link", "set", "eth0", "up")
            self.move(self.address)


class Network:
    """The switch, and the hosts by their names, which all of them know."""

    def __init__(self, folder: Path) -> None:
        self.client = Host("client", "10.0.0.1")
        self.peers: dict[str, Peer] = {}
        self._last = 10
        self._folder = folder
        self._names = folder / "hosts"
        self._others = Path("/etc/hosts").read_text("utf-8")
        self._write_names()
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "type", "bridge")
        run("ip", "address", "add", f"{self.client.address}/24", "dev", "switch")
        run("ip", "link", "set", "switch", "up")
        # Hosts are made later, with copies of this mount: what is written into the file reaches all of them.
        run("mount", "--bind", str(self._names), "/etc/hosts")

    def host(self, name: str) -> Peer:
        """Return the host of that name; the first call makes it."""
        if name not in self.peers:
            self.peers[name] = Peer(name, self._free_address(), self._folder)
            self._write_names()
            self.peers[name].start()
        return self.peers[name]

    @property
    def hosts(self) -> list[Host]:
        """All of them."""
        return [self.client, *self.peers.values()]

    def move(self, host: Peer) -> None:
        """Give the host an address that none ever had, and its name as well."""
        host.move(self._free_address())
        self._write_names()

    def stop(self) -> None:
        for peer in self.peers.values():
            peer.stop()

    def _free_address(self) -> str:
        self._last += 1
        return f"10.0.0.{self._last}"

    def _write_names(self) -> None:
        lines = [f"{peer.address} {peer.name}\n" for peer in self.peers.values()]
        with self._names.open("w", encoding="utf-8") as file:  # not a new file, which the mount would not show
            file.write("".join([*lines, self._others]))


def run(*command: str) -> None:
    """Run a command. Raises AssertionError with what it says if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
