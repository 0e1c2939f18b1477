"""The README shows what was measured, and names only what exists."""

from __future__ import annotations

import re

import pytest

from bench import registry
from bench.cli.commands import COMMANDS
from tests.paths import REPOSITORY

ROOT = REPOSITORY
README = (ROOT / "README.md").read_text()


def test_its_table_is_the_measured_one() -> None:
    shown = README.partition("<!-- table2 -->\n")[2].partition("<!-- /table2 -->")[0].strip()
    measured = (ROOT / "results/studies/table2.md").read_text()
    rows = [line for line in measured.splitlines() if line.startswith(("|", "Decoding alone", "Times"))]
    assert [line for line in shown.splitlines() if line] == rows


def test_its_report_is_the_committed_one() -> None:
    block = README.partition("<!-- report -->\n")[2].partition("<!-- /report -->")[0]
    assert block.endswith((ROOT / "results/report/comparison.md").read_text())
    for theme in ("light", "dark"):
        assert f"docs/frontier-{theme}.svg" in block and (ROOT / f"docs/frontier-{theme}.svg").exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", README))))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_its_decoders_and_commands_exist() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", README, re.M)) == set(registry.names(registry.DECODERS))
    for line in re.findall(r"(?:nox -s bench -- |python -m bench )([a-z][a-z-]+\d?) ", README):
        assert line in COMMANDS, line
