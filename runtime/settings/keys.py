"""The keys of sources, without what nobody sees of them: a pasted key often has it around itself."""

_BLANKS = (
    "".join(map(chr, [*range(0x21), *range(0x7F, 0xA1), *range(0x2000, 0x2010), *range(0x2028, 0x2030)]))
    + "\xad\u1680\u205f\u2060\u2061\u2062\u2063\u2064\u3000\ufeff"
)
"""White space, control characters and characters without width."""


def trimmed(key: str) -> str:
    """Return a key without the blanks around it."""
    return key.strip(_BLANKS)


def comparable(write_key: str) -> str:
    """Return a write key in the form in which keys are compared: no blanks around it, and a blank for each `+`.

    In a query some senders mean a blank by `+` and others a plus sign, so the two count as equal. Otherwise a key that
    was pasted without percent-encoding would be unknown.
    """
    return trimmed(write_key.replace("+", " "))
