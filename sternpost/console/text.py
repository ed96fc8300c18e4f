"""Text of others as elements: always as text, never as HTML, and with nothing in it that would reorder a line."""

from nicegui.elements.mixins.text_element import TextElement

from sternpost.operations.printable import printable


class Text(TextElement):
    """An element of any tag that holds a text."""

    def __init__(self, tag: str, text: object, classes: str = "") -> None:
        """`text` may come from anywhere: control characters and changes of direction are escaped."""
        super().__init__(tag=tag, text=printable(str(text)))
        if classes:
            self.classes(classes)


def age(seconds: float) -> str:
    """Return a duration in its largest unit: `3.2 min`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
