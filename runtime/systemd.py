"""Reports a service's state to systemd (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html)."""

import contextlib
import os
import socket

SOCKET_VARIABLE = "NOTIFY_SOCKET"


class Notifier:
    """Reports that the service has started, then whether it is ready: `systemctl status` shows it.

    Started is not ready: a service that waits for Kafka has started, and `systemctl start` need not wait with it.
    Without systemd, or in a unit that is not `Type=notify`, it does nothing.
    """

    def __init__(self) -> None:
        self._address = os.environ.get(SOCKET_VARIABLE, "")
        self._said = ""

    def tell(self, *, ready: bool, reason: str, stopping: bool) -> None:
        """Report the state, if it has changed."""
        status = "ready" if ready else f"not ready: {' '.join(reason.split())}"
        message = f"{'STOPPING=1' if stopping else 'READY=1'}\nSTATUS={status}\n"
        if self._address and message != self._said:
            self._said = message
            address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outgoing:
                outgoing.setblocking(False)
                outgoing.sendto(message.encode(), address)
