"""The program `sternpost`: its commands, and how errors become messages and exit codes."""

import importlib
import logging
import sys
from pathlib import Path

import click

from runtime.errors import SternpostError
from sternpost.cli import standard_streams
from sternpost.cli.parameters import Options

COMMANDS = {
    "acls": "Print, or create, the ACLs that each role needs.",
    "config": "Show the settings in force and where each came from.",
    "dead-letters": "List, show, export and redrive dead letters.",
    "demo": "Run the whole pipeline on this machine and check what comes out.",
    "dev": "Run Kafka, a schema registry and both services on this machine.",
    "doctor": "Check brokers, topics, rights, clocks, registry and endpoint.",
    "healthcheck": "Ask the service on this machine whether it is healthy.",
    "ingest": "Receive webhooks and write their bodies to the raw topic.",
    "process": "Turn raw records into track events, exactly once.",
    "replay": "Map a range of the raw topic again, dry or for real.",
    "schema": "Register the events' Avro schema, or check it.",
    "send": "Send signed webhooks, as Customer.io does.",
    "status": "Show lag, members, throughput, dead letters and services.",
    "tail": "Print the track events as JSON.",
    "topics": "Create, check and grow the topics.",
    "transform": "Map payloads from a file or stdin, without Kafka.",
}
"""Each command and its line in `sternpost --help`. `sternpost dead-letters` is in `dead_letters.py` of this folder."""


class Commands(click.Group):
    """The commands of `COMMANDS`. Their modules are imported only when they are run, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sternpost.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from `COMMANDS`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings file  [default: sternpost.toml, where there is one]",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting: --set kafka.bootstrap_servers=…"
)
@click.version_option(package_name="sternpost")
@click.pass_context
def cli(ctx: click.Context, file: Path | None, assignments: tuple[str, ...]) -> None:
    """Customer.io reporting webhooks into Kafka as RudderStack track events, exactly once.

    `sternpost demo` shows all of it on this machine. Settings come from sternpost.toml, STERNPOST_… environment
    variables and options, the last being strongest; `sternpost config` shows those in force.
    """
    ctx.obj = Options.parse(file, assignments)


def main() -> None:
    """Entry point of the `sternpost` program."""
    standard_streams.secure()
    # Commands say in their own words what the Kafka client complains about; services log it.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        code = _exit_code()
        sys.stdout.flush()
    except SternpostError as error:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        code = 1  # whoever read the output has enough of it
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
