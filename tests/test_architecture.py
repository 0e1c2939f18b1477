"""The rules of the house: who may import whom, no circles, short files, small folders, options declared once."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

MAY_IMPORT = {
    "tasks": {"tasks"},
    "decoders": {"decoders", "tasks"},
    "results": {"results"},
    "reports": {"reports", "results"},
    "bench": {"bench", "decoders", "tasks", "results", "reports"},
}
FORMATS_ONLY = {"tasks.formats.sequence", "tasks.formats.vocabulary"}  # all that a strategy may know of tasks
ROWS = (  # a room of bench imports rooms of lower rows only, never one of its own row
    {"errors", "paths", "seeding", "console", "distributed", "class_source", "registry"},
    {"data", "stats", "system"},
    {"config", "inference"},
    {"checkpoints"},
    {"builders"},
    {"run", "train", "compare"},
    {"gate", "report", "studies", "measurements", "parity"},
    {"cli"},
    {"__main__"},
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
GROUND = {("registry", "errors"), ("registry", "class_source")}  # the only arrows between files of row 0
LIGHT = {"torch", "torchvision", "scipy", "matplotlib", "seaborn", "timm"}  # never imported by bench.config
MOST_FILES, MOST_LINES, LONGEST_CHAIN = 15, 400, 14

FILES = sorted(path for top in MAY_IMPORT for path in (REPOSITORY / top).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules and names that a file imports, inside functions and under ``TYPE_CHECKING`` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import; rooms are named in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def module_of(name: str) -> str | None:
    """The module of ours that an imported name is, or lies in."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


@cache
def arrows() -> Mapping[str, frozenset[str]]:
    """Module to the modules of ours that it imports."""
    return {
        module: frozenset(target for name in imported(path) if (target := module_of(name)) and target != module)
        for module, path in MODULES.items()
    }


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("top", MAY_IMPORT)
def test_imports_between_top_folders_run_one_way(top: str) -> None:
    for module, targets in arrows().items():
        if module.split(".")[0] == top:
            assert {target.split(".")[0] for target in targets} <= MAY_IMPORT[top], module
            if top == "decoders":
                assert {target for target in targets if target.startswith("tasks")} <= FORMATS_ONLY, module


def test_rooms_of_bench_import_lower_rows_only() -> None:
    wrong = []
    for module, targets in arrows().items():
        room = room_of(module)
        for target in targets:
            other = room_of(target)
            if not (module.startswith("bench.") and target.startswith("bench.")) or (room == other and room):
                continue
            if ROW_OF[other] >= ROW_OF[room] and (room, other) not in GROUND:
                wrong.append(f"{module} imports {target}")
    assert not wrong


def test_only_the_command_line_imports_the_command_line() -> None:
    for module, targets in arrows().items():
        if room_of(module) not in ("cli", "__main__"):
            assert not {target for target in targets if target.startswith("bench.cli")}, module


def test_options_are_light() -> None:
    for module, path in MODULES.items():
        if module.startswith("bench.config"):
            assert not {name.split(".")[0] for name in imported(path)} & LIGHT, module


def circles() -> Iterator[list[str]]:
    """Strongly connected parts of more than one file (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> Iterator[list[str]]:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in arrows()[module]:
            if target not in index:
                yield from visit(target)
            if target in stack:
                low[module] = min(low[module], low[target])
        if low[module] == index[module]:
            part = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(part) > 1:
                yield sorted(part)

    for module in MODULES:
        if module not in index:
            yield from visit(module)


def test_no_circle_of_files() -> None:
    assert not list(circles())


def test_chains_of_imports_inside_bench_are_short() -> None:
    @cache
    def chain(module: str) -> tuple[str, ...]:
        inner = [target for target in arrows()[module] if target.startswith("bench") and target in MODULES]
        return (module, *max((chain(target) for target in inner), key=len, default=()))

    if next(circles(), None):
        pytest.fail("a circle has no longest chain")
    longest = max((chain(module) for module in MODULES if module.startswith("bench")), key=len)
    assert len(longest) <= LONGEST_CHAIN, " > ".join(longest)


def test_no_folder_has_too_many_files() -> None:
    folders = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert max(folders.values()) <= MOST_FILES, folders.most_common(1)


def test_files_are_short_and_say_their_idea_first() -> None:
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, path
        assert path.name != "utils.py"
        assert not text or ast.get_docstring(ast.parse(text)), f"{path}: the first line of a file says its idea"


def test_one_file_of_bench_knows_where_it_lies() -> None:
    users = {
        module for module, path in MODULES.items() if module.startswith("bench") and "__file__" in path.read_text()
    }
    assert users <= {"bench.paths"}


def option_classes() -> dict[str, type]:
    classes = {}
    for module in MODULES:
        if module.startswith("bench.config."):
            for name, value in vars(importlib.import_module(module)).items():
                if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == module:
                    classes[name] = value
    return classes


def test_no_options_class_repeats_the_fields_of_another() -> None:
    """``out`` and ``seed`` stand in many commands; three equal fields (name, type, default) are a part."""
    declared: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for name, cls in option_classes().items():
        for field in dataclasses.fields(cls):
            if field.name in vars(cls).get("__annotations__", {}):
                declared[name].add((field.name, str(field.type), repr((field.default, field.default_factory))))
    for first, second in itertools.combinations(declared, 2):
        if not (issubclass(a := option_classes()[first], b := option_classes()[second]) or issubclass(b, a)):
            shared = declared[first] & declared[second]
            assert len(shared) <= 2, f"{first} and {second} both declare {sorted(name for name, *_ in shared)}"
