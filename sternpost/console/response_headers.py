"""What every answer tells the browser: which scripts may run, and to keep, frame and send on nothing.

NiceGUI's pages have inline scripts, so each page gets a nonce that only these carry: a script or an event handler that
someone smuggles into a page does not run. Two permissions are wider than we would like. `'unsafe-eval'`: Vue compiles
templates in the browser, and NiceGUI evaluates the handlers that Python sends. `'unsafe-inline'` for styles: Vue and
Quasar set them. https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP
"""

import secrets

from sternpost.console.access import App, Message, Receive, Scope, Send

_STATIC = "/_nicegui/"
"""Below it is the library itself, without anybody's data."""


def content_policy(nonce: str) -> str:
    """Return the content security policy of a page whose scripts carry this nonce."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class ResponseHeaders:
    """Puts the headers on every answer of the application `app`."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and change its answer on the way back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        fixed = {
            b"content-security-policy": content_policy(nonce).encode(),
            b"referrer-policy": b"no-referrer",
            b"x-frame-options": b"DENY",
            b"x-content-type-options": b"nosniff",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
            b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
        }
        if not scope["path"].startswith(_STATIC):
            fixed[b"cache-control"] = b"no-store"
        start: Message = {}
        page: list[bytes] = []

        async def changed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() not in fixed]
                message["headers"] = [*headers, *fixed.items()]
                if any(name.lower() == b"content-type" and b"text/html" in value for name, value in headers):
                    start = message
                    return
            elif start:
                page.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                # Elements are escaped in a page, so that every `<script` in it is one of the library's own.
                body = b"".join(page).replace(b"<script", b'<script nonce="%s"' % nonce.encode())
                start["headers"] = [
                    *(pair for pair in start["headers"] if pair[0].lower() != b"content-length"),
                    (b"content-length", str(len(body)).encode()),
                ]
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self.app(scope, receive, changed)
