"""``parity``: recompute a golden file of MAD's or AiT's released classes with our network, tasks and strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.parity.golden_file import AIT, GoldenFile
from bench.parity.parity_table import ParityTable

INPUTS = ("param/", "gt/", "given/", "in/")  # arrays that others are computed from
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
    for name, step in (_ait(table) if AIT in golden else _mad(table)).items():
        table.attempt(name, step)
    unread = sorted(name for name in golden.unread if not name.startswith(INPUTS))
    if unread:
        table.fail("not recomputed", f"{len(unread)} arrays that nothing here knows, {', '.join(unread[:3])} first")
    return str(table), table.good


def _mad(table: ParityTable) -> Steps:
    from bench.parity import mad_functions, mad_inference, mad_model, mad_training
    from bench.parity.golden_network import golden_errors

    with golden_errors("a MAD", table.golden.path):
        subject = mad_model.build(table.golden)
    return {
        "vocabulary": lambda: mad_model.check_vocabulary(subject, table),
        "memory": lambda: mad_model.check_memory(subject, table),
        "inference": lambda: mad_inference.check_inference(subject, table),
        "training": lambda: mad_training.check_training(subject, table),
        "stand-alone": lambda: mad_functions.check_functions(subject, table),
    }


def _ait(table: ParityTable) -> Steps:
    from bench.parity import ait_codecs, ait_functions, ait_inference, ait_model, ait_training
    from bench.parity.golden_network import golden_errors

    with golden_errors("an AiT", table.golden.path):
        subject = ait_model.build(table.golden)
    return {
        "codecs": lambda: ait_codecs.check_codecs(table),
        "memory": lambda: ait_model.check_memory(subject, table),
        "depth": lambda: ait_inference.check_depth(subject, table),
        "objects": lambda: ait_inference.check_objects(subject, table),
        "depth training": lambda: ait_training.check_depth(subject, table),
        "objects training": lambda: ait_training.check_objects(subject, table),
        "post-processing": lambda: ait_functions.check_post_processing(subject, table),
        "stand-alone": lambda: ait_functions.check_functions(table),
    }
