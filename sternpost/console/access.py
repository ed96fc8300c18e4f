"""Who may come in: every request and every websocket passes here first.

| a request | is answered |
| --- | --- |
| for another host's name (DNS rebinding) | 421 |
| from another site's page, or with another page's `Origin` | 403 |
| with a method other than GET and HEAD | 405 |
| with the token of the printed address | 303, a cookie, and the address without the token |
| without the cookie | 401 |

A token works once; the next one is printed. Cookies last for `SESSION_S`, and no longer than this process.
"""

import hashlib
import hmac
import http
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SESSION_S = 12 * 3_600
TOKEN = "token"  # noqa: S105 (the parameter's name)
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class _Refusal(NamedTuple):
    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Access:
    """The only way to the application `app`."""

    def __init__(
        self, app: App, *, names: Iterable[str], secure: bool, port: int, opened: Callable[[], None] = lambda: None
    ) -> None:
        """Let in who comes with a token, or with the cookie got for one.

        `names` are the host names that this console is reached by, without a port. `secure` is whether it speaks TLS.
        `port` makes the cookie's name, since browsers keep one jar for all ports of a host. `opened` is called when a
        token was used, and there is another.
        """
        self.app = app
        self._names = frozenset(name.lower() for name in names)
        self._secure = secure
        self._cookie = f"{'__Host-' if secure else ''}sternpost-console-{port}"
        self._opened = opened
        self._sessions: dict[bytes, float] = {}
        self.token = secrets.token_urlsafe(32)
        """The token that works now."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = list(scope["headers"])
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "http":
            refusal = self._exchange(scope)
        if refusal is None and not self._has_session(headers):
            refusal = _Refusal(
                401,
                "Open the address that `sternpost console` printed last: it holds a token, which works once.",
            )
        if refusal is None:
            # Behind no proxy: a client must not choose the prefix of the page's own addresses.
            scope["headers"] = [pair for pair in headers if not pair[0].startswith(b"x-forwarded-")]
            await self.app(scope, receive, send)
        else:
            await _answer(scope, receive, send, refusal)

    def _refusal(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> _Refusal | None:
        hosts = _values(headers, b"host")
        if len(hosts) != 1 or _host_name(hosts[0]) not in self._names:
            return _Refusal(
                421, "This console does not answer to that host name; console.allowed_hosts lists those it answers to."
            )
        origins = _values(headers, b"origin")
        own = f"{'https' if self._secure else 'http'}://{hosts[0]}".lower()
        if any(origin.lower() != own for origin in origins) or (scope["type"] == "websocket" and not origins):
            return _Refusal(403, "Refused: another site's page asked for this.")
        if any(site not in ("same-origin", "none") for site in _values(headers, b"sec-fetch-site")):
            return _Refusal(403, "Refused: another site's page asked for this. Paste the address into the address bar.")
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return _Refusal(405, "There are GET and HEAD.", ((b"allow", b"GET, HEAD"),))
        return None

    def _exchange(self, scope: Scope) -> _Refusal | None:
        """Take a token out of the address; if it is the right one, put a cookie in its place."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == TOKEN]
        if not tokens:
            return None
        rest = urlencode([(name, value) for name, value in query if name != TOKEN])
        path = "/" + scope["raw_path"].decode("latin-1").partition("?")[0].lstrip("/")
        headers = [(b"location", (path + (f"?{rest}" if rest else "")).encode("latin-1"))]
        if scope["method"] == "GET" and hmac.compare_digest(tokens[0].encode(), self.token.encode()):
            session = secrets.token_urlsafe(32)
            now = time.monotonic()
            self._sessions = {key: end for key, end in self._sessions.items() if end > now}
            self._sessions[_digest(session)] = now + SESSION_S
            self.token = secrets.token_urlsafe(32)
            attributes = f"Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict{'; Secure' if self._secure else ''}"
            headers.append((b"set-cookie", f"{self._cookie}={session}; {attributes}".encode()))
            self._opened()
        return _Refusal(303, "", tuple(headers))

    def _has_session(self, headers: list[tuple[bytes, bytes]]) -> bool:
        # As browsers write them, whatever other programs of this host put into the jar: Python's SimpleCookie drops all
        # cookies of a header for one that it does not like.
        cookies = (cookie_parser(header).get(self._cookie, "") for header in _values(headers, b"cookie"))
        return any(self._sessions.get(_digest(cookie), 0.0) > time.monotonic() for cookie in cookies)


def _digest(session: str) -> bytes:
    """Look sessions up by hash, so that the time of a lookup says nothing about a session's id."""
    return hashlib.sha256(session.encode()).digest()


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in headers if header == name]


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _answer(scope: Scope, receive: Receive, send: Send, refusal: _Refusal) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the server answers 403
        return
    body = f"{refusal.text or http.HTTPStatus(refusal.status).phrase}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
