"""The papers' claims with their verdicts, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from reports import findings
from reports.claims import VERDICTS, JudgedClaim
from reports.tables.table import Table, words

MARKS = dict(zip(VERDICTS, "✓✗?–", strict=True))


def claims_table(judged: Sequence[JudgedClaim]) -> Table:
    """One row a claim: statement, source, verdict and evidence."""
    rows = []
    for claim in judged:
        evidence = "; ".join(part.evidence for part in claim.parts)
        verdict = f"{claim.verdict}: {claim.detail}" if claim.detail else claim.verdict
        cells = [claim.claim.statement, f"{claim.claim.paper}, {claim.claim.where}", verdict, evidence]
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
    "A part agrees or disagrees when the 95 % interval of the difference excludes no difference. A claim does "
    "when half of its parts that were run are decided, all the same way; where it marks parts as required, "
    "all of these must agree.",
    "Best: the setting significantly beats at least one other, none beats it, and none has a better value. Flat: "
    "every other setting's interval lies within the margin around the reference. Enough: the interval of what more "
    "would gain lies below the margin. Claims name their margins in their notes.",
    "Intervals cover the choice of images; strategies and settings that were trained once are compared as trained.",
)


def summary(judged: Sequence[JudgedClaim]) -> str:
    """Count of each verdict, in a sentence."""
    counts = {verdict: sum(claim.verdict == verdict for claim in judged) for verdict in VERDICTS}
    totals = [
        f"{counts['agrees']} agree",
        f"{counts['disagrees']} disagree",
        f"{counts['cannot tell']} are undecided",
        f"{counts['not run']} were not run",
    ]
    return f"Of {len(judged)} claims of the two papers {findings.joined(totals)}"
