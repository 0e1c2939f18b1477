"""Verdicts follow from the contrasts of committed studies, and from nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reports.claims import JudgedClaim, Verdict, judge, judge_all, overall
from reports.page.claims import claims_page, readme_block
from reports.tables.claims import arms_text, contrast_rows, detail, paper_text, runs_text, summary
from results.claims import Claim, ClaimContrast
from results.study import ContrastResult, Outcome
from tests.reports.report_data import report_data

VISION = {"parallel": 1.0, "autoregressive": -1.0}


def claim(*contrasts: dict[str, Any]) -> Claim:
    """A claim about Table 2; a contrast is of box AP unless it says otherwise."""
    default = {"study": "mad-table2", "table": "mad-2", "arms": VISION, "metrics": ["detection.AP"]}
    return Claim(
        id="c",
        where="MAD Table 2",
        statement="A statement.",
        contrasts=[msgspec.convert({**default, **contrast}, ClaimContrast) for contrast in contrasts or ({},)],
    )


def result(value: float, low: float, high: float, **changes: Any) -> ContrastResult:
    fields: dict[str, Any] = {"name": "n", "arms": VISION, "key": "detection.AP"}
    return ContrastResult(value=value, low=low, high=high, **fields | changes)


def study(*results: ContrastResult) -> dict[str, Outcome]:
    return {"mad-table2": Outcome(name="mad-table2", title="t", decoder="d", points={}, contrasts=list(results))}


def judged(value: float, low: float, high: float, *, test: dict[str, Any] | None = None, **changes: Any) -> JudgedClaim:
    return judge(claim(test or {}), study(result(value, low, high, **changes)))


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(0.05, 0.01, 0.09, "agrees"), (-0.05, -0.09, -0.01, "disagrees"), (0.05, -0.01, 0.11, "cannot tell")],
)
def test_a_difference_is_held_against_the_papers_way(value: float, low: float, high: float, expected: Verdict) -> None:
    assert judged(value, low, high).verdict == expected
    swapped = {arm: -weight for arm, weight in VISION.items()}
    assert judged(-value, -high, -low, arms=swapped).verdict == expected, "the study has the arms the other way round"
    down = {"metrics": ["depth.rmse"], "table": "ait-12", "arms": {"AiT-P-B": 1, "AiT-B": -1}}
    lower = judged(-value, -high, -low, test=down, key="depth.rmse", arms={"AiT-P-B": 1.0, "AiT-B": -1.0})
    assert lower.verdict == expected, "an error that falls"


def test_a_ratio_of_times_is_held_against_one() -> None:
    slow = {"metrics": ["time.total"], "arms": {"autoregressive": 1, "parallel": -1}}
    arms = {"autoregressive": 1.0, "parallel": -1.0}
    assert judged(3.0, 2.0, 4.0, test=slow, key="time.total", arms=arms).verdict == "agrees"
    assert judged(1.1, 0.9, 1.3, test=slow, key="time.total", arms=arms).verdict == "cannot tell"
    turned = judged(1 / 3, 1 / 4, 1 / 2, test=slow, key="time.total", arms=VISION)
    assert turned.verdict == "agrees" and turned.contrasts[0].result is not None
    assert turned.contrasts[0].result.low == pytest.approx(2) and contrast_rows(turned)[0][3] == "3× (2× … 4×)"


def test_convergence_is_read_from_learning_curves() -> None:
    test = {"arms": {"mad": 1, "autoregressive": -1}, "metrics": ["steps.detection.AP"], "table": "", "way": "down"}
    steps = {"shares": [0.3, 0.4, 0.5], "share": 0.39, "low": 0.3, "high": 0.5}
    trainings = {"mad-one-pass, mad": {"steps": steps}}
    reach = {"metric": "detection.AP", "target": "autoregressive", "trainings": trainings}

    def verdict_of(**details: Any) -> JudgedClaim:
        return judge(claim(test), {"mad-table2": msgspec.structs.replace(study()["mad-table2"], details=details)})

    fast = verdict_of(reach=reach)
    assert fast.verdict == "agrees"
    assert contrast_rows(fast)[0][:5] == [
        "mad / autoregressive",
        "steps: box AP",
        "lower",
        "0.39× (0.3× … 0.5×)",
        "mad-table2: 3 seeds, totals",
    ]
    assert verdict_of().verdict == verdict_of(reach={**reach, "target": "parallel"}).verdict == "not run"
    never = {"mad-one-pass, mad": {"steps": {"shares": [0.3, None, 0.5]}}}
    assert verdict_of(reach={**reach, "trainings": never}).verdict == "cannot tell", "a seed never gets there"


def test_many_contrasts_are_corrected_for() -> None:
    assert judged(0.05, 0.01, 0.09, p_holm=0.04).verdict == "agrees"
    assert judged(0.05, 0.01, 0.09, p_holm=0.06).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("margin", "ends", "expected"),
    [
        ({"within": 0.01}, (-0.009, 0.009), "agrees"),
        ({"within": 0.01}, (-0.009, 0.011), "cannot tell"),
        ({"within": 0.01}, (0.011, 0.02), "disagrees"),
        ({"within": 0.01}, (-0.02, -0.011), "disagrees"),
        ({"at_most": 0.01}, (-0.05, 0.009), "agrees"),
        ({"at_most": 0.01}, (0.0, 0.02), "cannot tell"),
        ({"at_most": 0.01}, (0.011, 0.02), "disagrees"),
    ],
)
def test_margins(margin: dict[str, float], ends: tuple[float, float], expected: Verdict) -> None:
    assert judged(sum(ends) / 2, *ends, test=margin).verdict == expected


def test_margins_of_times_are_ratios() -> None:
    both = {"metrics": ["time.total"], "within": 0.25}
    assert judged(1.0, 0.81, 1.24, test=both, key="time.total").verdict == "agrees"
    assert judged(1.0, 0.79, 1.24, test=both, key="time.total").verdict == "cannot tell"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["agrees", "agrees"], "agrees"),
        (["agrees", "cannot tell"], "cannot tell"),
        (["agrees", "agrees", "disagrees"], "disagrees"),
        (["agrees", "not run"], "cannot tell"),
        (["not run", "not run"], "not run"),
        ([], "not run"),
    ],
)
def test_a_claim_agrees_only_if_all_of_its_contrasts_do(verdicts: list[Verdict], expected: Verdict) -> None:
    assert overall(verdicts) == expected


def test_an_effect_below_the_resolution_is_named() -> None:
    small, large = judged(0.01, -0.1, 0.12, resolvable=0.15), judged(0.01, -0.1, 0.12, resolvable=0.05)
    assert contrast_rows(small)[0][5:] == [
        "15.0",
        "cannot tell: the paper's effect is smaller than this study resolves",
    ]
    assert contrast_rows(large)[0][5:] == ["5.0", "cannot tell"]
    assert (detail(small), detail(large)) == ("1 of 1 effects smaller than the study resolves", "")
    margin = {"within": 0.01}
    assert judged(0.0, -0.02, 0.02, test=margin, resolvable=0.03).contrasts[0].unresolved == "margin"
    assert judged(0.0, -0.009, 0.009, test=margin, resolvable=0.013).contrasts[0].unresolved == "", "it agrees"
    slow = {"metrics": ["time.total"], "arms": {"mad": 1, "mad-one-pass": -1}}
    time = {"key": "time.total", "arms": {"mad": 1.0, "mad-one-pass": -1.0}}
    assert judged(1.2, 1.1, 1.4, test=slow, resolvable=1.3, **time).contrasts[0].unresolved == "paper's effect"
    assert judged(1.2, 1.1, 1.4, test=slow, resolvable=1.2, **time).contrasts[0].unresolved == ""


def test_a_report_of_other_runs_decides_nothing() -> None:
    report = report_data()
    none = judge(claim(), {}, report)
    assert none.verdict == "not run", "runs decide no claim"
    decided = judge(claim(), study(result(-0.05, -0.09, -0.01)), report)
    assert decided.verdict == "disagrees" and runs_text(decided.contrasts[0]) == "+10.0 (+8.0 … +12.0)"
    few = judge(claim(), study(result(-0.05, -0.09, -0.01)), report_data(runs=report.runs[:1]))
    assert few.verdict == "disagrees" and runs_text(few.contrasts[0]) == ""
    time = {"metrics": ["time.total"], "arms": {"autoregressive": 1, "parallel": -1}}
    assert runs_text(judge(claim(time), {}, report).contrasts[0]).startswith("4×")


def test_words_of_a_claim() -> None:
    mixed = judge(claim({}, {"metrics": ["keypoints.AP"]}), study(result(0.05, 0.01, 0.09, seeds=5, images=1000)))
    assert mixed.verdict == "cannot tell" and detail(mixed) == "of 2 contrasts 1 agrees and 1 not run"
    assert paper_text(mixed) == (
        "box AP: parallel 35.9, autoregressive 27.9; kpt AP: parallel 51.5, autoregressive 33.4."
    )
    first, second = contrast_rows(mixed)
    assert first[:5] == [
        "parallel − autoregressive",
        "box AP",
        "+8.0",
        "+5.0 (+1.0 … +9.0)",
        "mad-table2: these weights, 1,000 images",
    ]
    assert second[3] == "`python -m bench study mad-table2`"
    trained = judge(claim(), study(result(0.05, 0.01, 0.09, scope="method", seeds=5, images=1000)))
    assert contrast_rows(trained)[0][4] == "mad-table2: 5 seeds, 1,000 images"
    codec = {"study": "ait-depth-ratio-codec", "table": "ait-7", "arms": {"8": 1, "16": -1}, "metrics": ["depth.rmse"]}
    assert contrast_rows(judge(claim(codec), {}))[0][1:3] == ["reconstruction RMSE m", "−0.0181"]


def test_an_interaction_is_written_as_a_difference_of_differences() -> None:
    arms = {"mad": 1.0, "parallel": -1.0, "mad detection": -1.0, "parallel detection": 1.0}
    assert arms_text(arms, ratio=False) == "(mad − parallel) − (mad detection − parallel detection)"
    assert arms_text({"parallel": -1, "mad": 1}, ratio=True) == "mad / parallel"


def test_the_summary_counts_and_every_claim_is_on_the_page() -> None:
    everything = judge_all(study(result(0.05, 0.01, 0.09)))
    page = claims_page(everything)
    assert summary(everything).startswith(f"Of {len(everything)} claims of the two papers 0 agree, 0 disagree, ")
    for entry in everything:
        assert f"## {entry.claim.statement}" in page and entry.claim.statement in readme_block(everything)
        assert all(" | ".join(row) in page for row in contrast_rows(entry))
    one = judge(claim(), study(result(0.05, 0.01, 0.09)))
    assert summary([one, judge(claim(), {})]) == (
        "Of 2 claims of the two papers 1 agrees, 0 disagree, 0 are undecided and 1 was not run"
    )
