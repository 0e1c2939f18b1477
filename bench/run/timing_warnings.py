"""What makes a run's times doubtful, in sentences for its record and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.system.host import BUSY_CORES
from results.record import Latency, Machine, Mode

RUNNING = 0.9
"""Least share of the wall-clock time that a run of one thread should get from its core."""


def timing_warnings(
    *,
    latency: Latency,
    machine: Machine,
    mode: Mode,
    environment: Mapping[str, Any],
    minimum: str = "",
    least: tuple[int, float] = (0, 0.0),
) -> list[str]:
    """One sentence for each reason to mistrust the times.

    Args:
        latency: times.
        machine: machine and load.
        mode: how the network was executed.
        environment: as ``describe_environment`` gives it.
        minimum: what was to be measured at least, where the budget ended it before.
        least: images and measured seconds that times should be of.
    """
    found = [*_host(latency, machine, environment), *_gpu(machine)]
    if latency.warm_up is not None and not latency.warm_up.stable:
        found.append(f"times had not settled after {latency.warm_up.images} images of warm-up")
    found += cut_short(minimum)
    measured = latency.total.n * latency.total.mean_ms / 1000
    if not minimum and (latency.total.n < least[0] or measured < least[1]):
        found.append(
            f"times are of {latency.total.n} images and {measured:.1f} s only; "
            f"take {least[0]} images and {least[1]:g} s at least"
        )
    found += [f"{mode.name}: {remark}" for remark in mode.remarks]
    if mode.different_tokens:
        found.append(f"{mode.name}: {mode.different_tokens} of {mode.checked_tokens} tokens differ from eager mode's")
    if mode.different_images:
        found.append(
            f"{mode.name}: {mode.different_images} of {mode.compared_images} images have other tokens than in eager "
            "mode"
        )
    if len(latency.ranks) > 1:
        found.append(f"{len(latency.ranks)} processes measured at the same time")
    return found


def cut_short(minimum: str) -> list[str]:
    """That the budget ended a run before what was to be done at least; nothing if it did not."""
    return [f"the budget ended the measurement before {minimum}"] if minimum else []


def _host(latency: Latency, machine: Machine, environment: Mapping[str, Any]) -> list[str]:
    found = []
    if machine.busy and machine.other_cores is not None:
        found.append(
            f"the machine was busy: other processes used {machine.other_cores:.1f} of {environment.get('cores')} cores "
            f"(times count as undisturbed up to {BUSY_CORES})"
        )
    running = latency.process_ms.get("total", 0.0) / latency.total.mean_ms if latency.total.mean_ms else 1.0
    on_cpu = machine.gpu is None and environment.get("gpu") is None
    if on_cpu and environment.get("threads") == 1 and latency.process_ms and running < RUNNING:
        found.append(f"the process had its core for {100 * running:.0f} % of the measured time only")
    if on_cpu and environment.get("threads") != 1 and environment.get("omp_wait_policy") != "PASSIVE":
        found.append("OMP_WAIT_POLICY is not PASSIVE: waiting threads kept cores busy")
    return found


def _gpu(machine: Machine) -> Sequence[str]:
    gpu = machine.gpu
    if gpu is None:
        return []
    found = [f"other processes were on the GPU: {', '.join(gpu.foreign)}"] if gpu.foreign else []
    found += ["the driver does not show processes on the GPU, so others cannot be ruled out"] if gpu.hidden else []
    return found + [
        f"the GPU slowed its clocks ({reason}) in {100 * share:.0f} % of the samples"
        for reason, share in gpu.throttled.items()
    ]
