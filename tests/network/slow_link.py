"""A link that takes its time: `python -m tests.network.slow_link ONE OTHER MILLISECONDS`.

It makes two network interfaces and hands on what comes into one to the other, that much later. The kernel's own way to
do so, netem, is not in every kernel. The interfaces are gone when this process is.
"""

import fcntl
import os
import selectors
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES = 65_536


def interface(name: str) -> int:
    """Make a TAP interface (https://docs.kernel.org/networking/tuntap.html), and return its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def main(one: int, other: int, delay_s: float) -> None:
    """Hand frames on until the end of the process."""
    opposite = {one: other, other: one}
    waiting: deque[tuple[float, int, bytes]] = deque()
    with selectors.DefaultSelector() as selector:
        for descriptor in opposite:
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            patience_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for key, _ in selector.select(patience_s):
                waiting.append((time.monotonic() + delay_s, opposite[key.fd], os.read(key.fd, FRAME_BYTES)))
            while waiting and waiting[0][0] <= time.monotonic():
                _, to, frame = waiting.popleft()
                try:
                    os.write(to, frame)
                except OSError:  # not up yet, or no longer
                    continue


if __name__ == "__main__":
    main(interface(sys.argv[1]), interface(sys.argv[2]), int(sys.argv[3]) / 1000)
