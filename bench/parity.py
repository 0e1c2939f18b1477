"""``parity``: recompute a golden file of MAD's released classes with our network, tasks and strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.parity_file import INPUTS, SKIPPED, Comparison, GoldenFile, as_table


def run_parity(path: Path) -> tuple[str, bool]:
    """Recompute every family of arrays in a golden file.

    Returns:
        The table, and whether every family that the file has agrees.

    Raises:
        UserError: if the file is no golden file, or no network can be built from it.
    """
    from bench import parity_alone, parity_inference, parity_subject, parity_training

    golden = GoldenFile(path)
    subject = parity_subject.build(golden)
    comparison = Comparison(golden)
    steps: dict[str, Callable[[], None]] = {
        "vocabulary": lambda: parity_subject.check_vocabulary(subject, golden, comparison),
        "memory": lambda: parity_subject.check_memory(subject, comparison),
        "inference": lambda: parity_inference.check_inference(subject, golden, comparison),
        "training": lambda: parity_training.check_training(subject, golden, comparison),
        "stand-alone": lambda: parity_alone.check_alone(subject, golden, comparison),
    }
    for name, step in steps.items():
        try:
            step()
        except (KeyError, ValueError, RuntimeError, IndexError, TypeError) as error:
            comparison.failed(name, f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
    left = sorted(name for name in golden.unread if not name.startswith(INPUTS) and not name.endswith(SKIPPED))
    if left:
        comparison.failed("not recomputed", f"{len(left)} arrays that nothing here knows, {', '.join(left[:3])} first")
    return as_table(comparison), comparison.good
