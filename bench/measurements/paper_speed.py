"""Autoregressive, parallel and masked decoding at the paper's size in one run, beside MAD's Table 2.

Random weights; all rows decode the same sequences of the same memory on one thread, in turn. Every finished measurement
is written at once, and an interrupted run goes on with those that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch

from bench.config.run import RunOptions
from bench.measurements.matrix_work import MachineRates
from bench.measurements.paper_load import RELEASED, TASKS, PaperLoad, file_name, paper_load
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
from bench.system.environment import describe_environment, fingerprint, source_hash
from decoders.causal.autoregressive import Autoregressive
from decoders.masked.mad import Mad
from decoders.masked.parallel import Parallel
from reports.tables.table import pipe_table
from results.published import paper_tables
from results.store import write_atomically

STRATEGIES: dict[str, Any] = {"autoregressive": Autoregressive(), "parallel": Parallel(), "mad": Mad()}
NAME, PARTIAL = "paper_speed", ".partial.json"
ENCODING = "encoding"

Phases = dict[str, dict[str, Phase]]  # row (a strategy, or ``ENCODING``) to phase


def measure_paper_speed(
    options: RunOptions,
    *,
    out: Path,
    repeats: int = 2,
    load: PaperLoad | None = None,
    log: Callable[[str], None] = print,
) -> str:
    """Time every task of every row and write ``paper_speed.md`` and ``paper_speed.json`` into ``out``.

    The files of other presets than ``mad-r50`` end with the preset's name.

    Args:
        options: of the preset (``mad-r50``); data is not needed.
        out: folder of the two files, and of the unfinished measurement.
        repeats: measurements; the fastest of each phase counts.
        load: what is decoded; default: the paper's size.
        log: called with a message for each measurement.

    Returns:
        The Markdown page.
    """
    torch.set_num_threads(1)
    load = load or paper_load(options)
    name = file_name(NAME, options.preset)
    phases = _measured(load, out / (name + PARTIAL), _signature(options, load, repeats), repeats, log)
    every = {f"{row} {name}": phase for row, each in phases.items() for name, phase in each.items()}
    rates = rates_of(every, decoder_bytes(load.network))
    text = _page(options.preset, load, phases, rates)
    data = {
        "preset": options.preset,
        "input": list(load.image.shape[2:]),
        "sequences": {task: count for task, (count, _) in load.sequences().items()},
        "tokens": {task: count * length for task, (count, length) in load.sequences().items()},
        "rows": {row: plain(each, rates)["phases"] for row, each in phases.items()},
        "rates": asdict(rates),
        "released": json.loads(RELEASED.read_text()),
        "environment": describe_environment(),
    }
    write_atomically(out / f"{name}.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(out / f"{name}.md", text.encode())
    (out / (name + PARTIAL)).unlink(missing_ok=True)
    return text


def _measured(load: PaperLoad, path: Path, signature: str, repeats: int, log: Callable[[str], None]) -> Phases:
    """Return all phases, those of an unfinished run with the same signature as they were measured."""
    phases = _unfinished(path, signature)
    rows = {ENCODING: load.encoding(), **{name: load.decoding(cls) for name, cls in STRATEGIES.items()}}
    for task in ("backbone", "encoder", *TASKS):  # the rows of a task follow each other
        for row, works in rows.items():
            if task in works and task not in phases.setdefault(row, {}):
                phases[row] |= measure_phases({task: works[task]}, repeats)
                log(f"{row}, {task}: {phases[row][task].seconds:.3g} s")
                write_atomically(path, msgspec.json.encode({"signature": signature, "phases": phases}))
    return phases


def _unfinished(path: Path, signature: str) -> Phases:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        if msgspec.json.decode(content["signature"], type=str) != signature:
            return {}
        return msgspec.json.decode(content["phases"], type=Phases)
    except (OSError, KeyError, msgspec.MsgspecError):
        return {}


def _signature(options: RunOptions, load: PaperLoad, repeats: int) -> str:
    boxes = load.context.earlier["detection"].boxes
    parts = [options.preset, options.network, options.sizes, options.seed, load.image.shape, boxes.shape, repeats]
    parts += [source_hash(), fingerprint(describe_environment()), torch.__version__]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _page(preset: str, load: PaperLoad, phases: Phases, rates: MachineRates) -> str:
    height, width = load.image.shape[2:]
    sequences = ", ".join(f"{count} of {length} tokens ({task})" for task, (count, length) in load.sequences().items())
    lines = [
        f"# Three ways of decoding at the paper's size ({preset})",
        f"Process CPU seconds of one image of {height} × {width} pixels, random weights, float32, batch 1, one thread "
        f"of {describe_environment().get('cpu')}. All rows decode the same sequences: {sequences}. Written by "
        f"`python -m bench measure paper-speed --preset {preset}`.",
        _totals(phases),
        "## Where the time goes",
        machine_line(rates),
        _details(phases, rates),
    ]
    return "\n\n".join(lines) + "\n"


def _totals(phases: Phases) -> str:
    """Seconds of each row, their ratios, and the paper's times."""
    released = json.loads(RELEASED.read_text())["seconds"]
    encoding = sum(phase.seconds for phase in phases[ENCODING].values())
    totals = {row: encoding + sum(phase.seconds for phase in phases[row].values()) for row in STRATEGIES}
    printed = {row: paper_tables()["mad-2"].printed(row, "time.total") or float("nan") for row in STRATEGIES}
    rows = []
    for row in STRATEGIES:
        tasks = [f"{phases[row][task].seconds:.3g}" for task in TASKS]
        ours = [f"{totals[row]:.3g}", f"{totals[row] / totals['parallel']:.3g}"]
        rows.append(
            [row, f"{encoding:.3g}", *tasks, *ours, f"{printed[row]:.0f}", f"{printed[row] / printed['parallel']:.3g}"]
        )
    sums = [released["backbone"] + released["encoder"], *(released[task] for task in TASKS)]
    rows.append(["released code of MAD-R50", *(f"{value:.3g}" for value in [*sums, sum(sums)]), "–", "–", "–"])
    headings = ["row", "encoding", *TASKS, "total", "÷ parallel", "paper, ms on an A100", "÷ parallel, paper"]
    return pipe_table(headings, rows)


def _details(phases: Phases, rates: MachineRates) -> str:
    rows = [[row, name, *cells(phase, rates)] for row, each in phases.items() for name, phase in each.items()]
    return pipe_table(["row", "phase", *HEADINGS], rows)
