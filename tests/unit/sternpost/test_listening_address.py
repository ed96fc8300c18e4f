"""How this machine reaches what listens on an address."""

import pytest

from sternpost.operations.listening_address import base_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fd00::7", "http://[fd00::7]:80"),
        ("ingest-1", "http://ingest-1:80"),
    ],
)
def test_every_address_is_reached_over_loopback_and_ipv6_in_brackets(host: str, url: str) -> None:
    assert base_url(host, 80) == url
    assert base_url(host, 80, tls=True) == url.replace("http:", "https:")
