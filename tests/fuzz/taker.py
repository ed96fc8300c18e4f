"""Takes a fuzzer's bytes apart."""


class Taker:
    """Yields numbers and pieces from the bytes, and zeros and empty pieces when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        """Return whether bytes are left."""
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """Return a number from 0 to `below` - 1, made of as few bytes as it needs."""
        return int.from_bytes(self._take(((below - 1).bit_length() + 7) // 8), "big") % below

    def flag(self) -> bool:
        return self.number(2) == 1

    def piece(self) -> bytes:
        """Return up to 255 bytes: the first byte says how many."""
        return self._take(self.number(256))

    def text(self) -> str:
        """Return a piece as text; bytes that are not UTF-8 are left out."""
        return self.piece().decode("utf-8", "ignore")

    def rest(self) -> bytes:
        return self._take(len(self._data))

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


def piece(content: bytes) -> bytes:
    """Return bytes of which `Taker.piece` makes this content."""
    assert len(content) < 256
    return bytes([len(content)]) + content
