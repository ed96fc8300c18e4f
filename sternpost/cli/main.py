"""The program `sternpost`: its commands, and how errors become messages and exit codes."""

import contextlib
import gc
import importlib
import json
import logging
import sys
from pathlib import Path

import click

from runtime.errors import SternpostError
from sternpost.cli import standard_streams

# While code is imported there is no garbage to find, and looking for it takes a tenth of the time. The command enables
# it, and each worker process, which imports this module first (runtime/supervisor.py).
gc.disable()

COMMANDS = {
    "acls": "Print or create the ACLs that each role needs.",
    "config": "Show the settings in force and where each came from.",
    "console": "Open a web page: the pipeline, events, dead letters.",
    "dead-letters": "List, show, export and redrive dead letters.",
    "demo": "Run the whole pipeline on this machine and check the result.",
    "dev": "Run Kafka, a schema registry and both services on this machine.",
    "doctor": "Check brokers, topics, rights, clocks, registry and endpoint.",
    "find": "Find a webhook by its event id, and what became of it.",
    "healthcheck": "Ask the service on this machine whether it is healthy.",
    "ingest": "Receive webhooks and write their bodies to the raw topic.",
    "mapping": "Print the mapping, or the rows that hold given words.",
    "person": "Find where a person's records are.",
    "process": "Turn raw records into track events, exactly once.",
    "replay": "Map a range of the raw topic again, as a dry run or for real.",
    "schema": "Register the events' Avro schema, or check it.",
    "send": "Send signed webhooks the way Customer.io does.",
    "status": "Show lag, members, throughput, dead letters and services.",
    "tail": "Print track events as JSON.",
    "topics": "Create and check the topics, and add partitions.",
    "transform": "Map payloads from a file or stdin, without Kafka.",
}
"""Each command and its line in `sternpost --help`. The command `dead-letters` is in `dead_letters.py` beside this."""


class Commands(click.Group):
    """The commands in `COMMANDS`. A command's module is imported only when the command runs, to keep `--help` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; return None if no command has this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sternpost.cli.{cmd_name.replace('-', '_')}")
        gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from `COMMANDS`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _overrides(_: click.Context, __: click.Parameter, assignments: tuple[str, ...]) -> dict[str, object]:
    """Return the values of each `--set NAME=VALUE` by name. One that is a JSON object or array is read as JSON."""
    overrides: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set takes NAME=VALUE, not {name!r}: --set kafka.bootstrap_servers=…")
        overrides[name.strip()] = value
        if value[:1] in ("{", "["):
            with contextlib.suppress(ValueError, RecursionError):
                overrides[name.strip()] = json.loads(value)
    return overrides


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings file.  [default: sternpost.toml, if it exists]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    callback=_overrides,
    metavar="NAME=VALUE",
    help="Set any setting: --set kafka.bootstrap_servers=broker:9092. Repeatable.",
)
@click.version_option(package_name="sternpost")
def cli(**_: object) -> None:
    """Turn Customer.io reporting webhooks into RudderStack track events in Kafka, exactly once.

    `sternpost demo` runs the whole pipeline on this machine. Settings come from sternpost.toml, from STERNPOST_…
    environment variables and from options; each of these overrides the ones before it. `sternpost config` shows the
    settings in force.
    """


def main() -> None:
    """Run the `sternpost` program and exit with its code."""
    standard_streams.secure()
    # Commands report the Kafka client's complaints in their own words; services log them.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        code = _exit_code()
        sys.stdout.flush()
    except SternpostError as error:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        code = 1  # the reader of our output has closed it
    sys.exit(code)


def _exit_code() -> int | str | None:
    try:
        code: int | None = cli(prog_name="sternpost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as ended:
        return ended.code
    return code
