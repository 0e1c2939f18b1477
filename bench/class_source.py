"""What a class declares, read from its source without importing it, as setuptools reads ``version = attr: …``.

Strategies and tasks import torch, which takes seconds; their names, summaries and options do not need it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class ClassSource:
    """A class as its file has it.

    Args:
        documentation: docstring of its module.
        attributes: class attributes that are literals, or names that the file imports; those of its bases too.
    """

    documentation: str
    attributes: Mapping[str, Any]


@cache
def read_class(module: str, name: str) -> ClassSource:
    """Return what a class declares. Imports only the modules from which it takes attributes by name.

    Raises:
        LookupError: if there is no such module or class.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {module}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise LookupError(f"{module} has no class {name}")
    imports = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    attributes: dict[str, Any] = {}
    for base in reversed(classes[name].bases):
        if isinstance(base, ast.Name):
            attributes |= read_class(*imports.get(base.id, (module, base.id))).attributes
    return ClassSource(ast.get_docstring(tree) or "", attributes | _assigned(classes[name], imports))


def _assigned(definition: ast.ClassDef, imports: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Return the attributes that the body of a class assigns, as far as they can be read."""
    attributes = {}
    for node in definition.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        name = ast.unparse(target)
        match node.value:
            case ast.Name(id=value) | ast.Call(func=ast.Name(id="staticmethod"), args=[ast.Name(id=value)]):
                if value in imports:
                    attributes[name] = resolve_name(":".join(imports[value]))
            case expression:
                with suppress(ValueError):  # what is computed, e.g. a tensor, is nothing that a command asks for
                    attributes[name] = ast.literal_eval(expression)
    return attributes
