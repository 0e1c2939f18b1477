"""Process CPU seconds of a paper-size network on one image, with random weights, beside those of the released code.

The load is the released measurement's (``bench/measurements/paper_load.py``), decoded as the release does, with four
caption passes, batch 1, one thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from bench.config.run import RunOptions
from bench.measurements.matrix_work import MachineRates, cpu_seconds
from bench.measurements.paper_load import INPUT, RELEASED, RELEASED_PRESET, PaperLoad, file_name, paper_load
from bench.measurements.phase_table import (
    HEADINGS,
    Phase,
    cells,
    decoder_bytes,
    machine_line,
    measure_phases,
    plain,
    rates_of,
)
from bench.system.environment import describe_environment
from decoders.masked.mad import MadReleased
from reports.tables.table import pipe_table
from results.store import write_atomically


def measure_mad_time(options: RunOptions, *, out: Path, repeats: int = 2) -> str:
    """Time every phase, in float32 and bfloat16, and write ``paper_time.md`` and ``paper_time.json`` into ``out``.

    The files of other presets than ``mad-r50``, the released code's, end with the preset's name.

    Args:
        options: of the preset; data is not needed.
        out: folder of the two files.
        repeats: measurements of each precision; the fastest of each phase counts.

    Returns:
        The Markdown table.
    """
    torch.set_num_threads(1)
    published = json.loads(RELEASED.read_text())
    load = paper_load(options)
    works = {**load.encoding(), **load.decoding(MadReleased())}
    phases = measure_phases(works, repeats)
    rates = rates_of(phases, decoder_bytes(load.network))
    half = _half_precision(load, repeats)
    released = published["seconds"] if options.preset == RELEASED_PRESET else {}
    text = _markdown(options.preset, released, phases, half, rates)
    seconds = {"float32": {name: phase.seconds for name, phase in phases.items()}, "bfloat16": half}
    data = {"preset": options.preset, "seconds": seconds, "released": published, "environment": describe_environment()}
    name = file_name("paper_time", options.preset)
    write_atomically(out / f"{name}.json", (json.dumps(data | plain(phases, rates), indent=2) + "\n").encode())
    write_atomically(out / f"{name}.md", text.encode())
    return text


@torch.no_grad()
def _half_precision(load: PaperLoad, repeats: int) -> dict[str, float]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        works = {**load.encoding(), **load.decoding(MadReleased())}
        return {name: min(cpu_seconds(work)[1] for _ in range(repeats)) for name, work in works.items()}


def _markdown(
    preset: str,
    released: Mapping[str, float],
    phases: Mapping[str, Phase],
    half: Mapping[str, float],
    rates: MachineRates,
) -> str:
    lines = [
        f"# Process CPU seconds per image, {preset} size, one thread",
        "",
        f"Random weights, batch 1, {INPUT[0]} × {INPUT[1]}, 100 instances, 10 persons, decoded as the released code",
        f"does. Written by `python -m bench measure cpu-time --preset {preset}`; the released code's figures, of",
        "MAD-R50, are kept in [published/mad_released_cpu.json](published/mad_released_cpu.json).",
        "",
        machine_line(rates),
        "",
    ]
    before = {name: f"{released[name]:.2f}" if released else "–" for name in phases}
    rows = [[name, before[name], *cells(phases[name], rates), f"{half[name]:.2f}"] for name in phases]
    total = f"{sum(released.values()):.2f}" if released else "–"
    ours = f"{sum(phase.seconds for phase in phases.values()):.3g}"
    rows.append(["all", total, ours, *["–"] * (len(HEADINGS) - 1), f"{sum(half.values()):.2f}"])
    return "\n".join([*lines, pipe_table(["phase", "released", *HEADINGS, "bfloat16"], rows)]) + "\n"
