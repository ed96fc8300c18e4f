"""Parameters that commands share: the settings in force, options that set a setting, and `--json`."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from runtime import logs
from runtime.settings.loader import load, origins
from runtime.settings.model import LogLevel, Settings
from sternpost.cli.global_options import GlobalOptions

P = ParamSpec("P")
R = TypeVar("R")


def load_settings(options: GlobalOptions) -> Settings:
    """Return the settings in force. Raises ConfigurationError."""
    settings = load(options.file, options.overrides)
    if settings.log.level is LogLevel.DEBUG:
        logs.configure(settings.log)  # at other levels a command logs nothing
    return settings


def names_set(options: GlobalOptions) -> set[str]:
    """Return the names of the settings that a file, the environment or an option sets."""
    return {origin.name for origin in origins(options.file, options.overrides) if origin.source != "default"}


def pass_settings(function: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Pass the settings in force to a command as its first argument."""

    @functools.wraps(function)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(load_settings(_global_options(click.get_current_context())), *args, **kwargs)

    return with_settings


def setting_option(
    *declarations: str, setting: str, help: str, **attributes: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare an option that sets a setting: `setting_option("--workers", setting="processor.workers", help=…)`.

    `attributes` are those of `click.option`.
    """

    def override(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            _global_options(ctx).overrides[setting] = value

    return click.option(
        *declarations, callback=override, expose_value=False, help=f"{help}  [setting: {setting}]", **attributes
    )


def _global_options(ctx: click.Context) -> GlobalOptions:
    options = ctx.find_object(GlobalOptions)
    assert options is not None  # noqa: S101 (the group made it)
    return options


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
