"""Seconds until commands answer, beside those of importing torch: as ratios, all measured in one run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.paths import REPOSITORY

REPEATS = 5
TORCH = ("-c", "import torch")
COMMANDS = ("--help", "list", "describe mad", "describe detection", "run --help", "run --decoder orcle")
RUN = "run --decoder oracle --limit 2 --fresh"


def measure_start_time(*, captions: bool = True) -> str:
    """Return a Markdown table: the least wall and CPU seconds of every command, with its Java programs.

    Args:
        captions: also run ``oracle`` on two images with captions, whose metrics take Java most of the time.
    """
    with tempfile.TemporaryDirectory() as folder:
        commands: dict[str, tuple[str, ...]] = {"python -c 'import torch'": TORCH}
        commands |= {command: ("-m", "bench", *command.split()) for command in COMMANDS}
        for name in [f"{RUN} --tasks detection,depth", *([RUN] if captions else [])]:
            commands[name] = ("-m", "bench", *name.split(), "--out", str(Path(folder) / "run"))
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(REPEATS):  # in turn, so that all meet the same load
            for name, words in commands.items():
                seconds[name].append(_seconds(words))
    least = {name: (min(wall for wall, _ in each), min(cpu for _, cpu in each)) for name, each in seconds.items()}
    torch = next(iter(least.values()))
    lines = ["| command | s | CPU s | s / import torch | CPU s / import torch |", "| --- | --- | --- | --- | --- |"]
    for name, (wall, cpu) in least.items():
        lines.append(f"| `{name}` | {wall:.2f} | {cpu:.2f} | {wall / torch[0]:.2f} | {cpu / torch[1]:.2f} |")
    return "\n".join(lines)


def _seconds(words: tuple[str, ...]) -> tuple[float, float]:
    """Return wall and CPU seconds of a Python process and of its children."""
    before, started = _child_seconds(), time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, check=False)  # noqa: S603
    return time.perf_counter() - started, _child_seconds() - before


def _child_seconds() -> float:
    times: Any = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)
