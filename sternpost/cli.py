"""`sternpost`: finds a command by its file's name, and turns errors into messages and exit codes."""

import importlib
import logging
import pkgutil
import sys
from pathlib import Path

import click

from runtime.errors import SternpostError
from sternpost import commands, standard_streams
from sternpost.commands.common import Options

NO_COMMANDS = {"common"}


class Commands(click.Group):
    """The files in `sternpost/commands/`, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        names = {module.name for module in pkgutil.iter_modules(commands.__path__)} - NO_COMMANDS
        return sorted(name.replace("_", "-") for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"sternpost.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


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
