"""`sternpost dev`: the whole pipeline on this machine, until Ctrl-C."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from runtime import logs
from runtime.errors import ConfigurationError
from runtime.settings.loader import variable
from sternpost.cli import parameters
from sternpost.local import LocalStack, services
from sternpost.local.process import watch


@click.command()
@click.option(
    "--brokers", type=click.IntRange(1, 9), default=1, show_default=True, help="Number of Kafka brokers to start."
)
@click.option(
    "--kafka-port", type=int, default=9092, show_default=True, help="Port of the first broker; 0 takes free ports."
)
@click.option(
    "--registry-port",
    type=int,
    default=8085,
    show_default=True,
    help="Port of the schema registry; 0 takes a free port.",
)
@click.option("--free-ports", is_flag=True, help="Take a free port for every process.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps topics, schemas and the processor's state.  [default: a temporary folder]",
)
@click.option("--only-kafka", is_flag=True, help="Start only Kafka and the schema registry.")
@parameters.pass_global_options
def command(
    options: parameters.GlobalOptions,
    brokers: int,
    kafka_port: int,
    registry_port: int,
    free_ports: bool,
    data_dir: Path | None,
    only_kafka: bool,
) -> None:
    """Run Kafka, a schema registry, ingest and the processor on this machine until Ctrl-C.

    This needs neither Docker nor Java: the first start downloads about 200 MB of pinned artifacts into the user's
    cache folder. If kafka.bootstrap_servers is set, use that cluster instead of starting one, and create the topics
    and the schema that it lacks.
    """
    settings = parameters.load_settings(options)
    logs.configure(settings.log)
    given = parameters.names_set(options)
    own_cluster = "kafka.bootstrap_servers" in given
    services.require_own_registry(kafka_given=own_cluster, registry_given="schema_registry.url" in given)
    if own_cluster and only_kafka:
        raise ConfigurationError(
            "--only-kafka starts a Kafka of its own, but kafka.bootstrap_servers is set: remove one of the two"
        )
    kafka_port, registry_port = (0, 0) if free_ports else (kafka_port, registry_port)
    try:
        if only_kafka:
            stack = LocalStack(brokers=brokers, data_dir=data_dir, kafka_port=kafka_port, registry_port=registry_port)
            with services.ended_by_signals(), stack:
                click.echo(_block(_cluster_lines(stack.bootstrap_servers, stack.registry_url), stack.folder, data_dir))
                watch(stack.processes)
        with services.running(
            settings,
            own_cluster=own_cluster,
            brokers=brokers,
            data_dir=data_dir,
            kafka_port=kafka_port,
            registry_port=registry_port,
            free_ports=free_ports,
        ) as running:
            click.echo(_describe(running, data_dir))
            watch(running.processes)
    except (KeyboardInterrupt, SystemExit):  # the intended end
        click.echo("stopped", err=True)


def _cluster_lines(bootstrap_servers: str, registry_url: str) -> dict[str, str]:
    return {"Kafka": bootstrap_servers, "schema registry": registry_url}


def _describe(running: services.Services, data_dir: Path | None) -> str:
    """Return the endpoints, and the environment variables with which another terminal uses them."""
    settings = running.settings
    made_up = running.source_made_up
    topics = settings.topics
    lines = {
        "webhook": f"{running.url}?writeKey=…",
        **_cluster_lines(settings.kafka.bootstrap_servers, settings.schema_registry.url),
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
        running.logs.parent,
        data_dir,
        [
            "",
            "In another terminal:",
            *(f"  export {name}={shlex.quote(value)}" for name, value in exports.items()),
            "  sternpost send                    # signed sample webhooks of every channel",
            "  sternpost tail --from-beginning   # the events they became",
            "  sternpost console                 # all of it on a web page",
        ],
    )


def _block(lines: dict[str, str], folder: Path, data_dir: Path | None, after: Sequence[str] = ()) -> str:
    kept = "kept" if data_dir else "removed at the end"
    lines = {**lines, "logs": str(folder / "logs"), "data": f"{folder} ({kept})"}
    return "\n".join(["", *(f"  {name:<16} {value}" for name, value in lines.items()), *after, "", "Ctrl-C ends it."])
