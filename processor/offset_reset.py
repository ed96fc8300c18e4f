"""Instructions for setting the group's offsets by hand."""


def how_to_reset(to: str) -> str:
    """Return the instructions for Kafka's own tool; `to` is its option (`--to-offset 42`).

    The tool refuses as long as the group has members, and a static member counts until its session times out, even if
    it has stopped:
    https://cwiki.apache.org/confluence/display/KAFKA/KIP-345%3A+Introduce+static+membership+protocol+to+reduce+consumer+rebalances
    """
    return (
        "stop all processors, wait for longer than processor.session_timeout_ms (45 s by default), since their static "
        f"memberships keep the group active until then, and run kafka-consumer-groups --reset-offsets {to}"
    )
