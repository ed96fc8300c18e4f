"""`sternpost config`: the settings in force."""

import click

from runtime.settings.loader import origins
from sternpost.cli import output, parameters


@click.command()
@parameters.json_option
@parameters.pass_global_options
def command(options: parameters.GlobalOptions, as_json: bool) -> None:
    """Show every setting in force and where its value came from. Secrets are masked."""
    found = origins(options.file, options.overrides)
    if as_json:
        output.echo_json({origin.name: {"value": origin.value, "source": origin.source} for origin in found})
        return
    table = output.table("setting", "value", "from", folded=("setting", "value", "from"))
    for origin in found:
        style = "" if origin.source != "default" else "dim"
        table.add_row(*(output.text(str(cell), style) for cell in (origin.name, origin.value, origin.source)))
    output.console().print(table)
