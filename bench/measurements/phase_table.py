"""Phases of a decoder with their CPU seconds, and why they take that long: matrix products, and the machine's floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from bench.measurements.matrix_work import MachineRates, MatrixWork, cpu_seconds, machine_rates, matrix_work

SIDE = 768  # of the square matrices that show the best rate
HEADINGS = ["ours", "GFLOP", "MB read", "in products", "floor", "share of floor"]
EXPLANATION = (
    "GFLOP and MB read are those of the matrix products, operands that are read again counted again. in products: "
    "the share of the seconds that these products take alone, each shape at its best; the rest is small operations "
    "and calls. The floor is the larger of GFLOP at the best rate and MB at the reading speed"
)


@dataclass(frozen=True)
class Phase:
    """One phase as measured.

    Args:
        seconds: CPU seconds, the best of several.
        work: its matrix products.
    """

    seconds: float
    work: MatrixWork

    @property
    def in_products(self) -> float:
        """Share of the seconds that its products take alone."""
        return self.work.seconds / self.seconds


@torch.no_grad()
def measure_phases(
    works: Mapping[str, Callable[[], Any]], repeats: int, before: Mapping[str, Phase] | None = None
) -> dict[str, Phase]:
    """Measure each phase: all of them in turn, ``repeats`` times, so that a disturbance hits no phase every time.

    Args:
        works: phase to what it does.
        repeats: measurements of each.
        before: phases that are measured already.
    """
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            best[name] = min(best[name], cpu_seconds(work)[1])
    return {**(before or {}), **{name: Phase(best[name], matrix_work(work)) for name, work in works.items()}}


def rates_of(phases: Mapping[str, Phase], weights: int) -> MachineRates:
    """Return the machine's rates beside some phases.

    Args:
        phases: none may exceed the rates.
        weights: bytes that one step of the decoder reads.
    """
    works = [phase.work for phase in phases.values()]
    return machine_rates(works, side=SIDE, megabytes=weights / 1e6, dtype=torch.float32)


def decoder_bytes(network: Any) -> int:
    """Return the bytes of the decoder's weights."""
    return sum(parameter.numel() * parameter.element_size() for parameter in network.decoder.parameters())


def cells(phase: Phase, rates: MachineRates) -> list[str]:
    """Return a row below ``HEADINGS``."""
    floor = rates.floor(phase.work)
    return [
        f"{phase.seconds:.3g}",
        f"{phase.work.operations / 1e9:.3g}",
        f"{phase.work.bytes / 1e6:.3g}",
        f"{100 * phase.in_products:.0f} %",
        f"{floor:.2g}",
        f"{100 * floor / phase.seconds:.0f} %",
    ]


def machine_line(rates: MachineRates) -> str:
    """Return what the machine reaches, in a sentence."""
    return f"Best rates in this run: {rates.operations / 1e9:.0f} GFLOP/s, {rates.bytes / 1e9:.1f} GB/s. {EXPLANATION}."


def plain(phases: Mapping[str, Phase], rates: MachineRates) -> dict[str, Any]:
    """Return phases and rates as JSON data."""
    rows = {name: asdict(phase) | {"floor_seconds": rates.floor(phase.work)} for name, phase in phases.items()}
    return {"phases": rows, "rates": asdict(rates)}
