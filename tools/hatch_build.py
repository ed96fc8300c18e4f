"""Adds the compiled modules to a wheel, beside their sources, if they can be compiled on this machine."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.compile import CannotCompileError, build


class CompiledModules(BuildHookInterface[Any]):
    """A custom build hook of Hatch: https://hatch.pypa.io/latest/plugins/build-hook/custom/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, except for an editable install, for which `make setup` compiles."""
        if version == "editable":
            return
        self._built = tempfile.TemporaryDirectory(prefix="sternpost-wheel-")
        try:
            files = build(Path(self._built.name))
        except CannotCompileError as reason:
            self.app.display_warning(f"a wheel without compiled modules: {reason}")
            return
        build_data["force_include"] |= {str(Path(self._built.name, file)): str(file) for file in files}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
