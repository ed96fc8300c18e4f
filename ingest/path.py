"""The one path of the endpoint."""

from urllib.parse import unquote

PATH = "/v1/webhook"


def is_endpoint(path: str) -> bool:
    """Whether a request's path means the endpoint: also with slashes too many and blanks around it.

    Whoever sets a URL up sees neither, and each 404 costs Customer.io's feed an hour.
    """
    return path == PATH or [part for part in unquote(path).strip().split("/") if part] == ["v1", "webhook"]
