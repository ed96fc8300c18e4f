"""The local stack's servers, killed and fewer than there were."""

from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient

from runtime.settings.loader import load
from sternpost.local import LocalStack, services
from tests.integration.test_local_stack import SCHEMA, SUBJECT, create, names
from tests.integration.test_services import send
from tests.support.waiting import PATIENCE_S, until


def test_servers_that_were_killed_come_back_with_their_data() -> None:
    with LocalStack() as stack:
        create(stack, "somewhere")
        with SchemaRegistryClient({"url": stack.registry_url}) as registry:
            registry.register_schema(SUBJECT, SCHEMA)
        assert stack.registry
        for server in (stack.brokers[0], stack.registry):
            server.kill()
            server.start()
            server.wait_ready()
        until(lambda: "somewhere" in names(stack))
        with SchemaRegistryClient({"url": stack.registry_url}) as registry:
            until(lambda: registry.get_subjects() == [SUBJECT])


def test_three_brokers_go_on_as_two() -> None:
    with LocalStack(brokers=3, registry=False) as stack:
        create(stack, "somewhere", replicas=3)
        stack.brokers[0].kill()
        # Until the others have given it up, they send clients that want to change something to it.
        stack.brokers[1].wait_until(lambda: members(stack) == {2, 3}, PATIENCE_S)
        create(stack, "elsewhere", replicas=2)
        until(lambda: {"somewhere", "elsewhere"} <= names(stack))  # brokers learn of a topic a moment later


def test_replicas_follow_the_brokers_that_are_started() -> None:
    with services.running(load(), brokers=3) as running:
        topics = running.settings.topics
        assert (topics.replication_factor, topics.min_insync_replicas) == (3, 2)
        assert send(running)


def members(stack: LocalStack) -> set[int]:
    return set(AdminClient({"bootstrap.servers": stack.brokers[1].address}).list_topics(timeout=PATIENCE_S).brokers)
