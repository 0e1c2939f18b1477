"""``parity``: recompute a golden file of MAD's or AiT's released classes with our network, tasks and strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.parity.golden_file import AIT, INPUTS, GoldenFile, ParityTable, as_table

Steps = dict[str, Callable[[], None]]


def run_parity(path: Path) -> tuple[str, bool]:
    """Recompute every family of arrays in a golden file.

    Returns:
        The table, and whether every family that the file has agrees.

    Raises:
        UserError: if the file is no golden file, or no network can be built from it.
    """
    golden = GoldenFile(path)
    table = ParityTable(golden, relative=AIT in golden)
    steps = _ait(golden, table) if AIT in golden else _mad(golden, table)
    for name, step in steps.items():
        try:
            step()
        except (LookupError, ValueError, RuntimeError, TypeError, ArithmeticError) as error:
            table.failed(name, f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
    left = sorted(name for name in golden.unread if not name.startswith(INPUTS))
    if left:
        table.failed("not recomputed", f"{len(left)} arrays that nothing here knows, {', '.join(left[:3])} first")
    return as_table(table), table.good


def _mad(golden: GoldenFile, table: ParityTable) -> Steps:
    from bench.parity import mad_functions as parity_alone
    from bench.parity import mad_inference as parity_inference
    from bench.parity import mad_model as parity_subject
    from bench.parity import mad_training as parity_training

    subject = parity_subject.build(golden)
    return {
        "vocabulary": lambda: parity_subject.check_vocabulary(subject, golden, table),
        "memory": lambda: parity_subject.check_memory(subject, table),
        "inference": lambda: parity_inference.check_inference(subject, golden, table),
        "training": lambda: parity_training.check_training(subject, golden, table),
        "stand-alone": lambda: parity_alone.check_alone(subject, golden, table),
    }


def _ait(golden: GoldenFile, table: ParityTable) -> Steps:
    from bench.parity import ait_codecs as parity_codec
    from bench.parity import ait_functions as parity_ait_alone
    from bench.parity import ait_inference as parity_ait_decoding
    from bench.parity import ait_model as parity_ait_subject
    from bench.parity import ait_training as parity_ait_training

    subject = parity_ait_subject.build(golden)
    return {
        "codecs": lambda: parity_codec.check_codec(golden, table),
        "memory": lambda: parity_ait_subject.check_memory(subject, golden, table),
        "depth": lambda: parity_ait_decoding.check_depth(subject, golden, table),
        "objects": lambda: parity_ait_decoding.check_objects(subject, golden, table),
        "depth training": lambda: parity_ait_training.check_depth(subject, golden, table),
        "objects training": lambda: parity_ait_training.check_objects(subject, golden, table),
        "post-processing": lambda: parity_ait_alone.check_post(subject, golden, table),
        "stand-alone": lambda: parity_ait_alone.check_alone(golden, table),
    }
