"""The papers' claims with their verdicts, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from reports import findings
from reports.claims import VERDICTS, JudgedClaim
from reports.tables.table import Table, words

MARKS = dict(zip(VERDICTS, "✓✗?–", strict=True))


def claims_table(judged: Sequence[JudgedClaim]) -> Table:
    """The claims with their verdicts; evidence and printed numbers in words."""
    rows = []
    for one in judged:
        evidence = "; ".join(part.evidence for part in one.parts)
        verdict = f"{one.verdict}: {one.detail}" if one.detail else one.verdict
        cells = [one.claim.statement, f"{one.claim.paper}, {one.claim.where}", verdict, evidence]
        rows.append([words(cell) for cell in cells])
    return Table(
        name="claims",
        title=summary(judged),
        headings=["claim", "source", "verdict", "ours"],
        rows=rows,
        words=(1, 2, 3),
        wide=(0, 2, 3),
    )


RULES = (
    "A part agrees or disagrees when the 95 % interval of the difference lies on one side of nothing. A claim does "
    "when half of its parts that were run are decided, all the same way; where it names parts that it cannot do "
    "without, all of these must agree.",
    "Best: the setting significantly beats at least one other, none beats it, and none has a better value. Flat: "
    "every other setting's interval lies within the margin around the reference. Enough: the interval of what more "
    "would gain lies below the margin. Claims name their margins in their notes.",
    "Intervals cover the choice of images; strategies and settings that were trained once are compared as trained.",
)


def summary(judged: Sequence[JudgedClaim]) -> str:
    """How many claims came out which way, a sentence."""
    counts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in VERDICTS}
    told = [
        f"{counts['agrees']} agree",
        f"{counts['disagrees']} disagree",
        f"{counts['cannot tell']} cannot be told",
        f"{counts['not run']} were not run",
    ]
    return f"Of {len(judged)} claims of the two papers {findings.joined(told)}"
