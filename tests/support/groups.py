"""Settings of a group that brokers keep: those of members with the group protocol `consumer`."""

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.support.waiting import PATIENCE_S, until

HEARTBEAT_MS = 500


def set_session_timeout(bootstrap_servers: str, group_id: str, session_ms: int) -> None:
    """Have the group's members lose their place after this time; return once brokers say so, a moment later.

    Raises KafkaException, as brokers before 4.0 do.
    """
    wanted = {"consumer.heartbeat.interval.ms": HEARTBEAT_MS, "consumer.session.timeout.ms": session_ms}
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    group = ConfigResource(ResourceType.GROUP, group_id, incremental_configs=entries)
    for done in admin.incremental_alter_configs([group]).values():
        done.result(PATIENCE_S)
    asked = ConfigResource(ResourceType.GROUP, group_id)

    def told() -> bool:
        [described] = admin.describe_configs([asked]).values()
        entries = described.result(PATIENCE_S)
        return all(entries[name].value == str(value) for name, value in wanted.items())

    until(told)
