"""`sternpost topics`: creates and checks the topics."""

from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings


@click.group()
def command() -> None:
    """Create the topics, or check that they are right for exactly once."""


@command.command()
@parameters.setting_option("--partitions", setting="topics.partitions", type=int, help="Partitions of each topic.")
@parameters.setting_option(
    "--replication-factor",
    setting="topics.replication_factor",
    type=int,
    help="Copies of each partition; -1: the cluster's own number.",
)
@parameters.setting_option(
    "--min-insync-replicas", setting="topics.min_insync_replicas", type=int, help="Copies that must have a record."
)
@parameters.json_option
@parameters.pass_settings
def create(settings: "Settings", as_json: bool) -> None:
    """Create the topics that are missing, all of them or none; existing ones stay as they are.

    A cluster that forbids one of the topics' settings is told nothing of it with topics.omit_configs.
    """
    from sternpost.operations import topics

    created = topics.create(settings)
    if as_json:
        parameters.echo_json({"created": created, "existed": [n for n in topics.names(settings) if n not in created]})
        return
    for name in topics.names(settings):
        click.echo(f"{name}: {'created' if name in created else 'was there; `sternpost topics check` checks it'}")


@command.command()
@click.option("--partitions", type=click.IntRange(1), required=True, help="How many each topic shall have.")
@click.option("--force", is_flag=True, help="Though ingest is at work, or records are not processed.")
@parameters.json_option
@parameters.pass_settings
def increase_partitions(settings: "Settings", partitions: int, force: bool, as_json: bool) -> None:
    """Give the topics more partitions, and so room for more processors.

    People move to other partitions by it: order and deduplication hold only if nothing is on its way. So it refuses
    while ingest is at work here or records are not processed. Stop ingest, wait for the processors, grow, and start
    them all again; docs/operations.md has the steps.
    """
    from sternpost.operations.add_partitions import increase_partitions as more

    grown = more(settings, partitions, force=force)
    if as_json:
        parameters.echo_json({"partitions": partitions, "grown": grown})
        return
    for name, before in grown.items():
        click.echo(f"{name}: {before} → {partitions} partitions")
    if not grown:
        click.echo(f"all have {partitions} partitions")
    elif settings.topics.partitions != partitions:
        click.echo(f"set topics.partitions to {partitions}, and restart the processors")


@command.command()
@parameters.json_option
@parameters.pass_settings
def check(settings: "Settings", as_json: bool) -> None:
    """Check the topics' settings; exits 1 where one is wrong, and says how to mend it.

    What a cluster does not tell, or was left to it by topics.omit_configs, is a warning.
    """
    from runtime.errors import CheckFailedError
    from sternpost.cli.output import pluralize
    from sternpost.operations import topics

    findings = topics.check(settings)
    if as_json:
        parameters.echo_json({"findings": [finding._asdict() for finding in findings]})
    for finding in [] if as_json else findings:
        click.echo(f"{finding.severity}: {finding.topic}: {finding.problem}\n  mend: {finding.mend}")
    faults = sum(finding.severity is topics.Severity.FAULT for finding in findings)
    if faults:
        raise CheckFailedError(f"{pluralize(faults, 'fault')} in the topics")
    if not as_json:
        but = f", as far as can be seen ({pluralize(len(findings), 'warning')})" if findings else ""
        click.echo(f"{', '.join(topics.names(settings))}: all as they should be{but}")
