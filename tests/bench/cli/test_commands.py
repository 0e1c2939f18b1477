"""The command line: help of every command, the list of commands, earlier words."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from bench.cli.commands import COMMANDS, RENAMED
from bench.cli.main import main
from tests.paths import REPOSITORY


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(COMMANDS[name].options_class):
        assert f"--{field.name}" in text
    for option in COMMANDS[name].positional:
        assert f"[{option.upper()}]" in text.splitlines()[0]


def test_help_of_codecs_is_that_of_their_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--codec", "depth", "--help"]) == 0
    assert "--codecs.depth.shape.codes" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_row_leads_to_a_function(name: str) -> None:
    assert callable(COMMANDS[name].run)


@pytest.mark.parametrize("old", RENAMED)
def test_an_earlier_word_answers_with_the_new_one(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([old]) == 2
    answer = capsys.readouterr().err
    assert RENAMED[old] in answer and answer.count("\n") == 1
    assert RENAMED[old].split()[0] in COMMANDS


def test_the_list_of_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'numpy', 'seaborn', 'matplotlib', 'jinja2', 'rich', 'PIL'}\n"
        "heavy |= {'jsonargparse', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
