"""How a listening socket stops without a reset: refuse new connections, then drain the kernel's accept queue.

Closing a listening socket resets the connections that the kernel has completed and nobody has accepted yet, and after
a reset Customer.io waits an hour (ingest/webhook.py). A listening socket cannot be told to take no more connections
and keep its queue, but a packet filter on it can do the same: it drops new connection requests, while handshakes that
have begun complete. https://www.kernel.org/doc/html/latest/networking/filter.html
"""

import asyncio
import contextlib
import ctypes
import socket
import struct

POLL_S = 0.005

SETTLE_S = 0.5
"""Time for handshakes in progress to complete and their requests to arrive: two round trips around the world."""

_SO_ATTACH_FILTER = 26

_TCP_INFO_UNACKED = struct.Struct("24xI")
"""The field `tcpi_unacked` of `struct tcp_info`. For a listening socket it holds the length of the accept queue.

https://github.com/torvalds/linux/blob/master/net/ipv4/tcp.c (tcp_get_info)
"""

_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_JUMP_IF_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_TCP_FLAGS_OFFSET = 13
_SYN = 0x02
_WHOLE_PACKET = 0xFFFFFFFF

_DROP_SYN = (
    (_LOAD_BYTE, 0, 0, _TCP_FLAGS_OFFSET),
    (_JUMP_IF_SET, 0, 1, _SYN),  # if SYN is set, go on with the next instruction, else skip it
    (_RETURN, 0, 0, 0),  # keep 0 bytes: drop the packet
    (_RETURN, 0, 0, _WHOLE_PACKET),
)
"""The filter as (opcode, jump if true, jump if false, operand). A listening socket sees SYN alone, never SYN+ACK."""


async def drain_accept_queue(listener: socket.socket) -> None:
    """Refuse new connections; return when those that had begun are accepted and have had time to send a request."""
    refuse_connections(listener)
    await asyncio.sleep(SETTLE_S)
    while accept_queue_length(listener):  # noqa: ASYNC110 (the kernel does not report a change)
        await asyncio.sleep(POLL_S)


def refuse_connections(listener: socket.socket) -> None:
    """Have the kernel drop new connection requests. Clients retry, and find the port closed a second later.

    Nothing changes on a system without packet filters.
    """
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(instructions, len(instructions))
    filter_program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)


def accept_queue_length(listener: socket.socket) -> int:
    """Return how many connections wait to be accepted by any worker; 0 if the system does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_UNACKED.size)
    length: int = _TCP_INFO_UNACKED.unpack(info)[0]
    return length
