"""What commands share: loading the settings, options that are settings, output for scripts."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

import click

if TYPE_CHECKING:
    from runtime.settings.model import Settings

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Options:
    """The group's options: where settings come from."""

    file: Path | None = None
    overrides: dict[str, object] = field(default_factory=dict)
    """By dotted name."""

    @classmethod
    def parse(cls, file: Path | None, assignments: tuple[str, ...]) -> Self:
        """From `--config` and the `--set NAME=VALUE`s; a value that is JSON is taken as JSON, else as text."""
        overrides: dict[str, object] = {}
        for assignment in assignments:
            name, equals, value = assignment.partition("=")
            if not equals or not name:
                raise click.UsageError(f"--set takes NAME=VALUE, not {name!r}: --set kafka.bootstrap_servers=…")
            overrides[name.strip()] = _value(value)
        return cls(file, overrides)

    def load(self) -> "Settings":
        """Raises ConfigurationError."""
        from runtime.settings.loader import load
        from runtime.settings.model import LogLevel

        settings = load(self.file, self.overrides)
        if settings.log.level is LogLevel.DEBUG:
            from runtime import logs

            logs.configure(settings.log)  # a command logs nothing otherwise
        return settings

    def given(self) -> set[str]:
        """The names of the settings that someone set: not those that have their default."""
        from runtime.settings.loader import origins

        return {origin.name for origin in origins(self.file, self.overrides) if origin.source != "default"}


def _value(text: str) -> object:
    if text[:1] in ("{", "["):
        import orjson

        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def pass_settings(function: "Callable[Concatenate[Settings, P], R]") -> Callable[P, R]:
    """Gives a command the settings in force as its first argument."""

    @functools.wraps(function)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(click.get_current_context().find_object(Options).load(), *args, **kwargs)  # type: ignore[union-attr]

    return with_settings


def setting_option(
    *declarations: str, setting: str, help: str, **attributes: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """An option that stands for a setting: `setting_option("--workers", setting="processor.workers", help=…)`."""

    def keep(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            options = ctx.find_object(Options)
            assert options is not None  # noqa: S101 (the group made it)
            options.overrides[setting] = value

    return click.option(
        *declarations, callback=keep, expose_value=False, help=f"{help}  [setting: {setting}]", **attributes
    )


def silence_logs() -> None:
    """Drop what the processor's parts log: the command says it in other words."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


json_option = click.option("--json", "as_json", is_flag=True, help="Output for scripts.")


def echo_json(value: object) -> None:
    """One JSON line on standard output, with nothing in it that a terminal would obey."""
    import orjson

    from sternpost.cli.output import printable

    click.echo(printable(orjson.dumps(value, default=str).decode()))
