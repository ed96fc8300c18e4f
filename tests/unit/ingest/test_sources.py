"""Sources, found by their write keys."""

import hmac

from ingest.sources import Sources, extract_write_key
from runtime.settings.model import SourceSettings
from schemas.customerio import signature
from tests.unit.ingest import OUTCOMES


def sources(*configured: SourceSettings) -> Sources:
    return Sources(configured, OUTCOMES)


def test_each_write_key_of_each_source_leads_to_it() -> None:
    found = sources(
        SourceSettings.model_validate({"name": "one", "write_keys": ["a", "b"]}),
        SourceSettings.model_validate({"name": "two", "write_keys": ["c"], "signing_keys": ["s", "t"]}),
    )
    names = [source.name if source else None for source in map(found.find, [b"a", b"b", b"c", b"d", b"", None])]
    assert names == ["one", "one", "two", None, None, None]
    two = found.find(b"c")
    assert two is not None
    assert len(two.signers) == 2


def test_a_key_that_is_nearly_right_is_wrong() -> None:
    found = sources(SourceSettings.model_validate({"name": "one", "write_keys": ["secret"]}))
    assert [found.find(key) for key in (b"secre", b"secrets", b"Secret", b"secret ", b"secret\0")] == [None] * 5


def test_keys_outside_ascii_are_compared_as_utf8() -> None:
    found = sources(SourceSettings.model_validate({"name": "one", "write_keys": ["clé"]}))
    assert found.find("clé".encode()) is not None
    assert found.find(b"cl\xe9") is None


def test_blanks_around_a_configured_key_are_no_part_of_it() -> None:
    found = sources(SourceSettings.model_validate({"name": "one", "write_keys": [" a+b\n"], "signing_keys": ["k\n"]}))
    source = found.find(extract_write_key("writeKey=+a%2Bb", None))
    assert source is not None
    assert found.find(extract_write_key("writeKey=a+b", None)) is source
    assert found.find(extract_write_key("writeKey=ab", None)) is None
    body = b"{}"
    made = hmac.new(b"k", b"v0:1:" + body, "sha256").hexdigest()
    assert signature.is_valid(source.signers, "1", made, body)
