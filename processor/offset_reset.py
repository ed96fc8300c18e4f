"""What to tell people who are to set the group's offsets by hand."""


def how_to_reset(to: str) -> str:
    """The way with Kafka's own tool; `to` is its option (`--to-offset 42`).

    It refuses for as long as the group has members, and a static member counts as one until its session times out,
    stopped or not:
    https://cwiki.apache.org/confluence/display/KAFKA/KIP-345%3A+Introduce+static+membership+protocol+to+reduce+consumer+rebalances
    """
    return (
        "stop all processors, wait for longer than processor.session_timeout_ms (45 s by default), since their static "
        f"memberships keep the group active until then, and run kafka-consumer-groups --reset-offsets {to}"
    )
