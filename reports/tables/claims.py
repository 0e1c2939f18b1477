"""The papers' claims with their verdicts, as tables of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reports.claims import VERDICTS, JudgedClaim, JudgedContrast
from reports.findings import joined
from reports.metrics import ShownMetric, metric
from reports.tables.table import Table, words
from results.claims import is_ratio, is_reconstruction, printed_numbers

MARKS = dict(zip(VERDICTS, "✓✗?–", strict=True))
HEADINGS = ("contrast", "metric", "paper", "here (95 %)", "covers", "resolves", "verdict")
RULES = (
    "Committed studies decide. A contrast agrees when its effect is significant (95 % interval, Holm's correction over "
    "the contrasts of its study) and goes the paper's way, and disagrees when it is significant the other way. With a "
    "margin it agrees when the interval lies within. A claim agrees if all of its contrasts do, and disagrees if any "
    "does.",
    "Covers: intervals of methods are over training seeds and images; those of given weights are over images alone and "
    "say nothing of other trainings. Resolves: the smallest effect that the study finds with 80 % power. Differences "
    "of fractions are × 100, those of depth errors in meters, those of times and steps are ratios.",
)


def claims_table(judged: Sequence[JudgedClaim]) -> Table:
    """One row a test of a claim: statement, source, verdicts and numbers."""
    rows = [
        [claim.claim.statement, claim.claim.where, claim.verdict, *row]
        for claim in judged
        for row in contrast_rows(claim) or [["–"] * len(HEADINGS)]
    ]
    return Table(
        name="claims",
        title=summary(judged),
        headings=["claim", "source", "claim's verdict", *HEADINGS],
        rows=[[words(cell) for cell in row] for row in rows],
        words=tuple(range(1, 3 + len(HEADINGS))),
        wide=(0, 3),
    )


def summary(judged: Sequence[JudgedClaim]) -> str:
    """Return the count of each verdict, in a sentence."""
    counts = {verdict: sum(claim.verdict == verdict for claim in judged) for verdict in VERDICTS}
    phrases = {
        "agrees": ("agrees", "agree"),
        "disagrees": ("disagrees", "disagree"),
        "cannot tell": ("is undecided", "are undecided"),
        "not run": ("was not run", "were not run"),
    }
    totals = [f"{count} {phrases[verdict][count != 1]}" for verdict, count in counts.items()]
    return f"Of {len(judged)} claims of the two papers {joined(totals)}"


def contrast_rows(claim: JudgedClaim) -> list[list[str]]:
    """Return the tests of a claim as cells of ``HEADINGS``."""
    return [
        [
            arms_text(test.contrast.arms, ratio=is_ratio(test.key)),
            _heading(test),
            _paper(test),
            _here(test),
            _covers(test),
            amount(test.key, test.result.resolvable) if test.result is not None and test.result.resolvable else "–",
            test.verdict + (f": the {test.unresolved} is smaller than this study resolves" if test.unresolved else ""),
        ]
        for test in claim.contrasts
    ]


def detail(claim: JudgedClaim) -> str:
    """Return the count of each verdict of a claim's contrasts, and of effects below what their study resolves."""
    verdicts = [test.verdict for test in claim.contrasts]
    small = sum(bool(test.unresolved) for test in claim.contrasts)
    below = f"{small} of {len(verdicts)} effects smaller than the study resolves" if small else ""
    if set(verdicts) <= {claim.verdict}:
        return below
    counts = [(verdicts.count(kind), kind) for kind in VERDICTS if kind in verdicts]
    several = {"agrees": "agree", "disagrees": "disagree"}
    phrases = [f"{count} {kind if count == 1 else several.get(kind, kind)}" for count, kind in counts]
    return f"of {len(verdicts)} contrasts {joined(phrases)}" + (f"; {below}" if below else "")


def paper_text(claim: JudgedClaim) -> str:
    """Return the paper's numbers that a claim rests on."""
    numbers: dict[str, dict[str, str]] = {}
    for test in claim.contrasts:
        for row, value in printed_numbers(test.contrast, test.key).items():
            numbers.setdefault(_heading(test), {})[row] = amount(test.key, value, printed=True)
    texts = [f"{name}: {', '.join(f'{row} {value}' for row, value in rows.items())}" for name, rows in numbers.items()]
    return "; ".join(texts) + "." if texts else claim.claim.printed or "The paper prints no numbers."


def arms_text(arms: Mapping[str, float], *, ratio: bool) -> str:
    """Return a contrast in words: ``mad − parallel``, of times ``mad / parallel``, ``(a − b) − (c − d)``."""
    if list(arms.values()) == [1, -1, -1, 1]:
        a, b, c, d = arms
        return f"({a} − {b}) − ({c} − {d})"
    plus, minus = ([arm for arm, weight in arms.items() if weight * sign > 0] for sign in (1, -1))
    return " / ".join((*plus, *minus)) if ratio else " − ".join((" + ".join(plus), *minus))


def heading(key: str) -> str:
    """Return a metric's heading; of times ``time``."""
    if is_ratio(key):
        kind, _, rest = key.partition(".")
        return "time" if key == "time.total" else f"{kind}: {heading(rest) if kind == 'steps' else rest}"
    return _shown(key).heading


def _heading(test: JudgedContrast) -> str:
    return ("reconstruction " if is_reconstruction(test.contrast) else "") + heading(test.key)


def amount(key: str, value: float, *, printed: bool = False) -> str:
    """Return a size: of a metric in its unit, of times a ratio, or milliseconds as they are printed."""
    if is_ratio(key):
        return f"{value:,.0f} ms" if printed else f"{value:.3g}×"
    return _shown(key).text(value)


def _shown(key: str) -> ShownMetric:
    shown = metric(*key.split(".", 1))
    return replace(shown, digits=4) if shown.factor == 1 else shown  # the papers' effects are millimeters


def _signed(key: str, value: float) -> str:
    return amount(key, value) if is_ratio(key) else _shown(key).signed(value)


def _paper(test: JudgedContrast) -> str:
    text = (
        _signed(test.key, test.paper)
        if test.paper is not None
        else {"up": "higher", "down": "lower"}.get(test.contrast.way, "–")
    )
    if test.contrast.within is not None:
        return f"{text}, margin ± {amount(test.key, test.contrast.within)}"
    return text if test.contrast.at_most is None else f"{text}, at most {amount(test.key, test.contrast.at_most)}"


def _here(test: JudgedContrast) -> str:
    if test.result is None:
        return f"`python -m bench study {test.contrast.study}`"
    value, low, high = (_signed(test.key, end) for end in (test.result.value, test.result.low, test.result.high))
    return f"{value} ({low} … {high})"


def _covers(test: JudgedContrast) -> str:
    if test.result is None:
        return "–"
    images = f"{test.result.images:,} images" if test.result.images else "totals"
    seeds = f"{test.result.seeds} seeds, " if test.result.scope == "method" else "these weights, "
    return f"{test.contrast.study}: {seeds}{images}"


def runs_text(test: JudgedContrast) -> str:
    """Return the same contrast in the runs of a report; empty where they do not have its arms."""
    if test.runs is None:
        return ""
    ends = (test.runs.value, test.runs.interval.low, test.runs.interval.high)
    value, low, high = (_signed(test.key, end) for end in ends)
    return f"{value} ({low} … {high})"
