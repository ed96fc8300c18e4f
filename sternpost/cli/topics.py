"""`sternpost topics`: create and check the topics, and add partitions."""

import click

from runtime.errors import CheckFailedError
from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.cli.output import pluralize
from sternpost.operations import add_partitions, topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.severity import Severity
from sternpost.operations.topic_forms import Form


@click.group()
def command() -> None:
    """Create the topics, check that their settings allow exactly-once, and add partitions."""


@command.command()
@parameters.setting_option(
    "--partitions", setting="topics.partitions", type=int, help="Number of partitions of each topic."
)
@parameters.setting_option(
    "--replication-factor",
    setting="topics.replication_factor",
    type=int,
    help="Replicas of each partition; -1 for the default of the cluster.",
)
@parameters.setting_option(
    "--min-insync-replicas",
    setting="topics.min_insync_replicas",
    type=int,
    help="Replicas that must have a record before it counts as written.",
)
@click.option(
    "--print",
    "form",
    type=click.Choice([str(form) for form in Form]),
    help="Ask no cluster, and print all topics for a tool that creates them: Kafka's own, Terraform with the provider "
    "Mongey/kafka or Confluent's, or Strimzi.",
)
@parameters.json_option
@parameters.pass_settings
def create(settings: Settings, form: str | None, as_json: bool) -> None:
    """Create the topics that are missing.

    Create all of them, or none if one cannot be created. Existing topics are not changed. If the cluster forbids
    one of the topic settings, name it in topics.omit_configs to leave it out. If topics are created by request or by
    another tool, print them with --print.
    """
    if form is not None:
        if as_json:
            raise click.UsageError("--print and --json do not go together")
        click.echo(topics.as_text(settings, Form(form)))
        return
    created = topics.create(settings, ChangesAllowed())
    if as_json:
        output.echo_json({"created": created, "existed": [n for n in topics.names(settings) if n not in created]})
        return
    for name in topics.names(settings):
        click.echo(f"{name}: {'created' if name in created else 'exists; `sternpost topics check` checks it'}")


@command.command("grow")
@click.option(
    "--partitions", type=click.IntRange(1), required=True, help="Number of partitions that each topic is to have."
)
@click.option("--force", is_flag=True, help="Proceed even if ingest is running or records are unprocessed.")
@parameters.json_option
@parameters.pass_settings
def increase_partitions(settings: Settings, partitions: int, force: bool, as_json: bool) -> None:
    """Add partitions to the topics.

    More partitions let more processors share the work. New partitions move people to other partitions, so order and
    deduplication hold only if no record is in flight. The command refuses while ingest runs on this machine or
    records are unprocessed. Stop ingest, wait until the processors have caught up, add the partitions, and start
    the services again; "Operations" in the documentation has the steps.
    """
    grown = add_partitions.increase_partitions(settings, ChangesAllowed(), partitions, force=force)
    if as_json:
        output.echo_json({"partitions": partitions, "grown": grown})
        return
    for name, before in grown.items():
        click.echo(f"{name}: {before} → {partitions} partitions")
    if not grown:
        click.echo(f"every topic has {partitions} partitions already")
    elif settings.topics.partitions != partitions:
        click.echo(f"now set topics.partitions to {partitions} and restart the processors")


@command.command()
@parameters.json_option
@parameters.pass_settings
def check(settings: Settings, as_json: bool) -> None:
    """Check the settings of the topics.

    Say how to fix what is wrong, and exit 1 if there is a fault. A setting that the cluster does not disclose, or
    that topics.omit_configs leaves to it, is a warning.
    """
    findings = topics.check(settings)
    if as_json:
        output.echo_json({"findings": [finding.as_json() for finding in findings]})
    for finding in [] if as_json else findings:
        click.echo(f"{finding.severity}: {finding.topic}: {finding.problem}\n  fix: {finding.remedy}")
    faults = sum(finding.severity is Severity.FAULT for finding in findings)
    if faults:
        raise CheckFailedError(f"{pluralize(faults, 'fault')} in the topics")
    if not as_json:
        but = f", {pluralize(len(findings), 'warning')}" if findings else ""
        click.echo(f"{', '.join(topics.names(settings))}: no faults found{but}")
