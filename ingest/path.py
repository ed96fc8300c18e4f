"""The path of the webhook endpoint."""

from urllib.parse import unquote

PATH = "/v1/webhook"


def is_endpoint(path: str) -> bool:
    """Return whether a request's path means the endpoint. Extra slashes and blanks around it are ignored.

    Whoever sets up the URL does not notice them, and each 404 stalls Customer.io's feed for an hour.
    """
    return path == PATH or [part for part in unquote(path).strip().split("/") if part] == ["v1", "webhook"]
