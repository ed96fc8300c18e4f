"""The local stack, as real processes."""

from confluent_kafka.admin import AdminClient

from tests.kafka import Kafka, SettingsMaker, TopicMaker


def test_topics_have_names_of_their_own(kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker) -> None:
    first, second = make_topics(partitions=2), make_topics(partitions=3)
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=20).topics

    assert {len(topics[name].partitions) for name in (first.raw, first.events, first.dead_letters)} == {2}
    assert {len(topics[name].partitions) for name in (second.raw, second.events, second.dead_letters)} == {3}
    assert make_settings(first, processor={"workers": 2}).processor.workers == 2
