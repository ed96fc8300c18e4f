"""docs/settings.md: the reference of all settings."""

import json
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from runtime.settings.loader import fields, variable
from tools.setting_meanings import meanings

HEAD = """\
# Settings

Generated from `runtime/settings/model.py`. `sternpost config` shows the settings in force and where each came from.

A setting is taken from the first of these that has it:

1. an option of the command (`--workers 4`), or `sternpost --set NAME=VALUE …` for any setting;
2. the environment variable named below; write lists and tables as JSON;
3. `sternpost.toml` in the working directory, or the file that `--config` or `STERNPOST_CONFIG` names.

Unknown names are refused, in the file and in the environment, because a misspelt setting that is silently ignored would
be worse. A value out of bounds is refused with the setting's name, where it came from, and an example.

```toml
[kafka]
bootstrap_servers = "broker-1:9093,broker-2:9093"
properties = { "security.protocol" = "SASL_SSL", "sasl.mechanism" = "SCRAM-SHA-512", "sasl.username" = "sternpost" }

[[sources]]
name = "production"
write_keys = ["…"]
signing_keys = ["…"]
```"""

EXCEPTIONAL = {"processor.instance_id": "the host's name"}
"""What the page says of defaults that differ between machines."""


def render() -> str:
    """Return the page."""
    lines = [HEAD]
    section, texts = "", meanings()
    for name, info in fields():
        head = name.partition(".")[0]
        if head != section:
            section = head
            lines += [f"\n## {section}\n", "| setting | default | meaning |", "| --- | --- | --- |"]
        lines.append(f"| {_names(name)} | {_default(name, info)} | {_meaning(texts[name], info)} |")
    return "\n".join(lines) + "\n"


def _names(name: str) -> str:
    if name.startswith("sources."):
        return f"`{name.removeprefix('sources.')}` of each"
    return f"`{name}`<br>`{variable(name)}`"


def _default(name: str, info: FieldInfo) -> str:
    if name in EXCEPTIONAL:
        return EXCEPTIONAL[name]
    if info.is_required():
        return "required"
    value: Any = info.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ([], {}):
        return "none"
    return f"`{TypeAdapter(Any).dump_python(value, mode='json')}`"


def _meaning(docstring: str, info: FieldInfo) -> str:
    text = " ".join(docstring.split())
    if info.examples:
        example = info.examples[0]
        text += f" Example: `{example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)}`"
    return text.replace("|", "\\|")
