"""Translates every failure of a registry request into a sentence that says what is wrong and what to set.

Services wait only for RegistryUnavailableError: nothing else passes by itself.
"""

import difflib
import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.disk import unreadable
from runtime.errors import (
    RegistryMisconfiguredError,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaIncompatibleError,
    SchemaNotFoundError,
    SternpostError,
)
from runtime.settings.model import SchemaRegistrySettings

if TYPE_CHECKING:
    from confluent_kafka.schema_registry.error import SchemaRegistryError

READ_ONLY = 42205
"""Confluent's and Redpanda's code for a registry or subject in the mode READONLY:
https://docs.confluent.io/platform/current/schema-registry/develop/api.html#mode"""

ADDRESS = (
    "check schema_registry.url, its scheme and its path: Apicurio needs /apis/ccompat/v7, most others need no path"
)
PROPERTIES = (
    *("ssl.ca.location", "ssl.key.location", "ssl.key.password", "ssl.certificate.location"),
    *("basic.auth.user.info", "proxy", "cache.capacity", "cache.latest.ttl.sec"),
    *("max.retries", "retries.wait.ms", "retries.max.wait.ms"),
    *("bearer.auth.credentials.source", "bearer.auth.token", "bearer.auth.client.id", "bearer.auth.client.secret"),
    *("bearer.auth.scope", "bearer.auth.issuer.endpoint.url", "bearer.auth.logical.cluster"),
    "bearer.auth.identity.pool.id",
)
"""The properties of confluent-kafka's SchemaRegistryClient, to suggest one for a misspelt name:
https://docs.confluent.io/platform/current/clients/confluent-kafka-python/html/index.html#schemaregistryclient"""

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
"""The environment variables that this client reads, in capitals or not: https://www.python-httpx.org/environment_variables/"""

LONGEST_QUOTE = 300
ANOTHER_NAME, EXPIRED = (62, 64), 10
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH and X509_V_ERR_CERT_HAS_EXPIRED:
https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/"""


def name(settings: SchemaRegistrySettings) -> str:
    """Return the registry's address for a sentence, without the password that may be in it."""
    return f"the schema registry at {re.sub(r'(?<=://)[^/@]*@', '', settings.url)}"


def not_a_registry(settings: SchemaRegistrySettings, what: str) -> RegistryMisconfiguredError:
    """Return the error for an address where something else answers; `what` it answers: `JSON without an id`."""
    return RegistryMisconfiguredError(f"{name(settings)} is not one: it answers with {what}", ADDRESS)


def misconfigured(settings: SchemaRegistrySettings, error: Exception) -> RegistryMisconfiguredError:
    """Return the error for settings that the client itself refuses; it quotes no value."""
    if isinstance(error, ValueError) and (unknown := re.match(r"Unrecognized properties: (.*)", str(error))):
        names = [name for name in unknown[1].split(", ") if name in settings.properties]
        if unused := [name for name in names if name in PROPERTIES]:
            return RegistryMisconfiguredError(
                f"schema_registry.properties: {' and '.join(unused)} has no effect without "
                "bearer.auth.credentials.source",
                "set that too: STATIC_TOKEN for a bearer.auth.token",
            )
        close = [match for name in names for match in difflib.get_close_matches(name, PROPERTIES, 1)]
        hint = f"did you mean {' and '.join(close)}?" if close else "take them out"
        return RegistryMisconfiguredError(
            f"schema_registry.properties: the registry's client has no property {' and no '.join(names)}", hint
        )
    if isinstance(error, ValueError) and (missing := re.match(r"Missing required [\w ]+: (.*)", str(error))):
        names = re.findall(r"bearer\.auth[a-z.]+", missing[1])
        return RegistryMisconfiguredError(
            "schema_registry.properties: bearer.auth.credentials.source takes other properties as well",
            f"set {' and '.join(names) or 'them'} too",
        )
    for setting, file in _files(settings):
        may_be_folder = setting == "schema_registry.properties: ssl.ca.location"
        if fault := unreadable(file, may_be_folder=may_be_folder):
            return RegistryMisconfiguredError(
                f"{setting} is {file}, {fault}", "name a PEM file that this user may read"
            )
    if isinstance(error, ssl.SSLError | OSError) and (files := list(_files(settings))):
        names = [f"{setting} ({file})" for setting, file in files]
        return RegistryMisconfiguredError(
            f"{' or '.join(names)} cannot be used as a PEM file, or its password is wrong",
            "it must begin with -----BEGIN, and a key must belong to its certificate",
        )
    set_there = [name for name in PROPERTIES if name in settings.properties]
    about = [name for name in set_there if name in str(error)] or set_there
    where = f"{', '.join(about)} in schema_registry.properties" if about else "those under schema_registry"
    if around := sorted(name for name in os.environ if name.upper() in VARIABLES):
        where += f", and {', '.join(around)} in the environment"
    return RegistryMisconfiguredError(
        f"the schema registry's client does not take the settings ({type(error).__name__})", f"check {where}"
    )


def _files(settings: SchemaRegistrySettings) -> Iterator[tuple[str, Path]]:
    """Yield the files that settings name, with the setting's name."""
    if settings.ca_file is not None:
        yield "schema_registry.ca_file", settings.ca_file
    for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        if isinstance(value := settings.properties.get(name), str):
            yield f"schema_registry.properties: {name}", Path(value)


def explain(
    settings: SchemaRegistrySettings, error: Exception, is_registry: Callable[[], bool]
) -> SternpostError | None:
    """Return our error for one of the client's; None if it is not a failed request but a fault of ours.

    `is_registry` is called if a 404 does not say what is missing: the schema, or everything.
    """
    from confluent_kafka.schema_registry.error import (  # noqa: PLC0415 (with the client: runtime.schema_registry)
        OAuthTokenError,
        SchemaRegistryError,
    )

    if isinstance(error, SchemaRegistryError):
        return _answered(settings, error, is_registry)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls(settings, cause)
    if any(_is_of_http(cause) for cause in causes):
        return _no_answer(settings, causes)
    if isinstance(error, OAuthTokenError) or (type(error) is ValueError and "bearer" in str(error)):
        return RegistryMisconfiguredError(
            f"could not get a token for {name(settings)}", "check bearer.auth.… in schema_registry.properties"
        )
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return not_a_registry(settings, "a page or text that is not JSON, a proxy's or a login's perhaps")
    if isinstance(error, AttributeError | KeyError | TypeError | ValueError):  # where the client looks for its fields
        return not_a_registry(settings, "nothing, or with JSON of another shape")
    return None


def _answered(
    settings: SchemaRegistrySettings, error: "SchemaRegistryError", is_registry: Callable[[], bool]
) -> SternpostError:
    """Return the error for an answer that is not 2xx."""
    status, code = error.http_status_code, error.error_code
    who, said = name(settings), _quote(error)
    if type(code) is int and 40_400 < code < 40_500:
        return SchemaNotFoundError(said)
    if status == 404:
        if is_registry():
            return SchemaNotFoundError(said)
        return RegistryMisconfiguredError(f"{who} does not know the path (HTTP 404)", ADDRESS)
    if code == READ_ONLY:
        return RegistryRefusedError(
            f"{who} is read-only, or the subject is ({said})",
            "write to the registry that it is a copy of, or have its mode set to READWRITE",
        )
    if status == 409:
        return SchemaIncompatibleError(
            f"{who} finds the schema incompatible with what is there ({said})",
            "check topics.events: the subject may belong to another topic",
        )
    if status == 401:
        bearer = "bearer.auth.credentials.source" in settings.properties
        given = "does not take the credentials" if settings.basic_auth or bearer else "wants credentials"
        remedy = (
            "check bearer.auth.… in schema_registry.properties, and whether the token has expired"
            if bearer
            else "set schema_registry.basic_auth to user:password, or bearer.auth.… in schema_registry.properties"
        )
        return RegistryMisconfiguredError(f"{who} {given} ({said})", remedy)
    if status == 403:
        return RegistryRefusedError(
            f"{who}, or a proxy on the way, does not let this user do that ({said})",
            "have its user granted the right to the subject, or set another in schema_registry.basic_auth",
        )
    if status == 407:
        return RegistryMisconfiguredError(
            f"a proxy on the way to {who} wants credentials (HTTP 407)",
            "put them into HTTPS_PROXY or HTTP_PROXY, or the registry's host into NO_PROXY",
        )
    if 300 <= status < 400:
        return RegistryMisconfiguredError(
            f"{who} sends us elsewhere (HTTP {status}), and redirections are not followed",
            "set schema_registry.url to where it leads: `curl -I` shows it, and often it is https:// instead of http://",
        )
    if status == 429:
        return RegistryUnavailableError(f"{who} takes no more requests for now ({said})")
    if status in (408, 425) or (status >= 500 and status not in (501, 505)):
        return RegistryUnavailableError(f"{who}, or a proxy before it, has a fault ({said})", "see its log")
    if type(code) is int and code > 0:
        return RegistryRefusedError(f"{who} refuses the request ({said})")
    return not_a_registry(settings, f"HTTP {status}")


def _quote(error: "SchemaRegistryError") -> str:
    """Return the registry's own message for a sentence; a proxy's page is not quoted."""
    words = error.error_message if type(error.error_code) is int and error.error_code > 0 else None
    text = " ".join(words.split())[:LONGEST_QUOTE] if isinstance(words, str) else ""
    return f"HTTP {error.http_status_code}: {text}" if text else f"HTTP {error.http_status_code}"


def _tls(settings: SchemaRegistrySettings, error: ssl.SSLError) -> SternpostError:
    who = name(settings)
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in ANOTHER_NAME:
            remedy = "set schema_registry.url to the name that the certificate is for"
        elif error.verify_code == EXPIRED:
            remedy = "have the registry's certificate renewed"
        else:
            remedy = "set schema_registry.ca_file to the certificate of the authority that signed it"
        why = error.verify_message.rstrip(".")
        return RegistryMisconfiguredError(f"the certificate of {who} is not trusted: {why}", remedy)
    reason = (error.reason or "").replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return RegistryUnavailableError(f"{who} ended the connection while TLS was set up", "see its log")
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return RegistryMisconfiguredError(
            f"{who} does not speak TLS at that port", "set schema_registry.url to http://…, or to its port for TLS"
        )
    return RegistryMisconfiguredError(
        f"no TLS connection to {who} can be made ({reason or 'no reason given'})",
        "check schema_registry.url, and the client's certificate: ssl.certificate.location and ssl.key.location in "
        "schema_registry.properties",
    )


def _no_answer(settings: SchemaRegistrySettings, causes: list[BaseException]) -> SternpostError:
    """Return the error for a request that got no answer."""
    who, kinds = name(settings), {type(cause).__name__ for cause in causes}
    if kinds & {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError"}:
        return RegistryMisconfiguredError(f"{who} cannot be reached: that is not an address", "fix schema_registry.url")
    if "ProxyError" in kinds:
        return RegistryUnavailableError(
            f"the proxy on the way to {who} does not let us through", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        )
    if "DecodingError" in kinds:
        return not_a_registry(settings, "a body that cannot be decoded")
    if "RemoteProtocolError" in kinds and any("illegal" in str(cause) for cause in causes):
        return RegistryMisconfiguredError(
            f"{who} does not speak HTTP at that port", "set schema_registry.url to https://…, or to its port for HTTP"
        )
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return RegistryUnavailableError(f"the name of {who} does not resolve", "check schema_registry.url")
    if any("Timeout" in kind for kind in kinds):
        why = f"gives no answer within schema_registry.timeout_ms ({settings.timeout_ms})"
    elif "ConnectionRefusedError" in kinds:
        why = "refuses the connection"
    else:
        return RegistryUnavailableError(
            f"{who} ended the connection without an answer",
            "see its log, and check schema_registry.url: a port that speaks TLS wants https://",
        )
    return RegistryUnavailableError(f"{who} {why}", "start it, or check schema_registry.url")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, the first cause last."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, SternpostError):  # ours came before it, and did not cause it
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_of_http(error: BaseException) -> bool:
    """Return whether the request did not get through: the HTTP library's own errors, or the system's."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith(("httpx", "httpcore"))
