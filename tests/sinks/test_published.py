"""What the sinks are compared with is what `sternpost transform` prints; and aborted events are in the log."""

from schemas.track_event import track_json
from tests.sinks.published import PROFILES, Published, committed_records, transformed


def test_the_events_are_those_that_transform_prints(published: Published) -> None:
    got = {event["messageId"]: track_json(event) for event in published.events}
    assert len(got) == len(published.events) == sum(map(len, published.bodies.values()))
    for profile in PROFILES:
        for wanted in transformed(profile, published.bodies[profile]):
            event = got.pop(wanted["messageId"])
            assert event["context"].pop("origin")["topic"] == published.raw_topics[profile]
            received_at = wanted.pop("receivedAt")
            if "originalTimestamp" not in wanted:
                assert wanted["timestamp"] == received_at
                wanted["timestamp"] = event["receivedAt"]
            del event["receivedAt"]
            assert event == wanted
    assert not got


def test_a_reader_of_uncommitted_records_sees_aborted_events(published: Published) -> None:
    uncommitted = committed_records(published.kafka, published.topic, "read_uncommitted")
    assert len(uncommitted) == len(published.events) + published.aborted
