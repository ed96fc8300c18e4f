"""A field for long text: a webhook's body may have 1 MiB, and NiceGUI's browser side sends no message of 1 MB.

So the text is sent in parts, once the person has stopped typing. https://github.com/zauberzeug/nicegui/blob/main/nicegui/static/nicegui.js
has the limit (MAX_WEBSOCKET_MESSAGE_SIZE).
"""

import json
from collections.abc import Awaitable, Callable

from nicegui import events, ui

_PART = 150_000
"""UTF-16 units of a part: JSON writes each with six characters at most."""
_PAUSE_MS = 300

_SEND = """(event) => {
    const field = event.target;
    clearTimeout(field.waiting);
    field.waiting = setTimeout(() => {
        const text = field.value, id = Date.now();
        for (let at = 0; at === 0 || at < text.length; at += %d)
            emitEvent('long-text', {id, length: text.length, part: text.slice(at, at + %d)});
    }, %d);
}""" % (_PART, _PART, _PAUSE_MS)  # noqa: UP031 (braces are JavaScript's)


class LongText:
    """A labelled field of several lines; a page has one."""

    def __init__(
        self, label: str, most: int, changed: Callable[[str], Awaitable[None]], refuse: Callable[[], None]
    ) -> None:
        """Have `changed` get the text after each change; for one of more than `most` UTF-16 units call `refuse`."""
        self.text = ""
        self._most, self._changed, self._refuse = most, changed, refuse
        self._id: object = None
        self._parts: list[str] = []
        with ui.element("label").classes("long-text"):
            ui.label(label).classes("quiet")
            self._field = ui.element("textarea").classes("mono").props("spellcheck=false autocomplete=off rows=9")
        self._field.on("input", js_handler=_SEND)
        ui.on("long-text", self._receive)

    async def set(self, text: str) -> None:
        """Put a text into the field, and act as if someone had typed it."""
        # JSON in ASCII is a JavaScript literal, whatever the text holds.
        ui.run_javascript(f"getHtmlElement({self._field.id}).value = {json.dumps(text)}")
        await self._take(text)

    async def _receive(self, event: events.GenericEventArguments) -> None:
        match event.args:
            case {"id": part_of, "length": int(length), "part": str(part)}:
                if part_of != self._id:
                    self._id, self._parts = part_of, []
                if length > self._most:
                    self._refuse()
                    return
                self._parts.append(part)
                if sum(map(_units, self._parts)) >= length:
                    # A part may end within a pair of surrogates.
                    whole = "".join(self._parts).encode("utf-16-le", "surrogatepass")
                    self._parts = []
                    await self._take(whole.decode("utf-16-le", "surrogatepass"))

    async def _take(self, text: str) -> None:
        self.text = text
        await self._changed(text)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
