"""Peak rates of the machine: operations per second of a large matrix product, bytes per second of a large copy.

A decoder's share of these rates says how near it comes to the hardware's limits. They are measured when a run starts,
with its threads, device and precision, and cached, except on a busy machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from bench.inference.clock import Stopwatch, stopwatch
from results.record import PeakRates
from results.store import StoreError, write_atomically

SIDES = {"cpu": 384, "cuda": 8192}  # of square matrices; small on a CPU, so that some repetitions are undisturbed
COPIED = {"cpu": 2**26, "cuda": 2**29}  # bytes of the buffer: more than the caches hold
SECONDS = 0.3  # of each measurement


def peak_rates(device: torch.device, precision: str, *, folder: Path, fingerprint: str, keep: bool) -> PeakRates:
    """Return the rates of this machine with its current threads, from the cache or measured.

    Args:
        device: where the network computes.
        precision: of its matrix products.
        folder: cache; files that cannot be read or written are ignored.
        fingerprint: of the hardware.
        keep: whether to cache a measurement; not on a busy machine.
    """
    key = [fingerprint, device.type, precision, str(torch.get_num_threads()), str(torch.__version__)]
    path = folder / f"{'-'.join(key)}.json"
    try:
        cached = json.loads(path.read_text())
        return PeakRates(matmul_gflops=float(cached["matmul_gflops"]), bandwidth_gb=float(cached["bandwidth_gb"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    rates = measure(device, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    if keep:
        plain = {"matmul_gflops": rates.matmul_gflops, "bandwidth_gb": rates.bandwidth_gb}
        with suppress(StoreError):
            write_atomically(path, json.dumps(plain).encode())
    return rates


@torch.inference_mode()
def measure(device: torch.device, dtype: torch.dtype, *, watch: Stopwatch | None = None) -> PeakRates:
    """Return the rates of the fastest of many repetitions: disturbances only slow down."""
    watch = watch or stopwatch(device)
    side = SIDES[device.type]
    left, right, out = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(3))
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    product = _fastest(lambda: torch.mm(left, right, out=out), watch)
    copy = _fastest(lambda: target.copy_(source), watch)
    return PeakRates(matmul_gflops=2 * side**3 / product / 1e6, bandwidth_gb=2 * len(source) / copy / 1e6)


def _fastest(work: Callable[[], object], watch: Stopwatch) -> float:
    """Return the milliseconds of the fastest repetition."""
    work()
    spent, best = 0.0, float("inf")
    while spent < SECONDS * 1000 or best == float("inf"):
        start = watch.now()
        work()
        stop = watch.now()
        watch.finish()
        took = max(watch.between(start, stop), 1e-6)
        spent, best = spent + took, min(best, took)
    return best
