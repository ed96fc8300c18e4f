"""`sternpost dev`: all of it on this machine, kept running."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from sternpost.local.services import Services


@click.command()
@click.option("--brokers", type=click.IntRange(1, 9), default=1, show_default=True, help="Kafka brokers to start.")
@click.option("--kafka-port", type=int, default=9092, show_default=True, help="Of the first broker; 0: free ones.")
@click.option(
    "--registry-port", type=int, default=8085, show_default=True, help="Of the schema registry; 0: a free one."
)
@click.option("--free-ports", is_flag=True, help="Take free ports for everything.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep topics, schemas and the processor's state in this folder  [default: throw them away at the end]",
)
@click.option("--only-kafka", is_flag=True, help="Start Kafka and the schema registry, and no services.")
@click.pass_obj
def command(
    options: parameters.Options,
    brokers: int,
    kafka_port: int,
    registry_port: int,
    free_ports: bool,
    data_dir: Path | None,
    only_kafka: bool,
) -> None:
    """Run Kafka, a schema registry, ingest and the processor on this machine until Ctrl-C.

    Needs neither Docker nor Java: the first start downloads some 200 MB of pinned artifacts into the user's cache
    folder. Where kafka.bootstrap_servers is set, that cluster is used and none is started; topics and schema are
    created there where they are missing.
    """
    from runtime import logs
    from runtime.errors import ConfigurationError
    from sternpost.local import LocalStack, services
    from sternpost.local.process import watch

    settings = options.load()
    logs.configure(settings.log)
    given = options.given()
    own_cluster = "kafka.bootstrap_servers" in given
    services.require_own_registry(kafka_given=own_cluster, registry_given="schema_registry.url" in given)
    if own_cluster and only_kafka:
        raise ConfigurationError("kafka.bootstrap_servers is set, so no Kafka is started: take it out, or --only-kafka")
    kafka_port, registry_port = (0, 0) if free_ports else (kafka_port, registry_port)
    try:
        if only_kafka:
            stack = LocalStack(brokers=brokers, data_dir=data_dir, kafka_port=kafka_port, registry_port=registry_port)
            with services.ended_by_signals(), stack:
                click.echo(_block(_of_cluster(stack.bootstrap_servers, stack.registry_url), stack.folder, data_dir))
                watch(stack.processes)
        with services.running(
            settings,
            own_cluster=own_cluster,
            brokers=brokers,
            data_dir=data_dir,
            kafka_port=kafka_port,
            registry_port=registry_port,
            free_ports=free_ports,
        ) as all_of_it:
            click.echo(_of_services(all_of_it, data_dir))
            watch(all_of_it.processes)
    except (KeyboardInterrupt, SystemExit):  # how it is meant to end
        click.echo("stopped", err=True)


def _of_cluster(bootstrap_servers: str, registry_url: str) -> dict[str, str]:
    return {"Kafka": bootstrap_servers, "schema registry": registry_url}


def _of_services(services: "Services", data_dir: Path | None) -> str:
    """The endpoints, and what to put into another terminal's environment to work with them."""
    from runtime.settings.loader import variable

    settings = services.settings
    made_up = services.source_made_up
    topics = settings.topics
    lines = {
        "webhook": f"{services.url}?writeKey=…",
        **_of_cluster(settings.kafka.bootstrap_servers, settings.schema_registry.url),
        "topics": f"{topics.raw} → {topics.events}, {topics.dead_letters}",
        "ingest": f"http://{settings.ingest.admin_host}:{settings.ingest.admin_port} (/healthz /readyz /metrics)",
        "processor": f"http://{settings.processor.admin_host}:{settings.processor.admin_port} (/healthz …)",
    }
    exports = {
        variable("kafka.bootstrap_servers"): settings.kafka.bootstrap_servers,
        variable("schema_registry.url"): settings.schema_registry.url,
        variable("ingest.port"): str(settings.ingest.port),
        variable("ingest.admin_port"): str(settings.ingest.admin_port),
        variable("processor.admin_port"): str(settings.processor.admin_port),
        variable("topics.replication_factor"): str(topics.replication_factor),
        variable("topics.min_insync_replicas"): str(topics.min_insync_replicas),
    }
    if made_up:
        exports[variable("sources")] = made_up
    return _block(
        lines,
        services.logs.parent,
        data_dir,
        [
            "",
            "In another terminal:",
            *(f"  export {name}={shlex.quote(value)}" for name, value in exports.items()),
            "  sternpost send                    # signed sample webhooks of every channel",
            "  sternpost tail --from-beginning   # the events that came of them",
        ],
    )


def _block(lines: dict[str, str], folder: Path, data_dir: Path | None, after: Sequence[str] = ()) -> str:
    kept = "kept" if data_dir else "thrown away at the end"
    lines = {**lines, "logs": str(folder / "logs"), "data": f"{folder} ({kept})"}
    return "\n".join(["", *(f"  {name:<16} {value}" for name, value in lines.items()), *after, "", "Ctrl-C ends it."])
