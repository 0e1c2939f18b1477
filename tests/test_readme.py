"""The README shows what was measured, names only what exists, and judges no method outside what is generated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import registry
from bench.cli.commands import COMMANDS
from reports.claims import judge_all
from reports.page.claims import claims_page
from reports.page.readme import generated
from results.study import FOLDER, read_outcomes
from tests.paths import REPOSITORY

ROOT = REPOSITORY
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
METHOD = re.compile(
    r"autoregressive|\bparallel\b|\bmad\b|\bMAD|\bait\b|\bAiT|soft token|masked (training|inference|autodecoding)"
    r"|auxiliary loss|left to right|random order|joint(ly)? (train|learn)",
)
JUDGEMENT = re.compile(
    r"\b(beats?|better|best|worse|worst|helps?|hurts?|gains?|lifts?|improves?|outperforms?|faster|slower|slowest|loses?"
    r"|ahead|times as fast)\b|[+−±]\s?\d|-\d+\.\d|\b(AP|BLEU-4|RMSE|CIDEr)\b[^.|]{0,20} \d"
)


def prose(text: str) -> list[str]:
    """Sentences of a page that are neither generated nor code, table rows included."""
    text = re.sub(r"<!-- ([\w -]+) -->.*?<!-- /\1 -->", "", text, flags=re.S)
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    parts = re.split(r"\n\s*\n|\n(?=[-|#])", text)
    return [" ".join(sentence.split()) for part in parts for sentence in re.split(r"(?<=[.:;]) ", part)]


def judgements(text: str) -> list[str]:
    return [sentence for sentence in prose(text) if METHOD.search(sentence) and JUDGEMENT.search(sentence)]


@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "claims.md"], ids=lambda path: str(path.name))
def test_methods_are_judged_in_generated_blocks_only(path: Path) -> None:
    assert not judgements(path.read_text())


def test_judgements_are_found() -> None:
    assert judgements("Soft tokens do it. The auxiliary loss\nhelps depth.")
    assert judgements("`mad` has box AP 31.1 jointly") and judgements("mad is 2.8 times faster than autoregressive")
    assert judgements("<!-- a -->\nmad\n<!-- /a -->\nparallel is +3.0 points ahead")
    assert not judgements("<!-- a -->\nmad beats parallel\n<!-- /a -->\nThe gate beats nothing.")


def test_its_blocks_are_those_of_the_committed_studies() -> None:
    outcomes = read_outcomes()
    command = "run `python -m bench measure claims`"
    assert generated(README, outcomes, studies=FOLDER, name="README.md") == README, command
    assert (ROOT / "docs/claims.md").read_text() == claims_page(judge_all(outcomes)), command


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
