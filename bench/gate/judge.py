"""The gate: each metric and time ratio of a run against its baseline, answered pass, fail or cannot tell.

A loss fails where it is beyond its tolerance and not by chance, and passes where its interval excludes one that would
matter. Anything else, and every time that was measured under conditions that allow no answer, is "cannot tell".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.compare.comparability import DECIDING, SETTINGS, busy, differences, settings
from bench.compare.runs import headline
from bench.gate.gated_run import CALIBRATION, REFERENCE, Measured, tokenizer, was_busy
from bench.gate.thresholds import Bound, Thresholds
from bench.stats import bootstrap
from bench.stats.pairing import pieces
from bench.stats.permutation import holm, sign_flips_above
from bench.stats.time_ratio import block_means, log_ratios, ratio_of
from bench.system.environment import hardware_differences
from results.baseline import Baseline
from results.gate_report import Line, Verdict
from results.record import Key
from tasks.errors import TaskError
from tasks.metrics.unpacking import unpack

EXACT = 1e-9  # difference of two scores that are the same
DRIFT = 0.05  # change of the machine's speed during a run, beyond which its calibration says nothing


@dataclass(frozen=True)
class Finding:
    """One line before p values are corrected.

    Args:
        decoder: strategy, with mode and batch where they are told apart.
        name: what was looked at.
        kind: ``accuracy`` or ``speed``.
        bound: what is tolerated; None where nothing could be computed.
        blocked: why nothing could be computed.
        same: whether run and baseline are equal, so that nothing has to be computed.
        broken: why it fails without a computation.
        doubts: conditions under which a slowdown is not believed.
        void: conditions under which the time says nothing, neither good nor bad.
        before: as in ``Line``.
        now: as in ``Line``.
        loss: as in ``Line``.
        low: as in ``Line``.
        high: as in ``Line``.
        p: one-sided, not corrected.
        detectable: as in ``Line``.
    """

    decoder: str
    name: str
    kind: str
    bound: Bound | None = None
    blocked: str | None = None
    same: bool = False
    broken: str | None = None
    doubts: Sequence[str] = field(default_factory=tuple)
    void: Sequence[str] = field(default_factory=tuple)
    before: float | None = None
    now: float | None = None
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None


def judge(runs: Mapping[str, Measured], baselines: Mapping[str, Baseline | None], thresholds: Thresholds) -> list[Line]:
    """Answers for every run that has, or should have, a baseline.

    Args:
        runs: name of a run (``mad``, ``mad.graphed``) to it.
        baselines: name to baseline; None where there is none.
        thresholds: what is tolerated.
    """
    findings: list[Finding] = []
    for name, baseline in baselines.items():
        if baseline is None:
            findings.append(Finding(name, "baseline", "accuracy", blocked="there is no baseline; --update-baseline"))
        elif name not in runs:
            findings.append(Finding(name, "run", "accuracy", blocked="it did not run"))
        else:
            findings += accuracy(runs[name], baseline, thresholds)
            findings += speed(runs[name], baseline, thresholds)
    return [
        _line(finding, adjusted, thresholds.alpha)
        for finding, adjusted in zip(findings, holm([finding.p for finding in findings]), strict=True)
    ]


def accuracy(run: Measured, baseline: Baseline, thresholds: Thresholds) -> list[Finding]:
    """Each task's headline metrics; the tables are compared only where predictions differ."""
    decoder, record = baseline.run_name, run.record
    if str(record.data["hash"]) != baseline.data:
        return [Finding(decoder, "accuracy", "accuracy", blocked="the baseline is of other data")]
    if (why := _other_settings(run, baseline, DECIDING)) is not None:
        return [Finding(decoder, "accuracy", "accuracy", blocked=why)]
    found = []
    for task, values in baseline.metrics.items():
        names = [name for name in headline(task) or values if values.get(name) is not None]
        if task not in record.metrics:
            found += [Finding(decoder, f"{task} {n}", "accuracy", blocked="the task did not run") for n in names]
        elif task == "captioning" and tokenizer(record) != baseline.tokenizer:
            why = f"tokenized by {tokenizer(record)}, the baseline by {baseline.tokenizer}"
            found += [Finding(decoder, f"{task} {n}", "accuracy", blocked=why) for n in names]
        else:
            found += _metrics(run, baseline, thresholds, task, names)
    return found


def _metrics(
    run: Measured, baseline: Baseline, thresholds: Thresholds, task: str, names: Sequence[str]
) -> list[Finding]:
    def finding(name: str, **members: object) -> Finding:
        values = {"before": baseline.metrics[task][name], "now": run.record.metrics[task].get(name)}
        bound = thresholds.metric(task, name)
        return Finding(baseline.run_name, f"{task} {name}", "accuracy", bound, **(values | members))  # type: ignore[arg-type]

    def equal(name: str) -> Finding:
        """The same predictions must have the same score, unless its computation changed."""
        before, now = baseline.metrics[task][name], run.record.metrics[task].get(name)
        if before == now or (before is not None and now is not None and abs(now - before) <= EXACT):
            return finding(name, same=True)
        return finding(name, broken="the same predictions score otherwise: the metric's computation changed")

    if run.record.checksum == baseline.checksum:
        return [equal(name) for name in names]
    if task not in run.tables or task not in baseline.tables:
        return [finding(name, blocked="the metric keeps no per-image table") for name in names]
    if run.tables[task].pack() == baseline.tables[task]:
        return [equal(name) for name in names]
    try:
        old, new = unpack(baseline.tables[task]), run.tables[task]
        differences = bootstrap.paired(new, old, names=names, resamples=thresholds.resamples, seed=thresholds.seed)
    except TaskError as error:
        return [finding(name, blocked=str(error)) for name in names]
    found = []
    for name in names:
        gain = differences.get(name)  # baseline minus run: a loss where more is better
        if gain is None:
            found.append(finding(name, blocked="it cannot be resampled"))
            continue
        sign = -1 if name in new.lower else 1
        ends = sorted((sign * gain.low, sign * gain.high))
        p = bootstrap.beyond(sign * gain.draws, sign * gain.value, thresholds.metric(task, name).tolerance)
        loss = {"loss": sign * gain.value, "low": ends[0], "high": ends[1], "p": p, "detectable": gain.detectable}
        found.append(finding(name, **loss))
    return found


def speed(run: Measured, baseline: Baseline, thresholds: Thresholds) -> list[Finding]:
    """Total and decoding time, each as a ratio to ``parallel`` and to the calibration workload of the same run."""
    found = []
    for against in (REFERENCE, CALIBRATION):
        if against == REFERENCE and baseline.decoder == REFERENCE:
            continue
        for part in ("total", "decode"):
            found.append(_ratio(run, baseline, thresholds, against, part))
    return found


def _ratio(run: Measured, baseline: Baseline, thresholds: Thresholds, against: str, part: str) -> Finding:
    name = f"{part} time / {against}"
    same_hardware = not hardware_differences(run.record.environment, baseline.environment)
    why = _not_comparable(run, baseline, against)
    if why is not None:
        return Finding(baseline.run_name, name, "speed", blocked=why)
    keys = _common(run, baseline)
    now, before = (_logs(one, against, part, keys) for one in (run, baseline))
    logs = now - before  # (I,) how much slower each image became, as logarithm
    whole = pieces(*(_pieces(one, keys) for one in (run, baseline)))
    bound, ratio = thresholds.time(against, same_hardware=same_hardware), ratio_of(logs, whole)
    return Finding(
        baseline.run_name,
        name,
        "speed",
        bound,
        doubts=_doubts(run, baseline),
        void=_void(run, baseline, against),
        before=float(np.exp(before.mean())),
        now=float(np.exp(now.mean())),
        loss=ratio.value - 1,
        low=ratio.low - 1,
        high=ratio.high - 1 if np.isfinite(ratio.high) else None,
        p=sign_flips_above(block_means(logs, whole), float(np.log1p(bound.tolerance)), seed=thresholds.seed),
        detectable=ratio.detectable if np.isfinite(ratio.detectable) else None,
    )


def _common(run: Measured, baseline: Baseline) -> list[Key]:
    """Images, and repetitions of them, that both have: runs for times alone repeat as many as there is time for."""
    known = set(baseline.images)
    return [key for key in run.images if key in known]


def _pieces(one: Measured | Baseline, keys: Sequence[Key]) -> list[int]:
    place = {key: number for number, key in enumerate(one.images)}
    return [one.pieces[place[key]] if one.pieces else place[key] for key in keys]


def _logs(one: Measured | Baseline, against: str, part: str, keys: Sequence[Key]) -> bootstrap.Array:
    place = {key: number for number, key in enumerate(one.images)}
    beside = one.against[against]
    logs = log_ratios(beside.get(part, beside["total"]), one.decode_ms if part == "decode" else one.total_ms)
    return logs[[place[key] for key in keys]]


def _not_comparable(run: Measured, baseline: Baseline, against: str) -> str | None:
    if (why := _other_work(run, baseline)) is not None:
        return why
    if bool(run.record.environment.get("gpu")) != bool(baseline.environment.get("gpu")):
        return "one of run and baseline had a GPU, the other had none"
    for one, words in ((run, "this run"), (baseline, "the baseline")):
        if against not in one.against:
            return f"{against} was not measured in {words}"
    if min(*run.total_ms, *run.decode_ms, *baseline.total_ms, *baseline.decode_ms) <= 0:
        return "an image has no time"
    return None


def _other_work(run: Measured, baseline: Baseline) -> str | None:
    """Why run and baseline had not the same to do."""
    if str(run.record.data["hash"]) != baseline.data:
        return "the baseline is of other data"
    same = list(run.images) == list(baseline.images)
    if not same and not (run.record.options.get("speed_only") and _common(run, baseline)):
        return "the baseline is of other images"
    if set(run.record.tasks) != set(baseline.ran):
        return f"measured with other tasks ({', '.join(run.record.tasks)}; baseline {', '.join(baseline.ran)})"
    return _other_settings(run, baseline, SETTINGS)


def _other_settings(run: Measured, baseline: Baseline, names: Sequence[str]) -> str | None:
    found = differences(settings(run.record), baseline.settings)
    told = [f"{name} {now}, baseline {before}" for name, (now, before) in found.items() if name in names]
    return f"measured with other settings ({'; '.join(told)})" if told else None


def _doubts(run: Measured, baseline: Baseline) -> list[str]:
    """Why a slowdown is not believed."""
    found = [reason] if (reason := busy(run.record)) is not None else []
    before = was_busy(baseline)
    return found if before is None else [*found, f"when the baseline was measured, {before}"]


def _void(run: Measured, baseline: Baseline, against: str) -> list[str]:
    """Why a ratio says nothing about the decoder."""
    found = []
    if run.record.latency.sittings > 1:
        found.append("the run was interrupted and resumed")
    if against == REFERENCE:
        apart = [words for one, words in ((run, "this run"), (baseline, "the baseline")) if not one.together]
        found += [f"in {words} the decoders did not take turns" for words in apart]
    elif run.drift is not None:  # the calibration was not measured image by image
        if abs(run.drift) > DRIFT:
            found.append(f"the machine's speed changed by {100 * run.drift:+.0f} % during the run")
        found += [reason for reason in (busy(run.record),) if reason]
    return found


def _line(finding: Finding, adjusted: float | None, alpha: float) -> Line:
    verdict, reason = _answer(finding, adjusted, alpha)
    return Line(
        decoder=finding.decoder,
        name=finding.name,
        kind="speed" if finding.kind == "speed" else "accuracy",
        verdict=verdict,
        reason=reason,
        before=finding.before,
        now=finding.now,
        loss=0.0 if finding.same else finding.loss,
        low=finding.low,
        high=finding.high,
        p=adjusted,
        detectable=finding.detectable,
    )


def _answer(finding: Finding, adjusted: float | None, alpha: float) -> tuple[Verdict, str]:
    if finding.blocked is not None:
        return "cannot tell", finding.blocked
    if finding.same or finding.broken:
        return ("fail", finding.broken) if finding.broken else ("pass", "the same predictions")
    bound, adjusted = finding.bound or Bound(0, 1), 1.0 if adjusted is None else adjusted
    scale, unit = (100, " %") if finding.kind == "speed" else (1, "")
    loss, high = finding.loss or 0.0, np.inf if finding.high is None else finding.high
    what = "slower" if finding.kind == "speed" else "worse"
    if finding.void:
        return "cannot tell", "; ".join(finding.void)
    if adjusted < alpha:
        told = f"{what} by {scale * loss:.3g}{unit}, surely more than {scale * bound.tolerance:.3g}{unit}"
        return ("cannot tell", f"{told}, but {'; '.join(finding.doubts)}") if finding.doubts else ("fail", told)
    if high <= bound.limit:
        return "pass", f"at most {scale * max(high, 0):.3g}{unit} {what}"
    told = f"it may be {what} by {scale * high:.3g}{unit}, {scale * bound.limit:.3g}{unit} has to be excluded"
    return "cannot tell", "; ".join([told, *finding.doubts])
