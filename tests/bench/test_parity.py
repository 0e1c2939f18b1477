"""Parity with MAD's released classes: all families agree, and what does not is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import UserError
from bench.parity import run_parity
from tests.tasks.builders import shared

SLIM = Path(__file__).parent.parent / "golden" / "mad_slim.npz"
Arrays = dict[str, NDArray[Any]]


def arrays() -> Arrays:
    with np.load(SLIM) as archive:
        return {name: archive[name] for name in archive.files}


def changed(folder: Path, change: Callable[[Arrays], None]) -> Path:
    """The slim file after a change."""
    found = arrays()
    change(found)
    path = folder / "changed.npz"
    np.savez(path, **found)  # type: ignore[arg-type]
    return path


def rows(table: str) -> dict[str, str]:
    """Verdict of every family."""
    return {line[:30].strip(): line for line in table.splitlines()[1:-1] if not line.startswith("    ")}


def test_a_bare_clone_agrees_with_the_released_classes() -> None:
    assert SLIM.stat().st_size <= 2_000_000
    table, good = run_parity(SLIM)
    assert good, table
    assert all(line.endswith("ok") for line in rows(table).values()), table


def test_the_full_file_agrees() -> None:
    table, good = run_parity(shared("golden/mad.npz"))
    assert good, table
    assert all(line.endswith("ok") and "/" not in line[30:40] for line in rows(table).values()), table


def test_what_is_off_is_found(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        found["enc/memory"] = found["enc/memory"] + 2e-4
        found["infer/det/classes"] = found["infer/det/classes"].copy()
        found["infer/det/classes"][0, 0] ^= 1
        found["hung/loss"] = np.float32("nan") * found["hung/loss"]
        found["train/seg/target_seq"] = found["train/seg/target_seq"][:, :1]
        found["surprise/array"] = np.zeros(3)
        del found["paste/prob"]

    table, good = run_parity(changed(tmp_path, disturb))
    assert not good
    found = rows(table)
    for family in ("memory", "predictions det", "stand-alone hung", "targets seg", "not recomputed"):
        assert found[family].endswith("FAILED"), table
    assert found["stand-alone paste"].endswith("not in file")
    assert found["logits"].endswith("ok")
    for problem in ("infer/det/classes: 1 of 11 differ", "off by 0.0002", "4 arrays that nothing here knows", "shape"):
        assert problem in table
    assert table.endswith("PARITY FAILED (floats to 0.0001 absolute, integers exactly)")


def test_changed_weights_are_found(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        name = "param/transformer.decoder.post_norm_layer.weight"
        found[name] = found[name] * 1.01

    table, good = run_parity(changed(tmp_path, disturb))
    assert not good
    assert rows(table)["decoder outputs"].endswith("FAILED")
    assert rows(table)["memory"].endswith("ok")


def test_files_that_are_not_golden_are_refused(tmp_path: Path) -> None:
    text, other = tmp_path / "text.npz", tmp_path / "other.npz"
    text.write_text("hello")
    np.savez(other, a=np.zeros(3))

    def shorten(found: Arrays) -> None:
        meta = json.loads(str(found["meta_json"]))
        meta["config"]["ffn"] += 1
        found["meta_json"] = np.array(json.dumps(meta))

    for path, message in {
        tmp_path / "none.npz": "no such file",
        text: "not an .npz",
        other: "no meta_json",
        changed(tmp_path, shorten): "disagree",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            run_parity(path)
        assert "\n" not in str(caught.value)
