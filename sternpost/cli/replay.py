"""`sternpost replay`: maps a range of the raw topic again."""

from typing import TYPE_CHECKING, Any

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings
    from sternpost.operations.replay.compare import Difference


@click.command()
@click.option("--from", "start", required=True, help="2026-11-24T03:00:00Z, 2h (ago), beginning, offset:1200, 0:12,3:7")
@click.option("--to", "end", default="end", show_default=True, help="The same forms; the record there is not replayed.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would differ from the output topic.")
@click.option(
    "--to-topic", metavar="TOPIC", help="Write the events to this topic; made like the output topic if missing."
)
@click.option("--live", is_flag=True, help="Write the events to the output topic, where sinks read them again.")
@click.option("--partition", "partitions", multiple=True, type=click.IntRange(0), help="Only this partition of raw.")
@click.option(
    "--source", "sources", multiple=True, help="Only this source. May be given more than once, as those around."
)
@click.option("--object-type", "object_types", multiple=True, help="Only this object type: email, push …")
@click.option("--person", "people", multiple=True, help="Only this person, by customer id, cio_id, email or recipient.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Raw records a second at most, to spare the brokers."
)
@click.option("--skip-expired", is_flag=True, help="Where retention has removed part of the range: take what is left.")
@click.option(
    "--again", is_flag=True, help="Start from the beginning, though this replay was begun or finished before."
)
@click.option(
    "--show-values", is_flag=True, help="With --dry-run: examples with their values, which are people's data."
)
@parameters.json_option
@parameters.pass_settings
def command(
    settings: "Settings",
    start: str,
    end: str,
    dry_run: bool,
    to_topic: str | None,
    live: bool,
    partitions: tuple[int, ...],
    sources: tuple[str, ...],
    object_types: tuple[str, ...],
    people: tuple[str, ...],
    rate: float | None,
    skip_expired: bool,
    again: bool,
    show_values: bool,
    as_json: bool,
) -> None:
    """Map a range of the raw topic again, with this version's code and settings.

    Give one of --dry-run, --to-topic and --live. Each event of the range is written once: after Ctrl-C, the same
    command goes on where it stopped, and after it has finished, it refuses to write everything a second time, unless
    --again says so. Duplicates are told apart as the processor does. Dead letters are counted, and not written.
    """
    from sternpost.operations.offset_spec import parse
    from sternpost.operations.replay.filters import Filters
    from sternpost.operations.replay.offset_range import resolve

    if [dry_run, to_topic is not None, live].count(True) != 1:
        raise click.UsageError("give one of --dry-run, --to-topic TOPIC and --live")
    try:
        first, last = parse(start), parse(end)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    parameters.silence_logs()
    filters = Filters(frozenset(sources), frozenset(t.lower() for t in object_types), frozenset(people))

    def spans() -> Any:
        return resolve(settings, first, last, partitions, skip_expired=skip_expired)

    if dry_run:
        _dry_run(settings, spans(), filters, show_values, as_json)
        return
    words = (start, end, repr(sorted(partitions)), filters.as_text())
    _write(settings, to_topic or settings.topics.events, live, words, spans, filters, rate, again, as_json)


def _dry_run(settings: "Settings", spans: Any, filters: Any, show_values: bool, as_json: bool) -> None:
    from runtime.kafka.transactional_producer import graceful_interrupt
    from runtime.schema_registry import Registry
    from sternpost.cli.progress import Progress
    from sternpost.operations.replay.compare import compare
    from sternpost.operations.replay.existing_events import ExistingEvents
    from sternpost.operations.replay.replay_pipeline import ReplayPipeline

    registry = Registry(settings.schema_registry)
    present = ExistingEvents(settings, settings.topics.events, spans)
    try:
        with (
            graceful_interrupt() as interrupted,
            ReplayPipeline(settings, spans, filters, 0) as mapping,
            Progress("read and compared") as progress,
        ):
            output = present.spans()
            progress.start(sum(span.offsets for span in [*output, *spans]))
            present.read(output, registry.schema, progress.advance, lambda: bool(interrupted))
            mapping.warm_up(lambda: bool(interrupted))
            difference = compare(
                mapping,
                present,
                registry.schema,
                show_values=show_values,
                on_done=progress.advance,
                interrupted=lambda: bool(interrupted),
            )
            if interrupted:
                click.echo("interrupted: what follows is of a part of the range", err=True)
    finally:
        present.close()
        registry.close()
    result = {
        "range": [span._asdict() for span in spans],
        **difference.as_json(),
        "unreadable": present.unreadable,
    }
    if as_json:
        parameters.echo_json(result)
    else:
        _show(settings, difference)
        if present.unreadable:
            topic = settings.topics.events
            click.echo(f"{present.unreadable} records of {topic} are no events that can be read, and were passed over")
    if interrupted:
        raise click.exceptions.Exit(130)


def _show(settings: "Settings", difference: "Difference") -> None:
    from rich.table import Table

    from sternpost.cli.output import console, table, text

    out = console()
    out.print(f"{difference.records} raw records of the range, held against {settings.topics.events}")
    counts = Table.grid(padding=(0, 2))
    for name in ("unchanged", "changed", "added", "removed", "duplicates"):
        counts.add_row(text(name, "bold"), str(getattr(difference, name)))
    for code, letters in difference.dead_letters.most_common():
        counts.add_row(text("dead letters", "bold"), f"{letters} {code}")
    out.print(counts)
    if difference.fields:
        fields = table("field", "changed", "added", "removed", "for example", folded=("for example",))
        for path, change in difference.as_json()["fields"].items():
            example = change["examples"][0]
            shown = f"{example['raw']}: {_value(example['before'])} → {_value(example['after'])}"
            fields.add_row(text(path), *(str(change[how]) for how in ("changed", "added", "removed")), text(shown))
        out.print(fields)
    for what, examples in difference.examples.items():
        for example in examples:
            because = f": {example['because']}" if "because" in example else ""
            out.print(text(f"{what.replace('_', ' ').removesuffix('s')}: raw {example['raw']}{because}"))


def _value(value: Any) -> str:
    return "absent" if value is None else str(value)


def _write(
    settings: "Settings",
    target: str,
    live: bool,
    words: tuple[str, ...],
    resolve: Any,
    filters: Any,
    rate: float | None,
    again: bool,
    as_json: bool,
) -> None:
    from runtime.errors import CheckFailedError, ConfigurationError
    from runtime.kafka import range_consumer
    from runtime.kafka.admin import check_topics
    from runtime.kafka.transactional_producer import TransactionalProducer, graceful_interrupt
    from sternpost.cli.progress import Progress as Bar
    from sternpost.operations.replay.offset_range import check_kept
    from sternpost.operations.replay.progress import Progress, name_of
    from sternpost.operations.replay.replay_pipeline import ReplayPipeline
    from sternpost.operations.replay.target import ensure, schema_id
    from sternpost.operations.replay.write import write

    topics = settings.topics
    if not live and target in (topics.raw, topics.events, topics.dead_letters):
        raise ConfigurationError(
            f"--to-topic {target} is one of the pipeline's own topics; --live writes to {topics.events}"
        )
    check_topics(settings, [topics.raw, topics.events])
    framed = schema_id(settings)
    name = name_of(settings, target, *words)
    progress = Progress(settings, name)
    try:
        # First, so that what an earlier run left undecided is decided.
        transactions = TransactionalProducer(settings, name)
        found = progress.find(range_consumer.topic_partitions(settings, topics.raw))
        spans = None if again else found
        resumed = spans is not None
        if spans is None:
            spans = resolve()
        elif not any(span.offsets for span in spans):
            raise CheckFailedError(
                f"a replay to {target} with these options has finished, and would write its events a second time; "
                "--again does that, reckoning times such as `2h` anew"
            )
        else:
            check_kept(settings, spans)
            click.echo(f"going on with a replay that was interrupted, {_left(spans)} offsets left", err=True)
        ensure(settings, target)
        if not resumed:
            progress.begin(spans)
        with (
            graceful_interrupt() as interrupted,
            ReplayPipeline(settings, spans, filters, framed) as mapping,
            Bar("replayed") as bar,
        ):
            mapping.warm_up(lambda: bool(interrupted))
            bar.start(_left(spans))
            counts = write(
                settings,
                target,
                mapping,
                spans,
                progress,
                transactions,
                rate=rate,
                interrupted=interrupted,
                on_done=bar.advance,
            )
    finally:
        progress.close()
    letters = {code: n for code, n in counts.items() if code not in ("events", "duplicates", "filtered")}
    if as_json:
        parameters.echo_json(
            {
                "range": [span._asdict() for span in spans],
                "resumed": resumed,
                "finished": not interrupted,
                "target": target,
                "records": counts.total(),
                "events": counts["events"],
                "duplicates": counts["duplicates"],
                "filtered": counts["filtered"],
                "dead_letters": letters,
            }
        )
    else:
        click.echo(
            f"{counts['events']} events written to {target}, from {counts.total()} raw records "
            f"({counts['duplicates']} duplicates, {counts['filtered']} filtered out, "
            f"{sum(letters.values())} dead letters)"
        )
    if interrupted:
        click.echo("interrupted; the same command goes on from here", err=True)
        raise click.exceptions.Exit(130)


def _left(spans: Any) -> int:
    return sum(span.offsets for span in spans)
