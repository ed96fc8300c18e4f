"""Reading and building JSON by path: `data.recipients[0].failure_message`."""

import re
from itertools import pairwise
from typing import Any


def at(tree: Any, path: str) -> Any:
    """Return the value at the path, or None."""
    for step in _steps(path):
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, list) and len(tree) > step else None
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def put(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of the tree with the value at the path, creating objects and lists on the way."""
    steps = _steps(path)
    last = steps[-1]
    node: Any = tree
    for step, following in pairwise(steps):
        fresh: Any = [] if isinstance(following, int) else {}
        if isinstance(step, int):
            if len(node) <= step:
                node.append(fresh)
            node = node[step]
        else:
            node = node.setdefault(step, fresh)
    if isinstance(last, int):
        node.insert(last, value)
    else:
        node[last] = value
    return tree


def _steps(path: str) -> list[str | int]:
    return [int(index) if index else name for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)]
