"""`sternpost dead-letters`: what could not become an event, and another try for it."""

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from confluent_kafka import Message

    from runtime.settings.model import Settings
    from sternpost.cli.progress import Progress
    from sternpost.operations.dead_letters.index import DeadLetterIndex
    from sternpost.operations.dead_letters.letter import DeadLetterRecord
    from sternpost.operations.dead_letters.redrive import Plan
    from sternpost.operations.dead_letters.selection import Selection


class Moment(click.ParamType[int]):
    """A time or an age, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from sternpost.operations.range_bound import parse_time

        try:
            return value if isinstance(value, int) else parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class At(click.ParamType[tuple[int, int]]):
    """Partition and offset."""

    name = "partition:offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        partition, _, offset = str(value).partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value!r} is no partition:offset; `sternpost dead-letters list` shows them: 3:42", param, ctx)
        return int(partition), int(offset)


def _filters(function: Callable[..., None]) -> Callable[..., None]:
    """The options that select letters, handed on as one `selection`."""
    import functools

    @functools.wraps(function)
    def with_selection(
        *args: Any,
        code: tuple[str, ...],
        source: tuple[str, ...],
        field: tuple[str, ...],
        event_id: tuple[str, ...],
        at: tuple[tuple[int, int], ...],
        since: int | None,
        until: int | None,
        **others: Any,
    ) -> None:
        from schemas.error_codes import ErrorCode
        from sternpost.operations.dead_letters.selection import Selection

        if unknown := set(code) - set(ErrorCode):
            raise click.UsageError(f"there is no code {min(unknown)}; there are {', '.join(ErrorCode)}")
        selection = Selection(
            codes=frozenset(code),
            sources=frozenset(source),
            fields=frozenset(field),
            event_ids=frozenset(event_id),
            positions=frozenset(at),
            since_ms=since,
            until_ms=until,
        )
        function(*args, selection=selection, **others)

    for option in reversed(
        [
            click.option("--code", multiple=True, help="Only this code; may be given more than once, as those below."),
            click.option("--source", multiple=True, help="Only this source."),
            click.option("--field", multiple=True, help="Only where this field is at fault: data.action_id"),
            click.option("--event-id", multiple=True, help="Only this event id."),
            click.option("--at", multiple=True, type=At(), help="Only the letter at this place: 3:42"),
            click.option("--since", type=Moment(), help="Failed then or later: 2026-11-24T03:00:00Z, or 2h (ago)."),
            click.option("--until", type=Moment(), help="Failed before then."),
        ]
    ):
        with_selection = option(with_selection)
    return with_selection


@click.group()
def command() -> None:
    """Look at what could not become an event, and send it back for another try."""


@command.command("list")
@_filters
@click.option("--all", "with_redriven", is_flag=True, help="Those that were sent back as well.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Newest letters shown; 0: all.")
@parameters.json_option
@parameters.pass_settings
def list_(settings: "Settings", selection: "Selection", with_redriven: bool, limit: int, as_json: bool) -> None:
    """Count the dead letters by code and source, and show the newest. Payloads are never shown here."""
    from sternpost.operations.dead_letters.selection import read
    from sternpost.operations.dead_letters.summary import summary

    letters = _found(settings, selection, with_redriven)
    groups = summary(letters)
    shown = (letter for batch in read(settings, letters.newest(limit)) for letter, _ in batch)
    newest = sorted(shown, key=lambda letter: (letter.failed_at_ms, letter.partition, letter.offset))
    if as_json:
        parameters.echo_json(
            {
                "total": len(letters),
                "groups": [group.as_json() for group in groups],
                "dead_letters": [letter.as_json() for letter in newest],
            }
        )
        return
    if not letters:
        click.echo(
            f"no dead letters in {settings.topics.dead_letters}{' that pass the filters' * _filtered(selection)}"
        )
        return
    from sternpost.cli.output import console, table, text

    counts = table("code", "source", "field", "letters", "first", "last", folded=("field",))
    counts.columns[3].justify = "right"
    for group in groups:
        kind, times = group.kind, (_second(group.first_ms), _second(group.last_ms))
        counts.add_row(text(kind.code), text(kind.source), text(kind.field or ""), str(group.letters), *times)
    out = console()
    out.print(counts)
    out.print(f"\n{len(newest)} of {len(letters)}, the newest last", style="bold")
    rows = table("at", "failed", "code", "event id", "tries", "message", folded=("event id", "message"))
    for letter in newest:
        rows.add_row(
            f"{letter.partition}:{letter.offset}",
            _second(letter.failed_at_ms),
            text(f"{letter.code}{' (sent back)' if letter.redriven else ''}"),
            text(letter.event_id or ""),
            str(letter.attempt + 1),
            text(letter.message),
        )
    out.print(rows)


def _found(settings: "Settings", selection: "Selection", with_redriven: bool) -> "DeadLetterIndex":
    from dataclasses import replace

    from sternpost.cli.progress import Progress
    from sternpost.operations.dead_letters.selection import find

    with Progress("read", transient=True) as progress:
        return find(settings, replace(selection, redriven=with_redriven), progress.at)


def _second(ms: int) -> str:
    from schemas.customerio.timestamps import iso

    return f"{iso(ms)[:19]}Z"


def _filtered(selection: "Selection") -> bool:
    from sternpost.operations.dead_letters.selection import Selection

    return selection != Selection()


@command.command()
@click.argument("at", type=At())
@parameters.json_option
@parameters.pass_settings
def show(settings: "Settings", at: tuple[int, int], as_json: bool) -> None:
    """Show one dead letter with its headers and payload, and in it the place at fault.

    AT is its partition:offset, as `sternpost dead-letters list` has it. The payload is a person's data.
    """
    letter, message = _one(settings, at)
    if as_json:
        parameters.echo_json(_whole(letter, message))
        return
    from sternpost.cli.output import console, text
    from sternpost.operations.dead_letters import marked_payload
    from sternpost.operations.dead_letters.letter import texts

    out = console(soft_wrap=True)
    for name, value in {k: v for k, v in letter.as_json().items() if v is not None and k != "raw"}.items():
        out.print(text(f"{name:12} ", "bold").append(text(str(value), "red" if name in ("code", "message") else "")))
    raw = f"{letter.raw_topic} {letter.raw_partition}:{letter.raw_offset}"
    out.print(text(f"{'raw record':12} ", "bold").append(text(raw)))
    out.print("\nheaders", style="bold")
    for name, value in texts(message).items():
        out.print(text(f"  {name}: {value}"))
    out.print("\npayload", style="bold")
    for line in marked_payload.lines(message.value() or b"", letter.field):
        out.print(text(f"{'▶' if line.at_fault else ' '} {line.text}", "bold red" if line.at_fault else ""))


def _one(settings: "Settings", at: tuple[int, int]) -> "tuple[DeadLetterRecord, Message]":
    from runtime.errors import CheckFailedError
    from sternpost.operations.dead_letters.selection import Selection, find, read

    found = find(settings, Selection(positions=frozenset({at}), redriven=True))
    for batch in read(settings, found):
        return batch[0]
    raise CheckFailedError(
        f"{settings.topics.dead_letters} has no dead letter at {at[0]}:{at[1]}; it may be older than "
        "topics.dead_letters_retention_ms. `sternpost dead-letters list --all --limit 0` shows those there are"
    )


def _whole(letter: "DeadLetterRecord", message: "Message") -> dict[str, Any]:
    """A letter with headers, key and payload; bytes that are no UTF-8 come in base64, under another name."""
    import base64

    from sternpost.operations.dead_letters.letter import texts

    whole: dict[str, Any] = {**letter.as_json(), "headers": texts(message)}
    for name, content in (("key", message.key()), ("payload", message.value())):
        try:
            whole[name] = None if content is None else content.decode()
        except UnicodeDecodeError:
            whole[f"{name}_base64"] = base64.b64encode(content or b"").decode()
    return whole


@command.command()
@_filters
@click.option("--all", "with_redriven", is_flag=True, help="Those that were sent back as well.")
@click.option("--output", type=click.File("wb", lazy=True), default="-", help="File to write  [default: standard out]")
@click.option("--bodies", is_flag=True, help="The payloads alone, as they were sent, for `sternpost transform`.")
@parameters.pass_settings
def export(settings: "Settings", selection: "Selection", with_redriven: bool, output: IO[bytes], bodies: bool) -> None:
    """Write dead letters out, one JSON object a line: what `show --json` shows. The payloads are people's data."""
    import orjson

    from sternpost.cli.output import pluralize, printable
    from sternpost.operations.dead_letters.selection import read

    if bodies and output.isatty():
        raise click.UsageError("a terminal would obey what is in the payloads; give --output FILE, or a pipe")
    number = 0
    for batch in read(settings, _found(settings, selection, with_redriven)):
        for letter, message in batch:
            body = message.value() or b""
            # A line break in JSON text is space between its tokens, or else makes it no JSON.
            line = body.replace(b"\r", b" ").replace(b"\n", b" ")
            if not bodies:
                line = printable(orjson.dumps(_whole(letter, message)).decode()).encode()
            output.write(line + b"\n")
            number += 1
    output.flush()
    click.echo(f"{pluralize(number, 'dead letter')} exported", err=True)


@command.command()
@_filters
@click.option(
    "--max-attempts", type=click.IntRange(1), default=5, show_default=True, help="Leave alone what was tried so often."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; say what this version would make of them.")
@click.option("--even-if-failing", is_flag=True, help="Send those too that this version makes dead letters of again.")
@parameters.json_option
@parameters.pass_settings
def redrive(
    settings: "Settings", selection: "Selection", max_attempts: int, dry_run: bool, even_if_failing: bool, as_json: bool
) -> None:
    """Send dead letters back to the raw topic: same key, bytes and headers, `attempt` counted up.

    Each is mapped first, and left where it is if it would fail again. Each is sent back once, however often the command
    runs or is interrupted: sending and noting that it was sent are one transaction. They come after what is in the
    topic now, so out of the order in which they first came.
    """
    parameters.silence_logs()  # faults of ours are counted by their code
    limits = {"max_attempts": max_attempts, "even_if_failing": even_if_failing}
    if dry_run:
        _dry_run(settings, selection, limits, as_json)
    else:
        _redrive(settings, selection, limits, as_json)


def _redrive(settings: "Settings", selection: "Selection", limits: dict[str, Any], as_json: bool) -> None:
    from runtime.graceful_interrupt import graceful_interrupt
    from sternpost.cli.output import pluralize
    from sternpost.cli.progress import Progress
    from sternpost.operations.dead_letters.redrive import redrive as send

    with graceful_interrupt() as interrupted, Progress("read") as progress:
        planned: list[Plan] = []

        def on_plan(plan: "Plan") -> None:
            planned.append(plan)
            _say_left_alone(plan, limits["max_attempts"], err=True)
            progress.start(len(plan.letters), "sent back")

        sent = send(
            settings,
            selection,
            **limits,
            interrupted=interrupted,
            on_read=progress.at,
            on_mapped=_mapped(progress),
            on_plan=on_plan,
            on_sent=progress.advance,
        )
    [plan] = planned
    left = len(plan.letters) - sent.total()
    if as_json:
        parameters.echo_json(
            {
                "sent": sent.total(),
                "by_code": dict(sent),
                "left_out": dict(plan.failing),
                "exhausted": plan.exhausted.total(),
                "left": left,
            }
        )
    else:
        click.echo(f"{pluralize(sent.total(), 'dead letter')} sent back to {settings.topics.raw}")
    if left:
        click.echo(f"interrupted: {left} are left; run it again to send those", err=True)
        raise click.exceptions.Exit(130)


def _dry_run(settings: "Settings", selection: "Selection", limits: dict[str, Any], as_json: bool) -> None:
    from sternpost.cli.output import pluralize
    from sternpost.cli.progress import Progress
    from sternpost.operations.dead_letters.redrive import plan

    with Progress("read", transient=True) as progress:
        planned = plan(settings, selection, **limits, on_read=progress.at, on_mapped=_mapped(progress))
    if as_json:
        parameters.echo_json(
            {
                "would_send": len(planned.letters),
                "would_become": dict(planned.would_become),
                "left_out": dict(planned.failing),
                "exhausted": planned.exhausted.total(),
            }
        )
        return
    click.echo(f"{pluralize(len(planned.letters), 'dead letter')} would be sent back to {settings.topics.raw}")
    for code, number in planned.would_become.most_common():
        if code not in planned.failing:
            click.echo(f"  {number} would become {'an event' if code == 'event' else f'a dead letter again: {code}'}")
    _say_left_alone(planned, limits["max_attempts"])


def _mapped(progress: "Progress") -> Callable[[int, int], None]:
    def at(done: int, total: int) -> None:
        if done:
            progress.at(done, total)
        else:
            progress.start(total, "mapped")

    return at


def _say_left_alone(plan: "Plan", max_attempts: int, *, err: bool = False) -> None:
    from sternpost.cli.output import pluralize

    if plan.failing:
        codes = ", ".join(f"{number} {code}" for code, number in plan.failing.most_common())
        click.echo(
            f"{pluralize(plan.failing.total(), 'dead letter')} left out, since this version would make dead letters of "
            f"them again: {codes}. --even-if-failing sends them all the same",
            err=err,
        )
    if plan.exhausted:
        letters = pluralize(plan.exhausted.total(), "dead letter")
        click.echo(
            f"{letters} left alone: sent back {max_attempts} times or more already; raise --max-attempts to try again",
            err=err,
        )
