"""Judge each metric and time ratio of a run against its baseline: pass, fail or cannot tell.

A loss fails if it is significantly beyond its tolerance, and passes if its interval excludes the limit. Everything
else, and every time measured under conditions that allow no answer, is "cannot tell".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.compare.comparability import DECIDING, SETTINGS, busy, differences, settings
from bench.gate.gated_run import CALIBRATION, REFERENCE, GatedRun, tokenizer, was_busy
from bench.gate.thresholds import Bound, Thresholds
from bench.registry import headline
from bench.stats import bootstrap
from bench.stats.multiple_comparisons import holm
from bench.stats.pairing import measurement_blocks
from bench.stats.permutation import sign_flips_above
from bench.stats.time_ratio import block_means, log_ratios, ratio_of
from bench.system.environment import hardware_differences
from results.baseline import Baseline
from results.gate_report import Line, Verdict
from results.record import Key
from tasks.errors import TaskError
from tasks.metrics.unpacking import unpack

EXACT = 1e-9  # largest difference of equal scores
DRIFT = 0.05  # change of the machine's speed during a run, beyond which its calibration says nothing


@dataclass(frozen=True)
class GateCheck:
    """One metric or time ratio before p values are corrected.

    Args:
        decoder: name of the run.
        name: name of the metric or ratio.
        kind: ``accuracy`` or ``speed``.
        bound: what is tolerated; None where nothing could be computed.
        blocked: why nothing could be computed.
        same: whether run and baseline are equal, so that nothing has to be computed.
        broken: why it fails without a computation.
        doubts: conditions under which a slowdown is not believed.
        invalid_because: conditions under which the time means nothing, neither good nor bad.
        before, now, loss, low, high, detectable: as in ``Line``.
        p: one-sided, not corrected.
    """

    decoder: str
    name: str
    kind: Literal["accuracy", "speed"]
    bound: Bound | None = None
    blocked: str | None = None
    same: bool = False
    broken: str | None = None
    doubts: Sequence[str] = field(default_factory=tuple)
    invalid_because: Sequence[str] = field(default_factory=tuple)
    before: float | None = None
    now: float | None = None
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None


def judge(runs: Mapping[str, GatedRun], baselines: Mapping[str, Baseline | None], thresholds: Thresholds) -> list[Line]:
    """Return the answers for every run that has, or should have, a baseline.

    Args:
        runs: name to run.
        baselines: name to baseline; None where there is none.
        thresholds: what is tolerated.
    """
    other_data = [n for n, b in baselines.items() if b and n in runs and str(runs[n].record.data["hash"]) != b.data]
    checks: list[GateCheck] = []
    if other_data:
        checks.append(GateCheck(", ".join(other_data), "accuracy", "accuracy", blocked="the baseline is of other data"))
    for name, baseline in baselines.items():
        if baseline is None:
            checks.append(GateCheck(name, "baseline", "accuracy", blocked="there is no baseline; --update-baseline"))
        elif name not in runs:
            checks.append(GateCheck(name, "run", "accuracy", blocked="it did not run"))
        elif name not in other_data:
            checks += accuracy(runs[name], baseline, thresholds)
            checks += speed(runs[name], baseline, thresholds)
    adjusted = holm([check.p for check in checks])
    return [_line(check, p, thresholds.alpha) for check, p in zip(checks, adjusted, strict=True)]


def accuracy(run: GatedRun, baseline: Baseline, thresholds: Thresholds) -> list[GateCheck]:
    """Check each task's headline metrics; tables are resampled only where predictions differ."""
    decoder, record = baseline.run_name, run.record
    if str(record.data["hash"]) != baseline.data:
        return [GateCheck(decoder, "accuracy", "accuracy", blocked="the baseline is of other data")]
    if (reason := _other_settings(run, baseline, DECIDING)) is not None:
        return [GateCheck(decoder, "accuracy", "accuracy", blocked=reason)]
    checks = []
    for task, values in baseline.metrics.items():
        names = [name for name in headline(task) or values if values.get(name) is not None]
        blocked = None
        if task not in record.metrics:
            blocked = "the task did not run"
        elif task == "captioning" and tokenizer(record) != baseline.tokenizer:
            blocked = f"tokenized by {tokenizer(record)}, the baseline by {baseline.tokenizer}"
        if blocked is None:
            checks += _metrics(run, baseline, thresholds, task, names)
        else:
            checks += [GateCheck(decoder, f"{task} {name}", "accuracy", blocked=blocked) for name in names]
    return checks


def _metrics(
    run: GatedRun, baseline: Baseline, thresholds: Thresholds, task: str, names: Sequence[str]
) -> list[GateCheck]:
    plain = {
        name: GateCheck(
            baseline.run_name,
            f"{task} {name}",
            "accuracy",
            thresholds.metric(task, name),
            before=baseline.metrics[task][name],
            now=run.record.metrics[task].get(name),
        )
        for name in names
    }
    new, old = run.tables.get(task), baseline.tables.get(task)
    if run.record.checksum == baseline.checksum:
        return [_equal(check) for check in plain.values()]
    if new is None or old is None:
        return [replace(check, blocked="the metric keeps no per-image table") for check in plain.values()]
    if new.pack() == old:
        return [_equal(check) for check in plain.values()]
    try:
        gains = bootstrap.paired(new, unpack(old), names=names, resamples=thresholds.resamples, seed=thresholds.seed)
    except TaskError as error:
        return [replace(check, blocked=str(error)) for check in plain.values()]
    return [_loss(check, gains.get(name), lower=name in new.lower) for name, check in plain.items()]


def _equal(check: GateCheck) -> GateCheck:
    """Pass if equal predictions have equal scores; otherwise the metric's computation changed."""
    before, now = check.before, check.now
    if before == now or (before is not None and now is not None and abs(now - before) <= EXACT):
        return replace(check, same=True)
    return replace(check, broken="the same predictions score otherwise: the metric's computation changed")


def _loss(check: GateCheck, gain: bootstrap.Estimate | None, *, lower: bool) -> GateCheck:
    """Add the loss: baseline minus run, negated for metrics where lower is better."""
    if gain is None or check.bound is None:
        return replace(check, blocked="it cannot be resampled")
    sign = -1 if lower else 1
    low, high = sorted((sign * gain.low, sign * gain.high))
    p = bootstrap.beyond(sign * gain.draws, sign * gain.value, check.bound.tolerance)
    return replace(check, loss=sign * gain.value, low=low, high=high, p=p, detectable=gain.detectable)


def speed(run: GatedRun, baseline: Baseline, thresholds: Thresholds) -> list[GateCheck]:
    """Check total and decoding time, as ratios to ``parallel`` and to the calibration workload of the same run."""
    return [
        _ratio(run, baseline, thresholds, against, part)
        for against in (REFERENCE, CALIBRATION)
        if not against == baseline.decoder == REFERENCE
        for part in ("total", "decode")
    ]


def _ratio(run: GatedRun, baseline: Baseline, thresholds: Thresholds, against: str, part: str) -> GateCheck:
    name = f"{part} time / {against}"
    reason = _not_comparable(run, baseline, against)
    if reason is not None:
        return GateCheck(baseline.run_name, name, "speed", blocked=reason)
    keys = _common(run, baseline)
    now, before = (_logs(side, against, part, keys) for side in (run, baseline))
    slowdown = now - before  # (I,) logarithms, one per image
    blocks = measurement_blocks(*(_measurements(side, keys) for side in (run, baseline)))
    same_hardware = not hardware_differences(run.record.environment, baseline.environment)
    bound, ratio = thresholds.time(against, same_hardware=same_hardware), ratio_of(slowdown, blocks)
    return GateCheck(
        baseline.run_name,
        name,
        "speed",
        bound,
        doubts=_doubts(run, baseline),
        invalid_because=_invalid_because(run, baseline, against),
        before=float(np.exp(before.mean())),
        now=float(np.exp(now.mean())),
        loss=ratio.value - 1,
        low=ratio.low - 1,
        high=ratio.high - 1 if np.isfinite(ratio.high) else None,
        p=sign_flips_above(block_means(slowdown, blocks), float(np.log1p(bound.tolerance)), seed=thresholds.seed),
        detectable=ratio.detectable if np.isfinite(ratio.detectable) else None,
    )


def _common(run: GatedRun, baseline: Baseline) -> list[Key]:
    """Return the sample keys of both: runs for speed alone repeat images as often as time allows."""
    stored = set(baseline.images)
    return [key for key in run.images if key in stored]


def _positions(side: GatedRun | Baseline, keys: Sequence[Key]) -> list[int]:
    position = {key: number for number, key in enumerate(side.images)}
    return [position[key] for key in keys]


def _measurements(side: GatedRun | Baseline, keys: Sequence[Key]) -> list[int]:
    return [side.measurements[n] if side.measurements else n for n in _positions(side, keys)]


def _logs(side: GatedRun | Baseline, against: str, part: str, keys: Sequence[Key]) -> NDArray[np.float64]:
    times = side.against[against]
    logs = log_ratios(times.get(part, times["total"]), side.decode_ms if part == "decode" else side.total_ms)
    return logs[_positions(side, keys)]


def _not_comparable(run: GatedRun, baseline: Baseline, against: str) -> str | None:
    if (reason := _other_work(run, baseline)) is not None:
        return reason
    if bool(run.record.environment.get("gpu")) != bool(baseline.environment.get("gpu")):
        return "one of run and baseline had a GPU, the other had none"
    for side, words in ((run, "this run"), (baseline, "the baseline")):
        if against not in side.against:
            return f"{against} was not measured in {words}"
    if min(*run.total_ms, *run.decode_ms, *baseline.total_ms, *baseline.decode_ms) <= 0:
        return "an image has no time"
    return None


def _other_work(run: GatedRun, baseline: Baseline) -> str | None:
    """Return why run and baseline did different work; None if they did the same."""
    if str(run.record.data["hash"]) != baseline.data:
        return "the baseline is of other data"
    same = list(run.images) == list(baseline.images)
    if not same and not (run.record.options.get("speed_only") and _common(run, baseline)):
        return "the baseline is of other images"
    if set(run.record.tasks) != set(baseline.ran):
        return f"measured with other tasks ({', '.join(run.record.tasks)}; baseline {', '.join(baseline.ran)})"
    return _other_settings(run, baseline, SETTINGS)


def _other_settings(run: GatedRun, baseline: Baseline, names: Sequence[str]) -> str | None:
    differing = differences(settings(run.record), baseline.settings)
    texts = [f"{name} {now}, baseline {before}" for name, (now, before) in differing.items() if name in names]
    return f"measured with other settings ({'; '.join(texts)})" if texts else None


def _doubts(run: GatedRun, baseline: Baseline) -> list[str]:
    """Return why a slowdown is not believed."""
    before = was_busy(baseline)
    reasons = [busy(run.record), None if before is None else f"when the baseline was measured, {before}"]
    return [reason for reason in reasons if reason is not None]


def _invalid_because(run: GatedRun, baseline: Baseline, against: str) -> list[str]:
    """Return why a ratio says nothing about the decoder."""
    reasons = []
    if run.record.latency.sittings > 1:
        reasons.append("the run was interrupted and resumed")
    if against == REFERENCE:
        sides = ((run, "this run"), (baseline, "the baseline"))
        reasons += [f"in {words} the decoders were not interleaved" for side, words in sides if not side.interleaved]
    elif run.drift is not None:  # the calibration was not measured image by image
        if abs(run.drift) > DRIFT:
            reasons.append(f"the machine's speed changed by {100 * run.drift:+.0f} % during the run")
        reasons += [reason for reason in (busy(run.record),) if reason]
    return reasons


def _line(check: GateCheck, adjusted: float | None, alpha: float) -> Line:
    verdict, reason = _answer(check, adjusted, alpha)
    return Line(
        decoder=check.decoder,
        name=check.name,
        kind=check.kind,
        verdict=verdict,
        reason=reason,
        before=check.before,
        now=check.now,
        loss=0.0 if check.same else check.loss,
        low=check.low,
        high=check.high,
        p=adjusted,
        detectable=check.detectable,
    )


def _answer(check: GateCheck, adjusted: float | None, alpha: float) -> tuple[Verdict, str]:
    if check.blocked is not None:
        return "cannot tell", check.blocked
    if check.broken or check.same:
        return ("fail", check.broken) if check.broken else ("pass", "the same predictions")
    if check.invalid_because:
        return "cannot tell", "; ".join(check.invalid_because)
    bound, adjusted = check.bound or Bound(0, 1), 1.0 if adjusted is None else adjusted
    scale, unit, worse = (100, " %", "slower") if check.kind == "speed" else (1, "", "worse")
    loss, high = check.loss or 0.0, np.inf if check.high is None else check.high
    if adjusted < alpha:
        reason = f"{worse} by {scale * loss:.3g}{unit}, surely more than {scale * bound.tolerance:.3g}{unit}"
        return ("cannot tell", f"{reason}, but {'; '.join(check.doubts)}") if check.doubts else ("fail", reason)
    if high <= bound.limit:
        return "pass", f"at most {scale * max(high, 0):.3g}{unit} {worse}"
    reason = f"it may be {worse} by {scale * high:.3g}{unit}, {scale * bound.limit:.3g}{unit} has to be excluded"
    return "cannot tell", "; ".join([reason, *check.doubts])
