"""`sternpost replay`: map a range of the raw topic again."""

import click
from rich.table import Table

from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.cli.output import Progress, console, graceful_interrupt, pluralize, silence_logs, table, text
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.replay import dry_run as dry_runs
from sternpost.operations.replay.dry_run import Difference
from sternpost.operations.replay.replay import Replay
from sternpost.operations.replay.replay_pipeline import Filters
from sternpost.operations.requested_range import RequestedRange


@click.command()
@click.option(
    "--from",
    "start",
    required=True,
    help="Where to start: 2026-11-24T03:00:00Z, 2h (2 hours ago), beginning, offset:1200, or 0:12,3:7 (by partition).",
)
@click.option(
    "--to",
    "end",
    default="end",
    show_default=True,
    help="Where to stop, in the same forms. The record there is not replayed.",
)
@click.option("--dry-run", is_flag=True, help="Write nothing; report differences from the events in the output topic.")
@click.option(
    "--to-topic",
    metavar="TOPIC",
    help="Write the events to this topic. It is created, like the output topic, if missing.",
)
@click.option("--live", is_flag=True, help="Write the events to the output topic, where sinks read them again.")
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    type=click.IntRange(0),
    help="Only this partition of the raw topic. Repeatable.",
)
@click.option("--source", "sources", multiple=True, help="Only this source. Repeatable.")
@click.option("--object-type", "object_types", multiple=True, help="Only this object type: email, push, … Repeatable.")
@click.option(
    "--person",
    "people",
    multiple=True,
    help="Only this person, by customer id, cio_id, email or recipient. Repeatable.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="The most raw records per second, to spare the brokers.  [default: no limit]",
)
@click.option("--skip-expired", is_flag=True, help="If retention has removed part of the range, replay the rest.")
@click.option("--again", is_flag=True, help="Start over, even if this replay was interrupted or has finished before.")
@click.option(
    "--show-values", is_flag=True, help="With --dry-run: show the values of examples. They are people's data."
)
@parameters.json_option
@parameters.pass_settings
def command(
    settings: Settings,
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
    """Map a range of the raw topic again, with the code of this version and the settings in force.

    Give one of --dry-run, --to-topic and --live. Each event of the range is written once: after Ctrl-C the same command
    resumes, and after it has finished it refuses to write the events a second time, unless you give --again. Duplicates
    are dropped as the processor drops them. Dead letters are counted but not written.
    """
    if [dry_run, to_topic is not None, live].count(True) != 1:
        raise click.UsageError("give one of --dry-run, --to-topic TOPIC and --live")
    try:
        requested = RequestedRange.parse(start, end, partitions, skip_expired=skip_expired)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    silence_logs()  # the command reports internal errors by their code
    filters = Filters(frozenset(sources), frozenset(t.lower() for t in object_types), frozenset(people))
    if dry_run:
        _dry_run(settings, requested, filters, show_values=show_values, as_json=as_json)
    else:
        _write(settings, requested, filters, to_topic, rate, again=again, as_json=as_json)


def _dry_run(
    settings: Settings, requested: RequestedRange, filters: Filters, *, show_values: bool, as_json: bool
) -> None:
    ranges = requested.resolve(settings)
    with graceful_interrupt() as interrupted, Progress("read and compared") as progress:
        result = dry_runs.dry_run(
            settings,
            ranges,
            filters,
            show_values=show_values,
            interrupted=interrupted,
            on_start=progress.start,
            on_done=progress.advance,
        )
    if interrupted.is_set():
        click.echo("interrupted: the result covers only a part of the range", err=True)
    if as_json:
        output.echo_json(result.as_json())
    else:
        _show(settings, result.difference)
        if result.unreadable:
            topic = settings.topics.events
            click.echo(f"skipped {pluralize(result.unreadable, 'record')} of {topic} that cannot be read as events")
    if interrupted.is_set():
        raise click.exceptions.Exit(130)


def _show(settings: Settings, difference: Difference) -> None:
    out = console()
    out.print(f"{difference.records} raw records of the range, compared with {settings.topics.events}")
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


def _value(value: object) -> str:
    return "absent" if value is None else str(value)


def _write(
    settings: Settings,
    requested: RequestedRange,
    filters: Filters,
    to_topic: str | None,
    rate: float | None,
    *,
    again: bool,
    as_json: bool,
) -> None:
    with Replay(settings, ChangesAllowed(), requested, filters, to_topic, again=again) as replay:
        if replay.resumed:
            click.echo(f"resuming a replay that was interrupted, {replay.offsets_left} offsets left", err=True)
        with graceful_interrupt() as interrupted, Progress("replayed") as progress:
            result = replay.run(rate=rate, interrupted=interrupted, on_start=progress.start, on_done=progress.advance)
    counts = result.counts
    if as_json:
        output.echo_json(result.as_json())
    else:
        click.echo(
            f"{counts['events']} events written to {result.target}, from {counts.total()} raw records "
            f"({counts['duplicates']} duplicates, {counts['filtered']} filtered out, "
            f"{sum(result.dead_letters.values())} dead letters)"
        )
    if not result.finished:
        click.echo("interrupted; the same command resumes from here", err=True)
        raise click.exceptions.Exit(130)
