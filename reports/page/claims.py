"""The claims with their verdicts as Markdown: a page of their own, and a table for the README."""

from __future__ import annotations

from collections.abc import Sequence

from reports.claims import JudgedClaim
from reports.tables.claims import HEADINGS, MARKS, RULES, contrast_rows, detail, paper_text, summary
from reports.tables.table import pipe_table

WRITTEN = "Written by `python -m bench measure claims`."


def claims_page(judged: Sequence[JudgedClaim]) -> str:
    """Return the page: every claim with the paper's numbers, its contrasts and its verdict."""
    parts = ["# The claims of the two papers", f"{summary(judged)}. {WRITTEN}", *RULES, verdict_table(judged)]
    return "\n\n".join([*parts, *map(_claim, judged)]) + "\n"


def readme_block(judged: Sequence[JudgedClaim]) -> str:
    """Return the README's table of verdicts."""
    rules = "[docs/claims.md](docs/claims.md) has the papers' numbers, the contrasts and their intervals."
    return f"{summary(judged)}. {rules}\n\n{verdict_table(judged)}\n"


def verdict_table(judged: Sequence[JudgedClaim]) -> str:
    """Return a pipe table of statement, source and verdict."""
    rows = [[claim.claim.statement, claim.claim.where, _verdict(claim)] for claim in judged]
    return pipe_table(["claim", "source", "verdict"], rows, left=(0, 1, 2))


def _verdict(claim: JudgedClaim) -> str:
    counts = detail(claim)
    return f"{MARKS[claim.verdict]} {claim.verdict}" + (f" ({counts})" if counts else "")


def _claim(claim: JudgedClaim) -> str:
    parts = [f"## {claim.claim.statement}", f"**{_verdict(claim)}** · {claim.claim.where} · {paper_text(claim)}"]
    parts += [claim.claim.note] if claim.claim.note else []
    if rows := contrast_rows(claim):
        parts.append(pipe_table(HEADINGS, rows, left=(0, 1, 4, 6)))
    return "\n\n".join(parts)
