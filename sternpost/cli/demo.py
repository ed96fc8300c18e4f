"""`sternpost demo`: all of it on this machine, checked."""

from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from rich.console import Console

    from sternpost.local.demo import Outcome


def show(console: "Console", outcome: "Outcome") -> None:
    """The outcome for people: a table of counts, and what the events look like."""
    from rich.table import Table

    from sternpost.local import demo, samples

    table = Table(title="What was sent, and what came of it", title_justify="left", title_style="bold")
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
        "(cut-off body)", "1", str(outcome.acknowledged["broken"]), "", "", str(outcome.dead_lettered.total())
    )
    table.add_row("(forged signature)", "1", f"{outcome.acknowledged['forged']}, 401", "", "", "", end_section=True)
    counts = outcome.counts()
    columns = ("sent", "acknowledged", "emitted", "deduplicated", "dead_lettered")
    table.add_row("in all", *(str(counts[name]) for name in columns), style="bold")
    table.add_row("must be", *(str(demo.EXPECTED[name]) for name in columns), style="dim")
    console.print(table)

    events = Table(title="Some of the events", title_justify="left", title_style="bold", box=None, header_style="dim")
    for column in ("event", "user", "message id"):
        events.add_column(column, no_wrap=True)
    seen: set[str] = set()
    for event in outcome.events:
        channel = event["properties"]["objectType"]
        if channel not in seen:
            seen.add(channel)
            events.add_row(event["event"], event.get("userId", ""), event["messageId"])
    console.print(events)
    clicked = next((event for event in outcome.events if event["event"] == "Email Link Clicked"), None)
    if clicked:
        console.print("\n[bold]One of them, decoded from Avro by the registry's schema[/]")
        console.print_json(data=clicked)


@click.command()
@parameters.json_option
@click.pass_obj
def command(options: parameters.Options, as_json: bool) -> None:
    """Run the whole pipeline on this machine and check what comes out.

    Starts Kafka, a schema registry, ingest and the processor, sends signed webhooks of every channel, one of them
    twice, a cut-off one and a forged one, and exits 0 only if every count is right. Where kafka.bootstrap_servers is
    set, that cluster is used, with topics of its own that are removed at the end.
    """
    import secrets

    from rich.console import Console

    from runtime import logs
    from runtime.errors import CheckFailedError
    from sternpost.local import demo, services
    from sternpost.operations import topics

    given = options.given()
    own_cluster = "kafka.bootstrap_servers" in given
    services.require_own_registry(kafka_given=own_cluster, registry_given="schema_registry.url" in given)
    name = f"sternpost-demo-{secrets.token_hex(4)}"
    for topic in ("raw", "events", "dead_letters"):
        options.overrides[f"topics.{topic}"] = f"{name}.{topic.replace('_', '-')}"
    options.overrides |= {"topics.partitions": 4, "processor.group_id": name, "sources": demo.sources()}
    settings = options.load()
    logs.configure(settings.log)

    with services.running(settings, own_cluster=own_cluster) as running:
        try:
            outcome = demo.run(running.settings, running.url)
        finally:
            if own_cluster:
                running.stop()
                topics.remove(running.settings)
    wrong = outcome.wrong()
    if as_json:
        parameters.echo_json({**outcome.counts(), "expected": demo.EXPECTED, "wrong": wrong})
    else:
        show(Console(), outcome)
    if wrong:
        raise CheckFailedError("; ".join(wrong))
    if not as_json:
        click.echo("\nEvery count is right.")
