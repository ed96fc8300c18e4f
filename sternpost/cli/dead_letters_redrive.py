"""`sternpost dead-letters redrive`: send dead letters back to the raw topic."""

from collections.abc import Callable

import click

from runtime.settings.model import Settings
from sternpost.cli import parameters
from sternpost.cli.dead_letters_filters import filter_options
from sternpost.cli.output import Progress, echo_json, graceful_interrupt, pluralize, silence_logs
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.dead_letters.redrive import RedrivePlan, plan
from sternpost.operations.dead_letters.redrive import redrive as send_back
from sternpost.operations.dead_letters.selection import Selection


@click.command()
@filter_options
@click.option(
    "--max-attempts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Skip dead letters that were tried this number of times.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; report what this version would make of the payloads.")
@click.option("--even-if-failing", is_flag=True, help="Also send those that would become dead letters again.")
@parameters.json_option
@parameters.pass_settings
def redrive(
    settings: Settings, selection: Selection, max_attempts: int, dry_run: bool, even_if_failing: bool, as_json: bool
) -> None:
    """Send dead letters back to the raw topic.

    Each goes back with the same key, bytes and headers, and with `attempt` incremented. Each is mapped first and is
    left out if it would fail again. Each is sent back once, however often the command runs or is interrupted: sending
    it and recording that it was sent are one transaction. The records go to the end of the topic, so they are no longer
    in their original order.
    """
    silence_logs()  # the command reports internal errors by their code
    if dry_run:
        _dry_run(settings, selection, max_attempts, even_if_failing=even_if_failing, as_json=as_json)
    else:
        _redrive(settings, selection, max_attempts, even_if_failing=even_if_failing, as_json=as_json)


def _redrive(
    settings: Settings, selection: Selection, max_attempts: int, *, even_if_failing: bool, as_json: bool
) -> None:
    with graceful_interrupt() as interrupted, Progress("read") as progress:

        def on_plan(planned: RedrivePlan) -> None:
            _report_left_out(planned, max_attempts, err=True)
            progress.start(len(planned.letters), "sent back")

        result = send_back(
            settings,
            ChangesAllowed(),
            selection,
            max_attempts=max_attempts,
            even_if_failing=even_if_failing,
            interrupted=interrupted,
            on_read=progress.at,
            on_mapped=_on_mapped(progress),
            on_plan=on_plan,
            on_sent=progress.advance,
        )
    if as_json:
        echo_json(result.as_json())
    else:
        click.echo(f"{pluralize(result.sent.total(), 'dead letter')} sent back to {settings.topics.raw}")
    if result.left:
        click.echo(f"interrupted: {result.left} are left; run the command again to send those", err=True)
        raise click.exceptions.Exit(130)


def _dry_run(
    settings: Settings, selection: Selection, max_attempts: int, *, even_if_failing: bool, as_json: bool
) -> None:
    with Progress("read", transient=True) as progress:
        planned = plan(
            settings,
            selection,
            max_attempts=max_attempts,
            even_if_failing=even_if_failing,
            on_read=progress.at,
            on_mapped=_on_mapped(progress),
        )
    if as_json:
        echo_json(planned.as_json())
        return
    click.echo(f"{pluralize(len(planned.letters), 'dead letter')} would be sent back to {settings.topics.raw}")
    for code, number in planned.would_become.most_common():
        if code not in planned.failing:
            click.echo(f"  {number} would become {'an event' if code == 'event' else f'a dead letter again: {code}'}")
    _report_left_out(planned, max_attempts)


def _on_mapped(progress: Progress) -> Callable[[int, int], None]:
    def at(done: int, total: int) -> None:
        if done:
            progress.at(done, total)
        else:
            progress.start(total, "mapped")

    return at


def _report_left_out(planned: RedrivePlan, max_attempts: int, *, err: bool = False) -> None:
    if planned.failing:
        codes = ", ".join(f"{number} {code}" for code, number in planned.failing.most_common())
        click.echo(
            f"{pluralize(planned.failing.total(), 'dead letter')} left out, because this version would make dead "
            f"letters of them again: {codes}. --even-if-failing sends them too",
            err=err,
        )
    if planned.exhausted:
        letters = pluralize(planned.exhausted.total(), "dead letter")
        click.echo(
            f"{letters} left alone: sent back {max_attempts} times or more already; raise --max-attempts to try again",
            err=err,
        )
