"""Verdicts on the claims of the two papers, from the contrasts of committed studies.

A contrast agrees when its effect is significant (95 % interval, Holm's correction over its study) and goes the paper's
way, and disagrees when it is significant the other way. With a margin it agrees when the interval lies within, and
disagrees when it lies beyond. A claim agrees if all of its contrasts do, and disagrees if any does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.report_data import TIME, MetricDifference, ReportData
from results.claims import Claim, ClaimContrast, claims, is_ratio, paper_effect, study_result
from results.study import ContrastResult, Outcome

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "disagrees", "cannot tell", "not run")
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class JudgedContrast:
    """One contrast of a claim in one metric.

    Args:
        contrast: the contrast.
        key: ``task.metric`` or ``time.total``.
        verdict: of this test.
        paper: the paper's effect, of times the ratio; None where it prints none.
        result: of the committed study; None if it has none.
        runs: the same arms in the runs of a report, shown beside and never judged.
    """

    contrast: ClaimContrast
    key: str
    verdict: Verdict
    paper: float | None
    result: ContrastResult | None = None
    runs: MetricDifference | None = None

    @property
    def unresolved(self) -> str:
        """What is smaller than the study resolves: the paper's effect, or the margin of an open test; else empty."""
        resolvable = None if self.result is None else self.result.resolvable
        if resolvable is None or self.contrast.at_most is not None:
            return ""
        if self.contrast.within is not None:
            limit = resolvable - 1 if is_ratio(self.key) else resolvable
            return "margin" if self.verdict == "cannot tell" and self.contrast.within < limit else ""
        if self.paper is None:
            return ""
        size = math.exp(abs(math.log(self.paper))) if is_ratio(self.key) else abs(self.paper)
        return "paper's effect" if size < resolvable else ""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict and its judged contrasts."""

    claim: Claim
    verdict: Verdict
    contrasts: Sequence[JudgedContrast]


def judge_all(outcomes: Mapping[str, Outcome], report: ReportData | None = None) -> list[JudgedClaim]:
    """Judge every claim by committed studies; the runs of a report are shown beside."""
    return [judge(claim, outcomes, report) for claim in claims()]


def judge(claim: Claim, outcomes: Mapping[str, Outcome], report: ReportData | None = None) -> JudgedClaim:
    """Judge a claim by committed studies."""
    tests = [_judge_test(contrast, key, outcomes, report) for contrast in claim.contrasts for key in contrast.metrics]
    return JudgedClaim(claim, overall([test.verdict for test in tests]), tests)


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of a claim from those of its contrasts."""
    if "disagrees" in verdicts:
        return "disagrees"
    if all(verdict == "not run" for verdict in verdicts):
        return "not run"
    return "agrees" if all(verdict == "agrees" for verdict in verdicts) else "cannot tell"


def _judge_test(
    contrast: ClaimContrast, key: str, outcomes: Mapping[str, Outcome], report: ReportData | None
) -> JudgedContrast:
    paper, result = paper_effect(contrast, key), study_result(contrast, key, outcomes.get(contrast.study))
    verdict: Verdict = "not run" if result is None else decide(contrast, result, paper)
    runs = None if report is None else _of_runs(contrast, key, report)
    return JudgedContrast(contrast=contrast, key=key, verdict=verdict, paper=paper, result=result, runs=runs)


def decide(contrast: ClaimContrast, result: ContrastResult, paper: float | None) -> Verdict:
    """Return whether a study's result goes the paper's way.

    Args:
        contrast: of the claim.
        result: of the study, the contrast's way round.
        paper: the paper's effect; None if ``contrast.way`` says the direction.
    """
    ratio = is_ratio(result.key)
    if contrast.at_most is not None:
        return _beside(result.high < contrast.at_most, result.low > contrast.at_most)
    if contrast.within is not None:
        low, high = (1 / (1 + contrast.within), 1 + contrast.within) if ratio else (-contrast.within, contrast.within)
        return _beside(low < result.low and result.high < high, result.low > high or result.high < low)
    nothing = 1.0 if ratio else 0.0
    if result.low <= nothing <= result.high or (result.p_holm is not None and result.p_holm >= ALPHA):
        return "cannot tell"
    up = contrast.way == "up" if contrast.way else paper is not None and paper > nothing
    return _beside((result.value > nothing) == up, (result.value > nothing) != up)


def _beside(agrees: bool, disagrees: bool) -> Verdict:
    return "agrees" if agrees else "disagrees" if disagrees else "cannot tell"


def _of_runs(contrast: ClaimContrast, key: str, report: ReportData) -> MetricDifference | None:
    """The difference of two arms that are decoders of a report's runs; of times the ratio of their times."""
    labels = {run.decoder: run.label for run in reversed(report.runs)}
    ends = [arm for arm, weight in sorted(contrast.arms.items(), key=lambda arm: arm[1]) if arm in labels]
    if len(ends) < len(contrast.arms) or sorted(contrast.arms.values()) != [-1, 1]:
        return None
    minus, plus = (labels[arm] for arm in ends)
    return report.statistics.between(*((plus, minus) if key == TIME else (minus, plus)), key)
