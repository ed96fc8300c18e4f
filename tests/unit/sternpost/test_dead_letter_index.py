"""The index of dead letters."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from sternpost.operations.dead_letters.index import DeadLetterEntry, DeadLetterIndex, GroupKey
from sternpost.operations.dead_letters.listing import over_time
from sternpost.operations.dead_letters.record import DeadLetterRecord, parse_dead_letter
from sternpost.operations.dead_letters.summary import DeadLetterGroup, summarize


@dataclass
class Model:
    """The same with a plain dictionary."""

    index: DeadLetterIndex = field(default_factory=DeadLetterIndex)
    entries: dict[tuple[int, int], DeadLetterEntry] = field(default_factory=dict)


letters = st.tuples(
    st.integers(0, 2), st.integers(0, 2**62), st.sampled_from("ab"), st.sampled_from(["x", None]), st.integers(0, 9)
)
marks = st.tuples(st.integers(0, 3), st.integers(0, 20))


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Letters at every second offset, and notes that some were sent back."""
    model, ends = Model(), Counter[int]()
    for step in draw(st.lists(letters | marks, max_size=30)):
        if len(step) == 2:
            model.index.mark_redriven(*step)
            if step in model.entries:
                model.entries[step] = model.entries[step]._replace(redriven=True)
            continue
        partition, at, code, where, attempt = step
        key = GroupKey(code, "s", where)
        entry = DeadLetterEntry(partition, 2 * ends[partition], at, at // 2, key, attempt, redriven=False)
        ends[partition] += 1
        model.index.add(letter(entry))
        model.entries[partition, entry.offset] = entry
    return model


def letter(entry: DeadLetterEntry) -> DeadLetterRecord:
    key = entry.group
    fixed = ("map", key.field, "why", key.source, "id", entry.attempt, "raw", 0, 0, 1)
    return DeadLetterRecord(entry.partition, entry.offset, entry.failed_at_ms, entry.received_at_ms, key.code, *fixed)


@given(models())
def test_it_holds_what_was_put_in(model: Model) -> None:
    assert len(model.index) == len(model.entries)
    assert {(entry.partition, entry.offset): entry for entry in model.index} == model.entries
    for partition in range(4):
        for offset in range(40):
            assert model.index.get(partition, offset) == model.entries.get((partition, offset))
    assert model.index.by_code() == Counter(entry.group.code for entry in model.entries.values())


@given(models(), st.integers(0, 10), st.integers(0, 5))
def test_parts_of_it(model: Model, most: int, skip: int) -> None:
    redriven = model.index.where(lambda entry: entry.redriven)
    assert sorted(redriven) == sorted(entry for entry in model.entries.values() if entry.redriven)

    by_age = sorted(model.entries.values(), key=lambda entry: (entry.failed_at_ms, entry.partition, entry.offset))
    newest = model.index.newest(most, skip)
    left = by_age[: max(0, len(by_age) - skip)]
    assert sorted(newest) == sorted(left[-most:])
    for offset_range in newest.ranges():
        offsets = [entry.offset for entry in newest if entry.partition == offset_range.partition]
        assert (offset_range.start, offset_range.end) == (min(offsets), max(offsets) + 1)


@given(models(), st.integers(0, 3), st.integers(0, 40), st.integers(0, 5))
def test_what_is_forgotten_is_counted_no_more(model: Model, partition: int, offset: int, most: int) -> None:
    kept = [entry for entry in model.entries.values() if entry.partition != partition or entry.offset >= offset]
    model.index.forget_before(partition, offset)
    assert sorted(model.index) == sorted(kept)
    opened = Counter((entry.group.code, entry.group.source) for entry in kept if not entry.redriven)
    assert model.index.open_by_code_and_source() == opened

    offsets = sorted(entry.offset for entry in kept if entry.partition == partition)
    gone = offsets[: max(0, len(offsets) - most)]
    assert model.index.forget_oldest(partition, most) == (gone[-1] + 1 if gone else 0)
    assert sorted(model.index) == sorted(e for e in kept if e.partition != partition or e.offset not in gone)
    assert sorted(found.partition for found in model.index.ranges()) == sorted(
        {entry.partition for entry in model.index}
    )


@given(models())
def test_the_summary_counts_each_letter_once(model: Model) -> None:
    groups = summarize(model.index)
    assert [group.letters for group in groups] == sorted((group.letters for group in groups), reverse=True)
    for group in groups:
        times = [entry.failed_at_ms for entry in model.entries.values() if entry.group == group.key]
        assert group == DeadLetterGroup(group.key, len(times), min(times), max(times))
    assert sum(group.letters for group in groups) == len(model.entries)


@given(models())
def test_each_letter_is_in_one_step_of_time(model: Model) -> None:
    found = over_time(model.index)
    assert len(found.starts_ms) <= 60
    assert [later - earlier for earlier, later in pairwise(found.starts_ms)] == [found.step_ms] * (
        len(found.starts_ms) - 1
    )
    assert {code: sum(counts) for code, counts in found.by_code.items()} == model.index.by_code()
    for entry in model.entries.values():
        at = max([0, *(at for at, start in enumerate(found.starts_ms) if start <= entry.failed_at_ms)])
        assert found.by_code[entry.group.code][at]
        assert entry.failed_at_ms < found.starts_ms[-1] + found.step_ms


def test_what_it_keeps_of_a_letter_is_short() -> None:
    """Headers come from whoever can write to the raw topic, and one may have a megabyte."""
    message = Mock()
    message.headers.return_value = [(name, b"\xff" * 100_000) for name in ("error_code", "source", "error_field")]
    message.timestamp.return_value = (1, 0)
    message.value.return_value = b"{}"
    message.partition.return_value = message.offset.return_value = 0
    found = parse_dead_letter(message)
    assert found is not None
    index = DeadLetterIndex()
    index.add(found)
    [entry] = index
    assert all(text is not None and len(text) <= 1024 for text in entry.group)
