"""A minimal HTTP/2 client that sends requests frame by frame and reads the status of the responses.

https://www.rfc-editor.org/rfc/rfc9113
"""

import socket
import ssl
from collections.abc import Collection, Mapping

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = (8).to_bytes(4, "big")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INDEXED = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}
_DIGITS = {
    **{f"{value:05b}": digit for value, digit in enumerate("012")},
    **{f"{value:06b}": digit for value, digit in enumerate("3456789", 0b011001)},
}
"""HPACK's Huffman code of digits: https://www.rfc-editor.org/rfc/rfc7541#appendix-B."""


class Connection:
    """One connection; requests use streams 1, 3, 5 …"""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["h2"])
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._reader = self._socket.makefile("rb")
        self._socket.sendall(_PREFACE + _frame(SETTINGS, 0, 0))
        self._stream = -1

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def begin(self, path: str, headers: Mapping[str, str]) -> int:
        """Send the headers of a POST, and return its stream."""
        self._stream += 2
        fields = {":method": "POST", ":scheme": "https", ":authority": "test", ":path": path, **headers}
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._socket.sendall(_frame(HEADERS, END_HEADERS, self._stream, block))
        return self._stream

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        self._socket.sendall(_frame(DATA, END_STREAM if end else 0, stream, data))

    def cancel(self, stream: int) -> None:
        self._socket.sendall(_frame(RST_STREAM, 0, stream, CANCEL))

    def statuses(self, streams: Collection[int]) -> dict[int, int]:
        """Wait for the responses on these streams, and return their statuses."""
        found: dict[int, int] = {}
        while len(found) < len(streams):
            head = self._reader.read(9)
            assert len(head) == 9, "the connection was closed"
            payload = self._reader.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags & ACK:
                self._socket.sendall(_frame(SETTINGS, ACK, 0))
            elif kind == HEADERS and stream in streams:
                found[stream] = _INDEXED.get(payload[0]) or _literal(payload)
            assert kind != RST_STREAM or stream in found, "a stream was reset before its answer"
        return found


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _literal(block: bytes) -> int:
    """Return the status: the first header, its name by index, its value plain or in Huffman code."""
    value = block[2 : 2 + (block[1] & 0x7F)]
    if not block[1] & 0x80:
        return int(value)
    bits, digits = "".join(f"{byte:08b}" for byte in value), ""
    while len(digits) < 3:
        width = 5 if bits[:5] in _DIGITS else 6
        digits, bits = digits + _DIGITS[bits[:width]], bits[width:]
    return int(digits)
