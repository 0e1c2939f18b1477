"""Hold the papers' claims against our numbers: an interval decides each part, the parts decide the claim.

A part is one of

- ``better``: ``second`` is better than ``first`` in ``key`` (faster, for ``time.total``);
- ``best``: no setting of an ablation beats ``point``, and it beats at least one;
- ``flat``: no setting is further than ``margin`` from ``reference``;
- ``enough``: ``more`` gains less than ``margin`` over ``point``.

A part with ``"required": true`` covers a half of the claim that no other part covers: the claim stays open until that
part is run and decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reports import findings
from reports.metrics import ShownMetric, metric
from reports.report_data import AVERAGE, TIME, Interval, MetricDifference, ReportData
from results.published import Claim
from results.study import Outcome

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]


VERDICTS: tuple[Verdict, ...] = ("agrees", "disagrees", "cannot tell", "not run")


@dataclass(frozen=True)
class PartVerdict:
    """Verdict of one part and the numbers behind it."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict.

    Args:
        claim: the claim.
        verdict: of the whole.
        parts: verdicts of its parts, each distinct one once.
        on: data of our numbers, if it differs from that of the report's runs.
        detail: verdicts of the parts in words, if they differ.
    """

    claim: Claim
    verdict: Verdict
    parts: Sequence[PartVerdict]
    on: str = ""
    detail: str = ""


def judge(claim: Claim, report: ReportData) -> JudgedClaim:
    """Judge a claim by the runs and ablations of a report."""
    parts = [_part(part, report) for part in claim.parts]
    distinct = list(dict.fromkeys(parts))  # parts that lack the same run give the same evidence
    verdicts = [part.verdict for part in parts]
    required = [part.verdict for part, given in zip(parts, claim.parts, strict=True) if given.get("required")]
    return JudgedClaim(claim, overall(verdicts, required), distinct, _elsewhere(claim, report), _detail(verdicts))


def overall(verdicts: Sequence[Verdict], required: Sequence[Verdict] = ()) -> Verdict:
    """The verdict of a claim: at least half of the parts that were run must be decided, all the same way.

    With required parts, all of them must agree; one that disagrees decides against the claim.
    """
    if required:
        return _of_required(required)
    run = [verdict for verdict in verdicts if verdict != "not run"]
    ways: tuple[tuple[Verdict, Verdict], ...] = (("agrees", "disagrees"), ("disagrees", "agrees"))
    for verdict, other in ways:
        if verdict in run and other not in run and 2 * run.count(verdict) >= len(run):
            return verdict
    return "cannot tell" if run else "not run"


def _of_required(required: Sequence[Verdict]) -> Verdict:
    if "disagrees" in required:
        return "disagrees"
    if "not run" in required:
        return "not run"
    return "agrees" if all(verdict == "agrees" for verdict in required) else "cannot tell"


def _detail(verdicts: Sequence[Verdict]) -> str:
    """``mixed: 1 of 3 parts agrees, 2 disagree`` if parts contradict each other, else how many were not run."""
    agree, against, absent = (verdicts.count(kind) for kind in ("agrees", "disagrees", "not run"))
    if agree and against:
        verb, other = ("agrees" if agree == 1 else "agree"), ("disagrees" if against == 1 else "disagree")
        return f"mixed: {agree} of {len(verdicts)} parts {verb}, {against} {other}"
    if absent and absent < len(verdicts):
        return f"{absent} of {len(verdicts)} parts {'was' if absent == 1 else 'were'} not run"
    return ""


def _part(part: Mapping[str, Any], report: ReportData) -> PartVerdict:
    outcome = report.outcomes.get(part.get("ablation", ""))
    if "ablation" in part and outcome is None:
        return PartVerdict("not run", f"run `{_command(part['ablation'])}`")
    key = str(part["key"])
    shown = _shown(key)
    match part["kind"]:
        case "better":
            difference = _between(part["first"], part["second"], key, report, outcome)
            return difference if isinstance(difference, PartVerdict) else _better(difference, shown)
        case "best":
            return _best(part["point"], key, shown, report, outcome)
        case "flat":
            return _flat(part, shown, report, outcome)
        case _:
            difference = _between(part["point"], part["more"], key, report, outcome)
            return (
                difference if isinstance(difference, PartVerdict) else _enough(difference, float(part["margin"]), shown)
            )


def _command(ablation: str) -> str:
    return f"python -m bench study {ablation}"


def _missing(names: Sequence[str], outcome: Outcome | None, report: ReportData) -> str:
    """Names that were not run, and the command that runs them."""
    sentence = f"{findings.joined(names)} {'were' if len(names) > 1 else 'was'} not run"
    if outcome is not None:
        return f"{sentence}; run `{_command(outcome.name)}`"
    preset = report.runs[0].record["preset"]
    return f"{sentence}; run `python -m bench run --decoder {','.join(names)} --preset {preset}`"


def _shown(key: str) -> ShownMetric | None:
    return None if key in (TIME, AVERAGE) else metric(*key.split(".", 1))


def _between(
    first: str, second: str, key: str, report: ReportData, outcome: Outcome | None
) -> MetricDifference | PartVerdict:
    """The difference, or the part's verdict if there is none; p is dropped, as each part was asked beforehand."""
    labels = {run.decoder: run.label for run in reversed(report.runs)}
    points = set(labels) if outcome is None else set(outcome.points)
    absent = [name for name in (first, second) if name not in points]
    if absent:
        return PartVerdict("not run", _missing(absent, outcome, report))
    if outcome is not None:
        difference = between(outcome, first, second, key)
    else:
        difference = report.statistics.between(labels[first], labels[second], key)
        difference = None if difference is None else replace(difference, first=first, second=second, p=None)
    if difference is None:
        return PartVerdict("cannot tell", f"{first} and {second}: no interval for {key}")
    return difference


def between(outcome: Outcome, first: str, second: str, key: str) -> MetricDifference | None:
    """``second`` against ``first`` in an ablation, not significant if seeds disagree; None if not compared."""
    for pair in outcome.differences:
        if pair.key == key and {pair.first, pair.second} == {first, second}:
            interval = Interval(pair.low, pair.high)
            if pair.agreeing is False:  # the seeds contradict each other
                interval = Interval(min(pair.low, 0.0), max(pair.high, 0.0)) if key != TIME else Interval(0.0, 2.0)
            difference = MetricDifference(
                first=pair.first, second=pair.second, key=key, value=pair.value, interval=interval
            )
            return difference if difference.first == first else difference.swapped()
    return None


def _better(difference: MetricDifference, shown: ShownMetric | None) -> PartVerdict:
    """Whether the second run of a difference is better."""
    up = True if shown is None else shown.higher
    no_difference = 1.0 if difference.key == TIME else 0.0
    if not difference.significant:
        return PartVerdict("cannot tell", _sentence(difference, shown))
    return PartVerdict(
        "agrees" if (difference.value > no_difference) == up else "disagrees", _sentence(difference, shown)
    )


def _best(point: str, key: str, shown: ShownMetric | None, report: ReportData, outcome: Outcome | None) -> PartVerdict:
    if outcome is None or point not in outcome.points:
        return PartVerdict("not run", _missing([point], outcome, report))
    beaten, verdicts, evidence = 0, [], []
    for other in outcome.points:
        difference = None if other == point else _between(other, point, key, report, outcome)
        if isinstance(difference, MetricDifference):
            part = _better(difference, shown)
            verdicts.append(part.verdict)
            evidence.append(part.evidence)
            beaten += part.verdict == "agrees"
    if not verdicts:
        return PartVerdict("cannot tell", f"{point}: no interval for {key}")
    ahead = _ahead(point, key, shown, outcome)
    text = "; ".join(evidence)
    if "disagrees" in verdicts:
        return PartVerdict("disagrees", text)
    return PartVerdict("agrees" if beaten and not ahead else "cannot tell", text)


def _ahead(point: str, key: str, shown: ShownMetric | None, outcome: Outcome) -> list[str]:
    """Settings with a better value, significant or not."""
    higher = True if shown is None else bool(shown.higher)
    value = outcome.points[point].values.get(key)
    values = {name: each.values[key] for name, each in outcome.points.items() if key in each.values and name != point}
    return (
        []
        if value is None
        else [name for name, other in values.items() if (other > value if higher else other < value)]
    )


def _flat(
    part: Mapping[str, Any], shown: ShownMetric | None, report: ReportData, outcome: Outcome | None
) -> PartVerdict:
    reference, margin, key = part["reference"], float(part["margin"]), str(part["key"])
    if outcome is None or reference not in outcome.points:
        return PartVerdict("not run", _missing([reference], outcome, report))
    differences = [between(outcome, reference, other, key) for other in outcome.points if other != reference]
    present = [difference for difference in differences if difference is not None]
    if not present:
        return PartVerdict("cannot tell", f"{reference}: no interval for {key}")
    text = "; ".join(_sentence(difference, shown) for difference in present)
    if any(difference.interval.low > margin or difference.interval.high < -margin for difference in present):
        return PartVerdict("disagrees", text)
    within = all(-margin < difference.interval.low and difference.interval.high < margin for difference in present)
    return PartVerdict("agrees" if within and len(present) == len(differences) else "cannot tell", text)


def _enough(difference: MetricDifference, margin: float, shown: ShownMetric | None) -> PartVerdict:
    gain = difference if shown is None or shown.higher else difference.swapped()
    if gain.interval.high < margin:
        return PartVerdict("agrees", _sentence(difference, shown))
    return PartVerdict("disagrees" if gain.interval.low > margin else "cannot tell", _sentence(difference, shown))


def _sentence(difference: MetricDifference, shown: ShownMetric | None) -> str:
    if difference.key == TIME:
        return f"{difference.second} is {findings.ratio(difference)} times as fast as {difference.first}"
    return f"{difference.second} against {difference.first}: {findings.points(difference, shown)}"


def _elsewhere(claim: Claim, report: ReportData) -> str:
    """Data of a claim's ablations, if it differs from that of the report's runs."""
    report_hash = report.runs[0].record["data"].get("hash")
    outcomes = [report.outcomes[name] for part in claim.parts if (name := part.get("ablation", "")) in report.outcomes]
    sources = {
        f"{outcome.data.get('images', 'other')} images ({outcome.data['hash']})": None
        for outcome in outcomes
        if outcome.data.get("hash") not in (None, report_hash)
    }
    return f"on other data than these runs: {', '.join(sources)}" if sources else ""
