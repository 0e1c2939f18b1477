"""What a record says of the code that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.system.environment import git_state


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "bench/run").mkdir(parents=True)
    (tmp_path / "results/studies").mkdir(parents=True)
    for name in ("bench/run/runner.py", "results/store.py", "results/studies/table2.md"):
        (tmp_path / name).write_text("1\n")
    own = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *own, *words], check=True)
    return tmp_path


@pytest.mark.parametrize("changed", ["bench/run/runner.py", "bench/new.py", "results/store.py"])
def test_changed_code_makes_a_tree_dirty(repository: Path, changed: str) -> None:
    assert git_state(repository)["git_dirty"] is False
    (repository / changed).write_text("2\n")
    assert git_state(repository)["git_dirty"] is True


def test_pages_that_were_written_do_not(repository: Path) -> None:
    (repository / "results/studies/table2.md").write_text("2\n")
    (repository / "results/studies/seeds.json").write_text("{}\n")
    assert git_state(repository)["git_dirty"] is False


def test_outside_a_repository_nothing_is_said(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"git_commit": None, "git_dirty": None}
