"""Check that the user in kafka.properties has the rights that a role needs."""

from collections.abc import Iterator

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.admin import KafkaAdmin
from runtime.settings.model import Settings
from sternpost.operations import acls
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning
from sternpost.operations.doctor.cluster import Configs


def check(settings: Settings, role: acls.Role | None, configs: Configs) -> Iterator[Check]:
    """Check the rights of the role; without a role, only whether there is an authorizer."""
    yield _authorizer(settings, configs)
    if role is None:
        return
    missing, untold = [], []
    for grant in acls.grants(settings, role):
        if grant.resource == "topic" and not grant.prefixed:
            try:
                allowed = _allowed(settings, grant.name)
            except DependencyError:
                missing.append(f"Describe on {grant.name} (or it does not exist)")
                continue
            if allowed is None:
                untold.append(grant.name)
            else:
                missing += [f"{one} on {grant.name}" for one in grant.operations if one not in allowed]
    if missing:
        remedy = f"`sternpost acls --role {role}` prints what grants it"
        yield fault("rights", f"this user lacks, for the role {role}: {', '.join(missing)}", remedy)
    if untold:
        yield skipped("rights", f"this cluster does not tell what this user may do on {', '.join(untold)}")
    if not missing and not untold:
        yield ok("rights", f"this user may do on the topics what the role {role} needs")


def _authorizer(settings: Settings, configs: Configs) -> Check:
    try:
        found = KafkaAdmin(settings).describe_acls()
    except KafkaRequestError as error:
        if error.name == "CLUSTER_AUTHORIZATION_FAILED":
            return skipped("authorizer", f"one is on; this user may not see its ACLs ({error.detail})")
        if error.name != "SECURITY_DISABLED":
            return skipped("authorizer", f"whether one is on cannot be seen: {error.detail}")
        found = []
    if found:
        return ok("authorizer", f"one is on, with {len(found)} ACLs")
    # The client takes a broker's "no authorizer" for "no ACLs"; the broker's settings tell the two apart.
    if any(config.get("authorizer.class.name") for config in configs.values()):
        return warning("authorizer", "one is on, and there are no ACLs", "grant each role its rights: `sternpost acls`")
    if not any("authorizer.class.name" in config for config in configs.values()):
        return skipped("authorizer", "this cluster does not tell whether one is on, and shows no ACLs")
    return warning(
        "authorizer",
        "none is on: whoever reaches the brokers may read and write people's data",
        "set authorizer.class.name on the brokers, and grant each role its rights with `sternpost acls`",
    )


def _allowed(settings: Settings, topic: str) -> set[str] | None:
    """Return the operations that the user may do on a topic; None if the cluster does not tell.

    Raises DependencyError if the user may not see the topic.
    """
    operations = KafkaAdmin(settings).rights_on_topic(topic)
    if operations is None:
        return None
    return {"".join(word.capitalize() for word in operation.name.split("_")) for operation in operations}
