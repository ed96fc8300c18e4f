"""Free ports for servers that tests start."""

from sternpost.local.ports import choose


def free_ports(number: int) -> list[int]:
    """Return different ports of 127.0.0.1 that nothing listens on."""
    return [choose(0, "a test's server", "no option") for _ in range(number)]
