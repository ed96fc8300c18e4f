"""How this machine reaches a service that listens here."""

EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (looked up, not bound)
"""Hosts that stand for every address of this machine, and the one of them to connect to."""


def reachable_host(host: str) -> str:
    """Return the host to connect to for one that a service listens on, which may stand for every address."""
    return EVERY_ADDRESS.get(host, host)


def base_url(host: str, port: int, *, tls: bool = False) -> str:
    """Return the URL, without a path, of what listens on the host and port."""
    reachable = reachable_host(host)
    bracketed = f"[{reachable}]" if ":" in reachable else reachable
    return f"{'https' if tls else 'http'}://{bracketed}:{port}"
