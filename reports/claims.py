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
from reports.metrics import Metric, metric
from reports.report_data import AVERAGE, TIME, Interval, MetricDifference, ReportData
from results.ablation import Outcome
from results.published import Claim

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]


VERDICTS: tuple[Verdict, ...] = ("agrees", "disagrees", "cannot tell", "not run")


@dataclass(frozen=True)
class PartVerdict:
    """Outcome of one part: the verdict and what it rests on."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its outcome.

    Args:
        claim: the claim.
        verdict: of the whole.
        parts: of its parts.
        on: what our numbers are of, where they are of other data than the report's runs.
        detail: how the parts came out, where the verdict alone hides it.
    """

    claim: Claim
    verdict: Verdict
    parts: Sequence[PartVerdict]
    on: str = ""
    detail: str = ""


def judge(claim: Claim, report: ReportData) -> JudgedClaim:
    """Hold a claim against the runs and ablations of a report."""
    parts = [_part(part, report) for part in claim.parts]
    told = list(dict.fromkeys(parts))  # parts that lack the same run say so once
    verdicts = [part.verdict for part in parts]
    required = [part.verdict for part, given in zip(parts, claim.parts, strict=True) if given.get("required")]
    return JudgedClaim(claim, overall(verdicts, required), told, _elsewhere(claim, report), _detail(verdicts))


def overall(verdicts: Sequence[Verdict], required: Sequence[Verdict] = ()) -> Verdict:
    """The whole from its parts: half of those that were run must be decided, and all decided ones the same way.

    A claim agrees only where its required parts do; one of them that disagrees is enough to disagree.
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
    """``mixed: 1 of 3 parts agrees, 2 disagree`` where they contradict each other; how many were not run."""
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
            found = _between(part["first"], part["second"], key, report, outcome)
            return found if isinstance(found, PartVerdict) else _better(found, shown)
        case "best":
            return _best(part["point"], key, shown, report, outcome)
        case "flat":
            return _flat(part, shown, report, outcome)
        case _:
            found = _between(part["point"], part["more"], key, report, outcome)
            return found if isinstance(found, PartVerdict) else _enough(found, float(part["margin"]), shown)


# Studies and codec tables have commands of their own; all other ablations are ``ablate``'s.
STUDIES = {
    "soft-tokens": "soft-tokens",
    "parallel-study": "parallel-study",
    "codecs-depth": "codecs",
    "codecs-masks": "codecs",
}


def _command(ablation: str) -> str:
    return f"python -m bench {STUDIES.get(ablation, f'ablate {ablation}')}"


def _missing(names: Sequence[str], outcome: Outcome | None, report: ReportData) -> str:
    """What was not run, and the command that runs it."""
    told = f"{findings.joined(names)} {'were' if len(names) > 1 else 'was'} not run"
    if outcome is not None:
        return f"{told}; run `{_command(outcome.name)}`"
    preset = report.runs[0].record["preset"]
    return f"{told}; run `python -m bench run --decoder {','.join(names)} --preset {preset}`"


def _shown(key: str) -> Metric | None:
    return None if key in (TIME, AVERAGE) else metric(*key.split(".", 1))


def _between(
    first: str, second: str, key: str, report: ReportData, outcome: Outcome | None
) -> MetricDifference | PartVerdict:
    """The comparison, or the part's outcome where there is none. Each part is a question of its own, asked before."""
    labels = {run.decoder: run.label for run in reversed(report.runs)}
    points = set(labels) if outcome is None else set(outcome.points)
    absent = [name for name in (first, second) if name not in points]
    if absent:
        return PartVerdict("not run", _missing(absent, outcome, report))
    if outcome is not None:
        found = between(outcome, first, second, key)
    else:
        found = report.statistics.between(labels[first], labels[second], key)
        found = None if found is None else replace(found, first=first, second=second, p=None)
    if found is None:
        return PartVerdict("cannot tell", f"{first} and {second}: no interval for {key}")
    return found


def between(outcome: Outcome, first: str, second: str, key: str) -> MetricDifference | None:
    """``second`` against ``first`` in an ablation; None where seeds contradict each other or nothing was compared."""
    for one in outcome.differences:
        if one.key == key and {one.first, one.second} == {first, second}:
            interval = Interval(one.low, one.high)
            if one.agreeing is False:  # the seeds contradict each other: nothing can be told
                interval = Interval(min(one.low, 0.0), max(one.high, 0.0)) if key != TIME else Interval(0.0, 2.0)
            found = MetricDifference(first=one.first, second=one.second, key=key, value=one.value, interval=interval)
            return found if found.first == first else found.turned()
    return None


def _better(found: MetricDifference, shown: Metric | None) -> PartVerdict:
    """Whether the second of a comparison is better."""
    up = True if shown is None else shown.higher
    nothing = 1.0 if found.key == TIME else 0.0
    if not found.significant:
        return PartVerdict("cannot tell", _told(found, shown))
    return PartVerdict("agrees" if (found.value > nothing) == up else "disagrees", _told(found, shown))


def _best(point: str, key: str, shown: Metric | None, report: ReportData, outcome: Outcome | None) -> PartVerdict:
    if outcome is None or point not in outcome.points:
        return PartVerdict("not run", _missing([point], outcome, report))
    beaten, verdicts, evidence = 0, [], []
    for other in outcome.points:
        found = None if other == point else _between(other, point, key, report, outcome)
        if isinstance(found, MetricDifference):
            part = _better(found, shown)
            verdicts.append(part.verdict)
            evidence.append(part.evidence)
            beaten += part.verdict == "agrees"
    if not verdicts:
        return PartVerdict("cannot tell", f"{point}: no interval for {key}")
    ahead = _ahead(point, key, shown, outcome)
    told = "; ".join(evidence)
    if "disagrees" in verdicts:
        return PartVerdict("disagrees", told)
    return PartVerdict("agrees" if beaten and not ahead else "cannot tell", told)


def _ahead(point: str, key: str, shown: Metric | None, outcome: Outcome) -> list[str]:
    """Settings whose value is better, however little."""
    up = True if shown is None else bool(shown.higher)
    own = outcome.points[point].values.get(key)
    values = {name: each.values[key] for name, each in outcome.points.items() if key in each.values and name != point}
    return [] if own is None else [name for name, value in values.items() if (value > own if up else value < own)]


def _flat(part: Mapping[str, Any], shown: Metric | None, report: ReportData, outcome: Outcome | None) -> PartVerdict:
    reference, margin, key = part["reference"], float(part["margin"]), str(part["key"])
    if outcome is None or reference not in outcome.points:
        return PartVerdict("not run", _missing([reference], outcome, report))
    found = [between(outcome, reference, other, key) for other in outcome.points if other != reference]
    known = [one for one in found if one is not None]
    if not known:
        return PartVerdict("cannot tell", f"{reference}: no interval for {key}")
    told = "; ".join(_told(one, shown) for one in known)
    if any(one.interval.low > margin or one.interval.high < -margin for one in known):
        return PartVerdict("disagrees", told)
    within = all(-margin < one.interval.low and one.interval.high < margin for one in known)
    return PartVerdict("agrees" if within and len(known) == len(found) else "cannot tell", told)


def _enough(found: MetricDifference, margin: float, shown: Metric | None) -> PartVerdict:
    gain = found if shown is None or shown.higher else found.turned()
    if gain.interval.high < margin:
        return PartVerdict("agrees", _told(found, shown))
    return PartVerdict("disagrees" if gain.interval.low > margin else "cannot tell", _told(found, shown))


def _told(found: MetricDifference, shown: Metric | None) -> str:
    if found.key == TIME:
        return f"{found.second} is {findings.ratio(found)} times as fast as {found.first}"
    return f"{found.second} against {found.first}: {findings.points(found, shown)}"


def _elsewhere(claim: Claim, report: ReportData) -> str:
    """What data the ablations of a claim are of, where it is not the report's."""
    own = report.runs[0].record["data"].get("hash")
    outcomes = [report.outcomes[name] for part in claim.parts if (name := part.get("ablation", "")) in report.outcomes]
    other = {
        f"{outcome.data.get('images', 'other')} images ({outcome.data['hash']})": None
        for outcome in outcomes
        if outcome.data.get("hash") not in (None, own)
    }
    return f"on other data than these runs: {', '.join(other)}" if other else ""
