"""Arrows between the rooms run one way, files stay small, and starting the command line stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

ROOT = REPOSITORY
MAY_IMPORT = {
    "tasks": {"tasks"},
    "decoders": {"decoders", "tasks"},
    "results": {"results"},
    "reports": {"reports", "results"},
    "bench": {"bench", "decoders", "tasks", "results", "reports"},
}
FORMATS_ONLY = {"tasks.formats.sequence", "tasks.formats.vocabulary"}  # all that a strategy may know of tasks
FILES = sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import; rooms are named in full"
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    modules = imported(path)
    ours = {name for name in modules if name.split(".")[0] in MAY_IMPORT}
    assert {name.split(".")[0] for name in ours} <= MAY_IMPORT[room]
    if room == "decoders":
        assert {name for name in ours if name.startswith("tasks")} <= FORMATS_ONLY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_say_their_idea_first(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert path.name != "utils.py"
    if text:
        assert ast.get_docstring(ast.parse(text)), "the first line of a file says its idea"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'numpy', 'seaborn', 'matplotlib', 'jinja2', 'rich', 'PIL'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
