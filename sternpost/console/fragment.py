"""A page's state in the fragment of its address (`#…`), which browsers send to no server: it gets into no log.

What is shared is compressed, and bounded both ways: an address must fit where people paste it, and one that someone
else made must not fill the memory.
"""

import base64
import binascii
import zlib

from nicegui import ui

LONGEST = 32_768
"""The most characters of a fragment."""


def pack(text: str) -> str | None:
    """Return the text as a fragment without `#`; None if it is too long to share."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.urlsafe_b64encode(packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush())
    found = packed.decode().rstrip("=")
    return found if len(found) <= LONGEST else None


def unpack(fragment: str, most: int) -> str | None:
    """Return the text of `pack`; None if it is not one, or has more than `most` bytes."""
    if len(fragment) > LONGEST:
        return None
    try:
        packed = base64.b64decode(fragment + "=" * (-len(fragment) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj(-15)
        text = unpacker.decompress(packed, most)
        return text.decode("utf-8", "surrogatepass") if unpacker.eof else None
    except (ValueError, binascii.Error, zlib.error):
        return None


async def read_fragment() -> tuple[str, str]:
    """Return the name and the value of the address's fragment, `#payload=…`; both empty if there is none."""
    fragment = str(await ui.run_javascript("location.hash.slice(0, 40000)", timeout=60.0) or "")
    name, _, value = fragment.removeprefix("#").partition("=")
    return name, value


def write_fragment(name: str, value: str, *, copy: bool = False) -> None:
    """Put `#name=value` into the address, and the address into the clipboard with `copy`.

    Both must be of letters, digits, `-`, `_`, `.` and `:`.
    """
    if not all(letter.isascii() and (letter.isalnum() or letter in "-_.:") for letter in name + value):
        raise ValueError("a fragment holds letters, digits, -, _, . and :")
    copying = "navigator.clipboard?.writeText(location.href);" if copy else ""
    ui.run_javascript(f"history.replaceState(null, '', '#{name}={value}'); {copying}")
