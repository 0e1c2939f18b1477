"""Explain why timings may be unreliable, for the record and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.system.host import BUSY_CORES
from results.record import Latency, Machine, Mode

CORE_SHARE = 0.9
"""Least share of the wall-clock time in which a run of one thread should have its core."""

CLOCKED_SHARE = 0.95
"""Least share of the total that the phases of an image should explain."""
OUTSIDE = ("read", "score", "loop", "calibration")
"""Phases outside the total."""


def timing_warnings(
    *,
    latency: Latency,
    machine: Machine,
    mode: Mode,
    environment: Mapping[str, Any],
    minimum: str = "",
    least: tuple[int, float] = (0, 0.0),
) -> list[str]:
    """Return one sentence for each reason to mistrust the times.

    Args:
        latency: times.
        machine: machine and load.
        mode: how the network was executed.
        environment: from ``describe_environment``.
        minimum: what had to be measured at least, where the budget ended first.
        least: images and measured seconds that are enough.
    """
    warnings = [*_host(latency, machine, environment), *_gpu(machine)]
    if latency.warm_up is not None and not latency.warm_up.stable:
        warnings.append(f"times had not settled after {latency.warm_up.images} images of warm-up")
    if (share := clocked_share(latency)) < CLOCKED_SHARE:
        warnings.append(f"the phases explain {100 * share:.0f} % of the measured time only: something is not timed")
    warnings += cut_short(minimum)
    measured = latency.total.n * latency.total.mean_ms / 1000
    if not minimum and (latency.total.n < least[0] or measured < least[1]):
        warnings.append(
            f"times are of {latency.total.n} images and {measured:.1f} s only; "
            f"take {least[0]} images and {least[1]:g} s at least"
        )
    warnings += [f"{mode.name}: {remark}" for remark in mode.remarks]
    if mode.different_tokens:
        warnings.append(
            f"{mode.name}: {mode.different_tokens} of {mode.checked_tokens} tokens differ from eager mode's"
        )
    if mode.different_images:
        warnings.append(
            f"{mode.name}: {mode.different_images} of {mode.compared_images} images have other tokens than in eager "
            "mode"
        )
    if len(latency.ranks) > 1:
        warnings.append(f"{len(latency.ranks)} processes measured at the same time")
    return warnings


def clocked_share(latency: Latency) -> float:
    """Return the share of the images' total that their phases explain; 1 where nothing was measured."""
    phases = sum(timing.mean_ms * timing.n for name, timing in latency.phases.items() if name not in OUTSIDE)
    total = latency.total.mean_ms * latency.total.n
    return phases / total if total else 1.0


def cut_short(minimum: str) -> list[str]:
    """Return a warning if the budget ended a run before its minimum."""
    return [f"the budget ended the measurement before {minimum}"] if minimum else []


def _host(latency: Latency, machine: Machine, environment: Mapping[str, Any]) -> list[str]:
    warnings = []
    if machine.busy and machine.other_cores is not None:
        warnings.append(
            f"the machine was busy: other processes used {machine.other_cores:.1f} of {environment.get('cores')} cores "
            f"(times count as undisturbed up to {BUSY_CORES})"
        )
    running = latency.process_ms.get("total", 0.0) / latency.total.mean_ms if latency.total.mean_ms else 1.0
    on_cpu = machine.gpu is None and environment.get("gpu") is None
    if on_cpu and environment.get("threads") == 1 and latency.process_ms and running < CORE_SHARE:
        warnings.append(f"the process had its core for {100 * running:.0f} % of the measured time only")
    if on_cpu and environment.get("threads") != 1 and environment.get("omp_wait_policy") != "PASSIVE":
        warnings.append("OMP_WAIT_POLICY is not PASSIVE: waiting threads kept cores busy")
    return warnings


def _gpu(machine: Machine) -> Sequence[str]:
    gpu = machine.gpu
    if gpu is None:
        return []
    warnings = [f"other processes were on the GPU: {', '.join(gpu.foreign)}"] if gpu.foreign else []
    warnings += ["the driver does not show processes on the GPU, so others cannot be ruled out"] if gpu.hidden else []
    return warnings + [
        f"the GPU slowed its clocks ({reason}) in {100 * share:.0f} % of the samples"
        for reason, share in gpu.throttled.items()
    ]
