"""What a schema registry, or something that is none, answers: an answer of ours, or one of our errors."""

from contextlib import suppress
from typing import Any, cast

import httpx2

from runtime.errors import SternpostError
from runtime.schema_registry import LARGEST_ID, Registry
from runtime.settings.model import SchemaRegistrySettings
from schemas.track_event import EventReader, track_json
from tests.fuzz.taker import Taker, piece

_SCHEMA = {"type": "record", "name": "A", "fields": [{"name": "a", "type": "string"}]}
_STATUSES = (200, 200, 404, 400, 401, 403, 409, 422, 204, 301)

SEEDS = [
    b"\x00" + piece(b'{"subject":"a-value","id":7,"version":1,"schema":"{}"}'),
    b"\x00"
    + piece(b'{"schema":"{\\"type\\":\\"record\\",\\"name\\":\\"A\\",\\"fields\\":[]}"}')
    + b"\x00"
    + piece(b"[1]"),
    b"\x00"
    + piece(b'{"schema":"{\\"type\\":\\"string\\"}"}')
    + b"\x00"
    + piece(b'{"schema":"syntax = \\"proto3\\";"}'),
    b"\x02" + piece(b'{"error_code":40401,"message":"no subject"}') + b"\x00" + piece(b'["a"]'),
    b"\x00" + piece(b'{"compatibilityLevel":"FULL"}') + b"\x00" + piece(b'{"is_compatible":true}'),
    b"\x07" + piece(b'{"error_code":42205,"message":["\\ud800"]}'),
    b"\x00" + piece(b"<html>") + b"\x08" + piece(b"") + b"\x09" + piece(b"{}"),
    b"\x00" + piece(b'{"id":1e400,"version":-1}') + b"\x00" + piece(b'{"schema":"[[[[[["}'),
]
WORDS = [b'"id":', b'"version":', b'"schema":', b'"error_code":', b"404", b"NaN", b"\\ud800", b"2147483648", b"null"]


class _Answers(httpx2.BaseTransport):
    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def handle_request(self, _request: httpx2.Request) -> httpx2.Response:
        status = _STATUSES[self._taker.number(len(_STATUSES))]
        return httpx2.Response(status, content=self._taker.piece())


_REGISTRY = Registry(SchemaRegistrySettings(url="http://registry", properties={"max.retries": 0}))
"""One for all inputs: to make a client takes longer than to ask it everything."""


def check(data: bytes) -> None:
    registry, client = _REGISTRY, cast(Any, _REGISTRY)._client
    registry._absent.clear()
    client.clear_caches()
    client._rest_client.session = httpx2.Client(transport=_Answers(Taker(data)))
    with suppress(SternpostError):
        found = registry.lookup("a-value", _SCHEMA)
        assert 0 <= found.id <= LARGEST_ID
    with suppress(SternpostError):
        assert isinstance(registry.compatibility("a-value"), str | None)
    with suppress(SternpostError):
        assert isinstance(registry.is_compatible("a-value", _SCHEMA), bool)
    with suppress(SternpostError):
        assert isinstance(registry.schema(7), dict | None)
    with suppress(SternpostError, ValueError):
        track_json(EventReader(registry.schema)(b"\0\0\0\0\7\2a"))
    with suppress(SternpostError):
        registry.register("a-value", _SCHEMA)
