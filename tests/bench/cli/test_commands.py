"""The command line: help of every command, the list of commands, earlier words."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from bench.cli.commands import COMMANDS, RENAMED
from bench.cli.main import main
from bench.config.words import option_types
from tests.paths import REPOSITORY


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help-all"]) == 0
    text = capsys.readouterr().out
    positional = COMMANDS[name].positional
    for option, hint in option_types(COMMANDS[name].options_class).items():
        if not dataclasses.is_dataclass(hint):
            shown = option.upper() if option in positional else f"--{option.replace('_', '-')}"
            assert re.search(rf"\n  {re.escape(shown)}( [^ ].*)?(  +|\n +)[^- ]", text), option
    for option in positional:
        assert option.upper() in text.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_a_screen(
    name: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= columns


def test_help_shows_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    defaults = []
    for preset in ("embedded", "paper"):
        assert main(["run", "--help-all", "--preset", preset]) == 0
        defaults += re.findall(r"--sizes.slots .*\(default: (\d+)\)", capsys.readouterr().out)
    assert defaults == ["12", "100"]


def test_the_list_of_commands_shows_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert re.findall(r"^  (\S+)  ", capsys.readouterr().out, re.MULTILINE) == list(COMMANDS)


def test_help_of_codecs_is_that_of_their_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--codec", "depth", "--help-all"]) == 0
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
