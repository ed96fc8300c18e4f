"""A minimal HTTP/2 client that sends requests frame by frame and reads the status of the responses.

https://www.rfc-editor.org/rfc/rfc9113
"""

import socket
import ssl
from collections.abc import Collection, Mapping

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
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

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, settings: bytes = b"") -> None:
        """`settings` are those of the client: two bytes for each name, four for its value."""
        context.set_alpn_protocols(["h2"])
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._reader = self._socket.makefile("rb")
        self._socket.sendall(_PREFACE + frame(SETTINGS, 0, 0, settings))
        self._stream = -1

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def begin(self, path: str, headers: Mapping[str, str]) -> int:
        """Send the headers of a POST, and return its stream."""
        self._stream += 2
        self._socket.sendall(frame(HEADERS, END_HEADERS, self._stream, post(path, headers)))
        return self._stream

    def send_raw(self, frames: bytes) -> None:
        """Send any bytes. Raises OSError if the server has closed the connection, or does not take them in time."""
        self._socket.sendall(frames)

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        self._socket.sendall(frame(DATA, END_STREAM if end else 0, stream, data))

    def cancel(self, stream: int) -> None:
        self._socket.sendall(frame(RST_STREAM, 0, stream, CANCEL))

    def statuses(self, streams: Collection[int]) -> dict[int, int]:
        """Wait for the responses on these streams, and return their statuses."""
        found: dict[int, int] = {}
        while len(found) < len(streams):
            kind, stream, payload = self._next()
            if kind == HEADERS and stream in streams:
                found[stream] = _INDEXED.get(payload[0]) or _literal(payload)
            assert kind != RST_STREAM or stream in found, "a stream was reset before its answer"
        return found

    def answered(self, streams: Collection[int]) -> None:
        """Wait for the headers of the responses on these streams."""
        left = set(streams)
        while left:
            kind, stream, _ = self._next()
            if kind == HEADERS:
                left.discard(stream)

    def _next(self) -> tuple[int, int, bytes]:
        """Return kind, stream and payload of the next frame."""
        head = self._reader.read(9)
        assert len(head) == 9, "the connection was closed"
        payload = self._reader.read(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == SETTINGS and not flags & ACK:
            self._socket.sendall(frame(SETTINGS, ACK, 0))
        return kind, stream, payload


def post(path: str, headers: Mapping[str, str]) -> bytes:
    """Return the header block of a POST."""
    fields = {":method": "POST", ":scheme": "https", ":authority": "test", ":path": path, **headers}
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields.items())


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(content: str) -> bytes:
    """Return a name or value as HPACK has it, without Huffman's code."""
    assert len(content) < 127
    return bytes([len(content)]) + content.encode()


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
