"""`sternpost config`: the settings in force."""

import click

from sternpost.cli import parameters


@click.command()
@parameters.json_option
@click.pass_obj
def command(options: parameters.Options, as_json: bool) -> None:
    """Show the effective settings, secrets masked, and where each came from."""
    from runtime.settings.loader import origins

    found = origins(options.file, options.overrides)
    if as_json:
        parameters.echo_json({origin.name: {"value": origin.value, "source": origin.source} for origin in found})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=None, pad_edge=False, header_style="bold")
    for origin in found:
        style = "" if origin.source != "default" else "dim"
        table.add_row(Text(origin.name, style), Text(str(origin.value), style), Text(origin.source, style))
    Console().print(table)
