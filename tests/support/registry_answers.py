"""How registries, and what people take for one, answer: each as its product's documentation or source has it.

- Confluent: https://github.com/confluentinc/schema-registry, core/…/rest/exceptions/Errors.java, and
  https://docs.confluent.io/platform/current/schema-registry/develop/api.html
- Karapace: https://github.com/Aiven-Open/karapace, src/schema_registry/controller.py and user.py
- Apicurio: as the version that `sternpost dev` starts answers
- Redpanda: https://github.com/redpanda-data/redpanda/issues/12654 and pull/17952
"""

from runtime.errors import (
    RegistryMisconfiguredError,
    RegistryRefusedError,
    SternpostError,
)
from tests.support.scripted_http import Answer

SUBJECT_NOT_FOUND = Answer(404, {"error_code": 40401, "message": "Subject 'a-value' not found."})
"""Confluent, Karapace, Redpanda and Apicurio."""

VERSION_NOT_FOUND = Answer(404, {"error_code": 40402, "message": "Version -1 not found."})
"""Confluent and Karapace."""

NO_LEVEL = Answer(
    404, {"error_code": 40408, "message": "Subject 'a-value' does not have subject-level compatibility configured"}
)
"""Confluent and Redpanda."""

READ_ONLY = Answer(422, {"error_code": 42205, "message": "Subject a-value is in read-only mode"})
"""Confluent and Redpanda in the mode READONLY."""

DENIED = Answer(403, {"error_code": 40301, "message": "User is denied operation Write on Subject: a-value"})
"""Confluent: https://github.com/confluentinc/confluent-kafka-dotnet/issues/1999"""

PASSING: dict[str, Answer] = {
    "Confluent without a leader": Answer(500, {"error_code": 50004, "message": "Leader not known."}),
    "a proxy without a registry behind it": Answer(502, "<html><h1>502 Bad Gateway</h1>nginx</html>"),
    "a registry that starts": Answer(503, b""),
    "a registry that asks for fewer requests": Answer(429, {"error_code": 429, "message": "Rate Limit Exceeded"}),
}

LASTING: dict[str, tuple[Answer, type[SternpostError], str, str]] = {
    "Apicurio without its path": (
        Answer(404, {"title": "RESTEASY003210: Could not find resource for full path", "status": 404}),
        RegistryMisconfiguredError,
        "does not know the path",
        "/apis/ccompat/v7",
    ),
    "Apicurio with half of its path": (
        Answer(404, b""),
        RegistryMisconfiguredError,
        "does not know the path",
        "schema_registry.url",
    ),
    "Confluent with a path too many": (
        Answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"}),
        RegistryMisconfiguredError,
        "does not know the path",
        "schema_registry.url",
    ),
    "a web server's 404": (
        Answer(404, "<html><h1>Not Found</h1></html>"),
        RegistryMisconfiguredError,
        "does not know the path",
        "schema_registry.url",
    ),
    "a page": (
        Answer(200, "<!doctype html><title>Sign in</title>"),
        RegistryMisconfiguredError,
        "not JSON",
        "schema_registry.url",
    ),
    "other JSON": (Answer(200, {"status": "ok"}), RegistryMisconfiguredError, "JSON without", "schema_registry.url"),
    "a JSON list": (Answer(200, ["a"]), RegistryMisconfiguredError, "another shape", "schema_registry.url"),
    "an id that is text": (
        Answer(200, {"id": "7", "version": 1, "schema": 7}),
        RegistryMisconfiguredError,
        "JSON without",
        "schema_registry.url",
    ),
    "nothing": (Answer(200, b""), RegistryMisconfiguredError, "answers with nothing", "schema_registry.url"),
    "no content": (Answer(204, b""), RegistryMisconfiguredError, "answers with nothing", "schema_registry.url"),
    "Karapace without credentials": (
        Answer(401, {"message": "Unauthorized"}, {"WWW-Authenticate": 'Basic realm="Karapace Schema Registry"'}),
        RegistryMisconfiguredError,
        "wants credentials",
        "schema_registry.basic_auth",
    ),
    "a proxy's 401": (
        Answer(401, "<html>401 Authorization Required</html>"),
        RegistryMisconfiguredError,
        "wants credentials",
        "schema_registry.basic_auth",
    ),
    "Confluent that denies": (DENIED, RegistryRefusedError, "User is denied operation Write", "basic_auth"),
    "Karapace that denies": (
        Answer(403, {"message": "Forbidden"}),
        RegistryRefusedError,
        "does not let this user",
        "basic_auth",
    ),
    "a firewall": (Answer(403, "<html>Blocked</html>"), RegistryRefusedError, "a proxy on the way", "basic_auth"),
    "a proxy that wants credentials": (
        Answer(407, "<html>407</html>"),
        RegistryMisconfiguredError,
        "proxy on the way",
        "NO_PROXY",
    ),
    **{
        f"a redirection, {status}": (
            Answer(status, "<html>Moved</html>", {"Location": "https://registry.example.com/"}),
            RegistryMisconfiguredError,
            f"HTTP {status}",
            "schema_registry.url",
        )
        for status in (301, 302, 307, 308)
    },
    "http:// to a TLS port of nginx": (
        Answer(400, "<html>400 The plain HTTP request was sent to HTTPS port</html>"),
        RegistryMisconfiguredError,
        "HTTP 400",
        "scheme",
    ),
    "a server that knows no POST": (
        Answer(501, "<html>Unsupported method</html>"),
        RegistryMisconfiguredError,
        "HTTP 501",
        "schema_registry.url",
    ),
    "a schema that is refused": (
        Answer(422, {"error_code": 42201, "message": "Invalid schema"}),
        RegistryRefusedError,
        "Invalid schema",
        "",
    ),
}
