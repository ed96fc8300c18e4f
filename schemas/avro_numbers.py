"""Integers and lengths in Avro's encoding, a character a byte, remembered: ids and times come again and again."""

MAX_REMEMBERED = 16_384
"""Integers whose encoding is remembered, before all are forgotten."""


def varint(number: int) -> str:
    """Zig-zag variable-length encoding of an integer of up to 64 bits, a character a byte."""
    return _unsigned((number << 1) ^ (number >> 63))


def _unsigned(number: int) -> str:
    out = ""
    while number > 0x7F:
        out += chr(number & 0x7F | 0x80)
        number >>= 7
    return out + chr(number)


LOW_BITS = 13
LOW = [chr(n << 1 & 0x7F | 0x80) + chr(n >> 6 | 0x80) for n in range(1 << LOW_BITS)]
"""For each value of a positive integer's low bits the first two bytes of its encoding, where more follow."""


class _High(dict[int, str]):
    """For each value of the bits above these, not zero, what follows the first two bytes.

    Times of receipt are new in each record, and differ in their low bits from those before.
    """

    def __missing__(self, bits: int) -> str:
        if not 0 < bits < 1 << 63 - LOW_BITS:
            raise OverflowError
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        encoded = self[bits] = _unsigned(bits)
        return encoded


HIGH = _High()


class Integers(dict[int, str]):
    """Encodings of the integers of one type, each after `prefix`."""

    def __init__(self, bits: int, prefix: str) -> None:
        self._end, self._prefix = 1 << bits - 1, prefix

    def __missing__(self, number: int) -> str:
        if not -self._end <= number < self._end:
            raise OverflowError
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        encoded = self[number] = self._prefix + varint(number)
        return encoded


SMALL = 4_096
SIZES = {prefix: [prefix + varint(n) for n in range(SMALL)] for prefix in ("", "\0", "\2")}
"""Lengths, as they mostly are, after a union's index or nothing."""
