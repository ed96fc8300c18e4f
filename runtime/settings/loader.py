"""Reads the settings from their sources and says, in words for people, what is wrong with them."""

import difflib
import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from pydantic import PrivateAttr, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from runtime.errors import ConfigurationError
from runtime.kafka import properties
from runtime.masking import MASK, is_secret, without_credentials
from runtime.settings.model import DEFAULT_FILE, PREFIX, GroupProtocol, Section, Settings, SourceSettings

FILE_VARIABLE = "STERNPOST_CONFIG"


class SettingOrigin(NamedTuple):
    """A setting as it is in force."""

    name: str
    """Dotted: `kafka.bootstrap_servers`."""
    value: Any
    """As JSON would have it, secrets masked."""
    source: str
    """`default`, the file's path, the environment variable's name, or `command line`."""


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Return the settings of command line, environment and file; the first is the strongest.

    `overrides` are the command line's, by dotted name. `file` is the `--config` option; without it `STERNPOST_CONFIG`
    names the file, or else it is `sternpost.toml` if that exists.

    Raises ConfigurationError, naming each setting at fault, where its value came from, and an example.
    """
    try:
        layers = _Layers(file, overrides or {})
        settings = layers.settings()
    except ValidationError as error:
        raise ConfigurationError(_explain(error, layers)) from None
    except RecursionError:
        raise ConfigurationError(
            f"{_file(file) or 'a variable or option'} nests tables or lists hundreds of levels deep, which no setting "
            "needs; check what wrote it"
        ) from None
    if faults := list(_property_faults(settings, layers)):
        raise ConfigurationError("\n".join(faults))
    return settings


def reload(settings: Settings) -> Settings:
    """Load again from the file and options that `settings` came from. Raises ConfigurationError."""
    return load(settings._file, settings._overrides) if isinstance(settings, _Merged) else settings


def settings_file(settings: Settings) -> Path | None:
    """Return the file that `settings` were read from, if any."""
    return settings._file if isinstance(settings, _Merged) else None


def origins(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> list[SettingOrigin]:
    """Return every setting, in the order of the reference, with where its value came from."""
    settings = load(file, overrides)
    layers = _Layers(file, overrides or {})
    return [
        SettingOrigin(name, _masked(_get(settings, name)), layers.source_of(name))
        for name, _ in fields()
        if not name.startswith("sources.")
    ]


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting with its dotted name; those of a source as `sources.name` and so on."""
    for name, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            for inner, inner_info in info.annotation.model_fields.items():
                yield f"{name}.{inner}", inner_info
        else:
            yield name, info
            for inner, inner_info in SourceSettings.model_fields.items():
                yield f"{name}.{inner}", inner_info


def variable(name: str) -> str:
    """`kafka.bootstrap_servers` → `STERNPOST_KAFKA__BOOTSTRAP_SERVERS`."""
    return PREFIX + name.replace(".", "__").upper()


class _Layers:
    """What each source says, before validation. Tables of properties are flat in all of them, with dotted names."""

    def __init__(self, file: Path | None, overrides: Mapping[str, object]) -> None:
        self.file = _file(file)
        self.from_file = _read(self.file) if self.file else {}
        self.named_overrides = overrides
        self.overrides = _nested(overrides)
        _refuse_unknown_variables()
        _check_json()
        try:
            self.from_environment: dict[str, Any] = EnvSettingsSource(Settings)()
        except SettingsError:  # a section, all of it in one variable
            sections = [name for name in Settings.model_fields if variable(name) in os.environ]
            raise ConfigurationError(
                f"{' or '.join(map(variable, sections)) or PREFIX} is not valid JSON, which it must be"
            ) from None
        for layer in (self.from_file, self.from_environment, self.overrides):
            for section, name in _property_tables():
                table = layer[section].get(name) if isinstance(layer.get(section), dict) else None
                if isinstance(table, dict):
                    layer[section] = {**layer[section], name: dict(_flat(table))}

    def settings(self) -> Settings:
        merged: dict[str, Any] = {}
        for layer in (self.from_file, self.from_environment, self.overrides):
            for section, value in layer.items():
                before = merged.get(section)
                if isinstance(value, dict) and isinstance(before, dict):
                    merged[section] = {**before, **value, **_merged_tables(section, before, value)}
                else:
                    merged[section] = value
        settings = _Merged(**merged)
        settings._file, settings._overrides = self.file, self.named_overrides
        return settings

    def source_of(self, name: str) -> str:
        """Of a table of properties: all sources that have a part in it, the strongest first."""
        section, _, inner = name.partition(".")
        found = [
            label
            for layer, label in (
                (self.overrides, "command line"),
                (self.from_environment, variable(name)),
                (self.from_file, str(self.file)),
            )
            if (isinstance(value := layer.get(section), dict) and inner in value)
            or (not inner and layer.get(section) is not None)
        ]
        if (section, inner) in _property_tables():
            return " and ".join(found) or "default"
        return found[0] if found else "default"


@cache
def _property_tables() -> list[tuple[str, str]]:
    """Return section and name of each setting that is a table of a client's properties."""
    return [
        (section, name)
        for section, _, name in (full.partition(".") for full, info in fields() if get_origin(info.annotation) is dict)
    ]


def _merged_tables(section: str, before: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return the section's tables of properties that both layers have, merged property by property."""
    both = [
        name
        for of, name in _property_tables()
        if of == section and isinstance(before.get(name), dict) and isinstance(value.get(name), dict)
    ]
    return {name: properties.overlay(before[name], value[name]) for name in both}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a table's values by dotted name: TOML reads `security.protocol = "SSL"` as a table `security`."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nested(overrides: Mapping[str, object]) -> dict[str, Any]:
    """Return options by dotted name as a file has them: `kafka.properties.debug` is one of the properties.

    Raises ConfigurationError if one gives a value to what another one sets a part of.
    """
    layer: dict[str, Any] = {}
    for full, value in overrides.items():
        section, _, inner = full.partition(".")
        table, _, name = inner.partition(".")
        if not inner:
            path = [section]
        elif name and (section, table) in _property_tables():
            path = [section, table, name]
        else:
            path = [section, inner]
        place = layer
        for depth, part in enumerate(path[:-1], start=1):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise _contradiction(".".join(path[:depth]))
        there = place.get(path[-1])
        if isinstance(there, dict) and isinstance(value, dict):
            there.update(value)
        elif path[-1] in place and (isinstance(there, dict) or isinstance(value, dict)):
            raise _contradiction(full)
        else:
            place[path[-1]] = deepcopy(value)
    return layer


def _contradiction(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"options set both {name} and a part of it; leave one of them out, or make {name} a table"
    )


def _check_json() -> None:
    """Check that lists and tables in the environment are JSON. Raises ConfigurationError."""
    for name, info in fields():
        text = os.environ.get(variable(name))
        if text is not None and get_origin(info.annotation) in (dict, list):
            try:
                json.loads(text)
            except ValueError:
                raise ConfigurationError(
                    f"{variable(name)} is not valid JSON, which it must be. {_example(name)}".rstrip()
                ) from None


class _Merged(Settings):
    """Settings that take their values from the layers alone, merged before; they remember how, to be read again."""

    _file: Path | None = PrivateAttr(None)
    _overrides: Mapping[str, object] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def _file(file: Path | None) -> Path | None:
    if file is None and (named := os.environ.get(FILE_VARIABLE)):
        file = Path(named)
    given = file is not None
    file = file or Path(DEFAULT_FILE)
    try:
        there = stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except (OSError, ValueError) as error:  # a folder that is closed to this user, a name that is too long
        raise ConfigurationError(
            f"the settings file {file} cannot be looked for ({getattr(error, 'strerror', error)}); check --config or "
            f"{FILE_VARIABLE}, or start in a folder that this user may enter"
        ) from None
    if given and not there:
        raise ConfigurationError(f"the settings file {file} is not there; check --config or {FILE_VARIABLE}")
    return file if there else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from None
    except ValueError as error:  # a TOMLDecodeError, or Python's own for a number of thousands of digits
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    """Refuse misspelt variables rather than ignore them; a section checks its own. Raises ConfigurationError."""
    known = {variable(name) for name, _ in fields()}
    sections = {PREFIX + name.upper() + "__" for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and "__" in name and not any(name.startswith(section) for section in sections):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "see docs/settings.md for those there are"
            raise ConfigurationError(f"there is no setting for the environment variable {name}; {hint}")


def _get(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Section):
        return {name: _masked(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, dict):
        return {key: MASK if is_secret(key) else _masked(item) for key, item in value.items()}
    if isinstance(value, str):
        return without_credentials(value)
    return TypeAdapter(Any).dump_python(value, mode="json")


def _property_faults(settings: Settings, layers: _Layers) -> Iterator[str]:
    """Yield what is wrong with the properties of Kafka's clients, a line each."""
    brokers_assign = settings.processor.group_protocol is GroupProtocol.CONSUMER
    for name in ("kafka.properties", "ingest.kafka_properties", "processor.kafka_properties"):
        for of, fault in properties.faults(_get(settings, name), brokers_assign=brokers_assign):
            yield f"{name} (from {layers.source_of(name)}): {without_credentials(of)} {fault}"


def _explain(error: ValidationError, layers: _Layers) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        loc = [str(part) for part in fault["loc"]]
        if not loc or fault["type"] == "value_error":  # a rule between settings: its message names them
            lines.append(fault["msg"].removeprefix("Value error, "))
            continue
        name = ".".join(loc[:2]) if loc[0] != "sources" else "sources"
        where = layers.source_of(name)
        place = "" if where == "default" else f" (from {where})"
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, [known for known, _ in fields()], 1)
            hint = f"did you mean {close[0]}?" if close else "see docs/settings.md for those there are"
            lines.append(f"there is no setting {'.'.join(loc)}{place}; {hint}")
        else:
            lines.append(f"{'.'.join(loc)}{place}: {_sentence(fault['msg'])} {_example(name)}".rstrip())
    return "\n".join(lines)


def _sentence(message: str) -> str:
    return message[0].lower() + message[1:].rstrip(".") + "."


def _example(name: str) -> str:
    info = dict(fields()).get(name)
    if info is None:
        return ""
    default = info.get_default(call_default_factory=True, validated_data={})
    example = info.examples[0] if info.examples else default
    return (
        ""
        if example in (None, "")
        else f"Example: {variable(name)}={TypeAdapter(Any).dump_python(example, mode='json')}"
    )
