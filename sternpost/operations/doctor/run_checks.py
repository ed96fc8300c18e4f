"""Run all checks, one after the other."""

from collections.abc import Iterator

from runtime.errors import DependencyError
from runtime.settings.model import Settings
from sternpost.operations.acls import Role
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor import clock, cluster, endpoint, lag, registry, rights
from sternpost.operations.doctor.check import Check, fault


def run_checks(
    settings: Settings, allowed: ChangesAllowed | None, *, url: str | None, role: Role | None, send: bool
) -> Iterator[Check]:
    """Yield each result as soon as it is there. A DependencyError is a result, and is not raised.

    `url` is the webhook endpoint's; without one it is not checked. Without `allowed` nothing is written: the clocks are
    not read, and to `send` raises ChangesNotAllowedError.
    """
    try:
        found = cluster.metadata(settings)
        configs, problem = cluster.broker_configs(settings, list(found.brokers))
        yield from cluster.check(settings, found, configs, problem)
        yield from cluster.check_topics(settings)
        yield from rights.check(settings, role, configs)
        answering = [broker for broker, config in configs.items() if config] or list(found.brokers)
        yield from clock.check(settings, allowed, sorted(answering))
        yield from lag.check(settings)
    except DependencyError as error:
        yield fault("brokers", str(error), "fix this first; the rest of the cluster was not checked")
    yield from registry.check(settings)
    if url is None:
        return
    try:
        yield from endpoint.check(settings, allowed, url, send=send)
    except DependencyError as error:
        yield fault("endpoint", str(error), "fix the cluster first")
