"""`sternpost demo`: the whole pipeline on this machine, checked."""

import secrets

import click
from rich.console import Console
from rich.table import Table

from runtime import logs
from runtime.errors import CheckFailedError
from sternpost.cli import console, output, parameters
from sternpost.local import demo, samples, services
from sternpost.operations import topics
from sternpost.operations.changes_allowed import ChangesAllowed


def show(out: Console, outcome: demo.Outcome) -> None:
    """Print a table of counts and examples of the events."""
    table = Table(title="What was sent and what came out", title_justify="left", title_style="bold")
    table.add_column("channel")
    for column in ("sent", "acknowledged", "emitted", "deduplicated", "dead-lettered"):
        table.add_column(column, justify="right")
    for channel in samples.KINDS:
        doubled = 1 if channel == "email" else 0
        table.add_row(
            channel,
            str(outcome.sent[channel]),
            str(outcome.acknowledged[channel]),
            str(outcome.emitted[channel]),
            str(outcome.deduplicated * doubled) if doubled else "",
            "",
        )
    table.add_row(
        "(truncated body)", "1", str(outcome.acknowledged["broken"]), "", "", str(outcome.dead_lettered.total())
    )
    table.add_row("(forged signature)", "1", f"{outcome.acknowledged['forged']}, 401", "", "", "", end_section=True)
    counts = outcome.counts()
    columns = ("sent", "acknowledged", "emitted", "deduplicated", "dead_lettered")
    table.add_row("total", *(str(counts[name]) for name in columns), style="bold")
    table.add_row("expected", *(str(demo.EXPECTED[name]) for name in columns), style="dim")
    out.print(table)

    events = Table(title="Some of the events", title_justify="left", title_style="bold", box=None, header_style="dim")
    for column in ("event", "user", "message id"):
        events.add_column(column, no_wrap=True)
    seen: set[str] = set()
    for event in outcome.events:
        channel = event["properties"]["objectType"]
        if channel not in seen:
            seen.add(channel)
            events.add_row(event["event"], event.get("userId", ""), event["messageId"])
    out.print(events)
    clicked = next((event for event in outcome.events if event["event"] == "Email Link Clicked"), None)
    if clicked:
        out.print("\n[bold]One event, decoded from Avro with the schema in the registry[/]")
        out.print_json(data=clicked)


@click.command()
@click.option("--console", "with_console", is_flag=True, help="Then open the console on the result, until Ctrl-C.")
@parameters.json_option
@parameters.pass_global_options
def command(options: parameters.GlobalOptions, with_console: bool, as_json: bool) -> None:
    """Run the whole pipeline on this machine and check the result.

    Start Kafka, a schema registry, ingest and the processor, and send signed webhooks of every channel, among them a
    repeated one, a truncated one and a forged one. Exit 0 only if every count is right. If kafka.bootstrap_servers is
    set, use that cluster, with topics for this run that are removed at the end.
    """
    if with_console:
        console.require_installed()
    given = parameters.names_set(options)
    own_cluster = "kafka.bootstrap_servers" in given
    services.require_own_registry(kafka_given=own_cluster, registry_given="schema_registry.url" in given)
    name = f"sternpost-demo-{secrets.token_hex(4)}"
    for topic in ("raw", "events", "dead_letters"):
        options.overrides[f"topics.{topic}"] = f"{name}.{topic.replace('_', '-')}"
    options.overrides.update({"topics.partitions": 4, "processor.group_id": name, "sources": demo.sources()})
    if "console.port" not in given:
        options.overrides["console.port"] = 0
    settings = parameters.load_settings(options)
    logs.configure(settings.log)

    with services.running(settings, own_cluster=own_cluster) as running:
        try:
            outcome = demo.run(running.settings, running.url)
            _report(outcome, as_json=as_json)
            if with_console:
                click.echo()
                console.run(running.settings, allow_changes=True)
        finally:
            if own_cluster:
                running.stop()
                topics.remove(running.settings, ChangesAllowed())


def _report(outcome: demo.Outcome, *, as_json: bool) -> None:
    """Print the result. Raises CheckFailedError if a count is wrong."""
    wrong = outcome.wrong()
    if as_json:
        output.echo_json({**outcome.counts(), "expected": demo.EXPECTED, "wrong": wrong})
    else:
        show(Console(), outcome)
    if wrong:
        raise CheckFailedError("; ".join(wrong))
    if not as_json:
        click.echo("\nEvery count is right.")
