"""What the machine can do: operations per second of a large matrix product, bytes per second of a large copy.

Shares of these rates say how far a decoder is from the hardware's limits, on any machine. They are measured when a run
starts, with its threads, device and precision, and kept in the cache; on a busy machine they are not kept.
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

SIDES = {"cpu": 384, "cuda": 8192}  # of the square matrices; on a CPU some repetitions must go undisturbed
COPIED = {"cpu": 2**26, "cuda": 2**29}  # bytes of the copied buffer, more than the caches hold
SECONDS = 0.3  # of each measurement


def peak_rates(device: torch.device, precision: str, *, folder: Path, fingerprint: str, keep: bool) -> PeakRates:
    """PeakRates of the machine with this fingerprint and the threads of now, from ``folder`` or measured.

    Args:
        device: where the network computes.
        precision: of its matrix products.
        folder: cache; a file that cannot be read or written is ignored.
        fingerprint: of the hardware.
        keep: whether to write what was measured; not on a busy machine.
    """
    told = [fingerprint, device.type, precision, str(torch.get_num_threads()), str(torch.__version__)]
    path = folder / f"{'-'.join(told)}.json"
    try:
        kept = json.loads(path.read_text())
        return PeakRates(matmul_gflops=float(kept["matmul_gflops"]), bandwidth_gb=float(kept["bandwidth_gb"]))
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
    """The fastest of many repetitions: what disturbs only ever slows down."""
    watch = watch or stopwatch(device)
    side = SIDES[device.type]
    left, right, out = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(3))
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    product = _fastest(lambda: torch.mm(left, right, out=out), watch)
    copy = _fastest(lambda: target.copy_(source), watch)
    return PeakRates(matmul_gflops=2 * side**3 / product / 1e6, bandwidth_gb=2 * len(source) / copy / 1e6)


def _fastest(work: Callable[[], object], watch: Stopwatch) -> float:
    """Milliseconds."""
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
