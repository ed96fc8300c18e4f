"""What each setting means: the docstrings below the fields of runtime/settings/model.py, for what is generated.

pydantic can find them too (`use_attribute_docstrings`), but then each command parses that file when it starts.
"""

import ast
import inspect
from itertools import pairwise

from pydantic import BaseModel

from runtime.settings.model import Section, Settings, SourceSettings


def meanings() -> dict[str, str]:
    """Return the docstring of each setting that has one, by its name in `runtime.settings.loader.fields`."""
    found = _docstrings(Settings)
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        section = kind if isinstance(kind, type) and issubclass(kind, Section) else SourceSettings
        found |= {f"{name}.{field}": text for field, text in _docstrings(section).items()}
    return found


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    [definition] = (node for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
