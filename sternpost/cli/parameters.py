"""Parameters that commands share: the settings in force, options that set a setting, and `--json`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from runtime import logs
from runtime.settings.loader import load, origins
from runtime.settings.model import LogLevel, Settings

P = ParamSpec("P")
R = TypeVar("R")


class GlobalOptions(NamedTuple):
    """The options before the command (`sternpost.cli.main` declares them): where settings come from."""

    file: Path | None
    overrides: dict[str, object]
    """Values by dotted setting name: those of `--set`, and those of a command's own options."""


def load_settings(options: GlobalOptions) -> Settings:
    """Return the settings in force. Raises ConfigurationError."""
    settings = load(options.file, options.overrides)
    if settings.log.level is LogLevel.DEBUG:
        logs.configure(settings.log)  # at other levels a command logs nothing
    return settings


def names_set(options: GlobalOptions) -> set[str]:
    """Return the names of the settings that a file, the environment or an option sets."""
    return {origin.name for origin in origins(options.file, options.overrides) if origin.source != "default"}


def pass_global_options(function: Callable[Concatenate[GlobalOptions, P], R]) -> Callable[P, R]:
    """Pass the options before the command to it as its first argument."""

    @functools.wraps(function)
    def with_options(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(_global_options(click.get_current_context()), *args, **kwargs)

    return with_options


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
    given = ctx.find_root().params
    return GlobalOptions(given["file"], given["overrides"])


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
