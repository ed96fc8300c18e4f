"""Secrets in text that people see: values of settings whose names say so, and credentials in addresses."""

import re

MASK = "**********"

SECRET_WORDS = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "user.info", "api.key", "apikey", "jaas"),
    *("key.pem", "key.string", "private.key", "oauthbearer.config", "write_key", "signing_key", "basic_auth"),
)
NOT_SECRET_ENDINGS = ("endpoint.url", ".location", ".file", "credentials.source", "cb", ".ms", ".seconds")

_CREDENTIALS = re.compile(r"(?<=://)[^\s,/]*@|(?<=://)[^\s,@]*:[^\s,]*@|(?:^|(?<=[\s,=(]))[^\s,:/@]+:[^\s,]*@")
"""`user:password@`, after a scheme or at the beginning of an address that lacks one."""


def is_secret(name: str) -> bool:
    """Return whether a setting or a client's property of this name holds a secret: `sasl.password`, `ssl.key.pem`."""
    name = name.lower()
    return any(word in name for word in SECRET_WORDS) and not name.endswith(NOT_SECRET_ENDINGS)


def without_credentials(text: str) -> str:
    """Mask the credentials in a text's addresses: `https://user:password@host`."""
    return _CREDENTIALS.sub(f"{MASK}@", text)
