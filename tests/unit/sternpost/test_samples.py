"""Sample payloads."""

from sternpost.local import samples


def test_there_is_one_sample_for_each_kind_and_their_ids_differ() -> None:
    payloads = list(samples.one_of_each())
    assert [(p["object_type"], p["metric"]) for p in payloads] == samples.PAIRS
    assert len({p["event_id"] for p in payloads}) == len(payloads) == len(set(samples.PAIRS))


def test_samples_are_the_same_each_time_and_another_run_has_other_ids() -> None:
    assert samples.payload(5) == samples.payload(5)
    ids = {samples.payload(i, run)["event_id"] for i in range(500) for run in ("", "a", "b1")}
    assert len(ids) == 1_500
    assert {len(event_id) for event_id in ids} == {26}


def test_per_device_failures_and_the_rest_are_where_customer_io_puts_them() -> None:
    for payload in samples.one_of_each():
        data, pair = payload["data"], (payload["object_type"], payload["metric"])
        assert data["customer_id"] == data["identifiers"]["id"]
        if pair in {("push", "bounced"), ("push", "dropped")}:
            assert data["recipients"][0]["failure_message"]
            assert "failure_message" not in data
        if payload["object_type"] == "push":
            assert "recipient" not in data
