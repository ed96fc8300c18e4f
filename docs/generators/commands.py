"""docs/commands.md: the reference of all commands, their arguments and options."""

import inspect
import re
from collections.abc import Iterator

import click

from sternpost.cli.main import cli

INTRODUCTION = """# Commands

Generated from `sternpost/cli/`. `sternpost COMMAND --help` says the same. Most commands take `--json`;
[errors.md](errors.md#exit-codes) has the exit codes.
"""


def render() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    for names, command in commands((), cli):
        context = click.Context(command, info_name=" ".join(("sternpost", *names)), **cli.context_settings)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"{'###' if names[1:] else '##'} {context.info_name}", "", f"`{context.info_name} {usage}`", ""]
        lines += [_text(command), ""]
        options = [
            record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))
        ]
        if options:
            lines += ["| option | meaning |", "| --- | --- |"]
            lines += [f"| {_names(names_)} | {_cell(meaning)} |" for names_, meaning in options]
            lines.append("")
    return "\n".join(lines)


def commands(names: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give a command and all below it, each with its names."""
    yield names, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if found := command.get_command(context, name):
                yield from commands((*names, name), found)


def _text(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "")
    verbatim = re.sub(r"\x08\n(.*?)(\n\n|\Z)", r"```text\n\1\n```\n\n", text, flags=re.DOTALL)
    return re.sub(r"<(?=\w)", "&lt;", verbatim).strip()


def _names(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"<(?=\w)", "&lt;", re.sub(r"\s+", " ", text)).replace("|", "\\|")
