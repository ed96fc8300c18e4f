"""Text that is safe to print on a terminal."""

import json


def printable(text: str) -> str:
    """Escape, as JSON does, what a terminal would obey or could not show; JSON text stays the same JSON.

    A terminal obeys escape sequences, line breaks and changes of direction; it cannot show half a surrogate pair.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
