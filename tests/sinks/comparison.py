"""Compare what a sink has with what was published: every event once, every field exactly."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.sinks.published import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def present(value: Any) -> Any:
    """Return a value in the form that is compared: times in Unix milliseconds, absent fields left out."""
    match value:
        case dict():
            return {name: present(inner) for name, inner in value.items() if inner is not None}
        case list() | tuple():
            return [present(inner) for inner in value]
        case datetime():
            return milliseconds(value)
    return value


def milliseconds(moment: datetime) -> int:
    """Return a time in Unix milliseconds. It must not have a finer part; without a time zone it is in UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole, rest = divmod(moment - EPOCH, timedelta(milliseconds=1))
    assert not rest, moment
    return whole


def flattened(event: Event, delimiter: str) -> Event:
    """Return an event's fields by their paths. Maps and arrays stay."""
    maps = {"integrations", delimiter.join(("properties", "headers"))}
    flat: Event = {}

    def add(path: str, value: Any) -> None:
        if isinstance(value, dict) and path not in maps:
            for name, inner in value.items():
                add(f"{path}{delimiter}{name}" if path else name, inner)
        else:
            flat[path] = value

    add("", event)
    return flat


def assert_same(got: Iterable[Event], wanted: Iterable[Event], form: Callable[[Event], Event] = present) -> None:
    """Assert that `got` are the wanted events, each once and each field alike. `form` is applied to the wanted ones."""
    got, wanted = list(got), [form(event) for event in wanted]
    by_id = {event["messageId"]: event for event in wanted}
    counts = Counter(event["messageId"] for event in got)
    assert counts == Counter(by_id.keys()), "an event is missing, there twice, or of an aborted transaction"
    for event in got:
        ours, theirs = (flattened(one, ".") for one in (by_id[event["messageId"]], event))
        wrong = {
            path: (ours.get(path), theirs.get(path)) for path in ours | theirs if ours.get(path) != theirs.get(path)
        }
        assert event == by_id[event["messageId"]], f"{event['messageId']} (published, found): {wrong}"
