"""Parity with MAD's and AiT's released classes: all families agree, and what does not is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import UserError
from bench.parity.check import run_parity
from tests.paths import GOLDEN
from tests.tasks.task_examples import shared

SLIM = GOLDEN / "mad_slim.npz"
AIT = GOLDEN / "ait_slim.npz"
Arrays = dict[str, NDArray[Any]]


def arrays(path: Path = SLIM) -> Arrays:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def changed(folder: Path, change: Callable[[Arrays], None], source: Path = SLIM) -> Path:
    """A file after a change."""
    found = arrays(source)
    change(found)
    path = folder / "changed.npz"
    np.savez(path, **found)  # type: ignore[arg-type]
    return path


def changed_ait(folder: Path, name: str, key: str, value: int) -> Path:
    """The file of AiT with another number in one of its configurations."""

    def change(found: Arrays) -> None:
        found[name] = np.array(json.dumps(json.loads(str(found[name])) | {key: value}))

    return changed(folder, change, AIT).rename(folder / f"{key}.npz")


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
    for problem in ("infer/det/classes: 1 of 12 differ", "off by 0.0002", "4 arrays that nothing here knows", "shape"):
        assert problem in table
    assert table.endswith("PARITY FAILED (floats to 0.0001 absolute, integers exactly)")


def test_every_number_is_looked_at_also_where_no_task_reads_it(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        empty = tuple(np.argwhere(~found["infer/det/nonempty"])[0])
        for name, place in {
            "infer/caption/ensembled_logits": (0, 0, 0, 0),  # a prompt's column
            "infer/det/scores": empty,
            "infer/seg_chain/min_top2_gap": (),
            "infer/keypoint_chain/keypoints": (*empty, 0, 0),
            "given/boxes": (0, 0, 0),
        }.items():
            found[name] = found[name].copy()
            found[name][place] += 0.5

    table, good = run_parity(changed(tmp_path, disturb))
    assert not good
    wanted = {
        "ensembled logits",
        "predictions det",
        "predictions seg_chain",
        "predictions keypoint_chain",
        "given boxes",
    }
    failed = {family for family, line in rows(table).items() if line.endswith("FAILED")}
    assert wanted <= failed, table


def test_families_that_a_file_lacks_are_counted(tmp_path: Path) -> None:
    def leave_out(found: Arrays) -> None:
        for name in [name for name in found if name.startswith("paste/")]:
            del found[name]

    table, good = run_parity(changed(tmp_path, leave_out))
    assert good and "the families agree, but for 1 that the file lacks" in table


def test_changed_weights_are_found(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        name = "param/transformer.decoder.post_norm_layer.weight"
        found[name] = found[name] * 1.01

    table, good = run_parity(changed(tmp_path, disturb))
    assert not good
    assert rows(table)["decoder outputs"].endswith("FAILED")
    assert rows(table)["memory"].endswith("ok")


def test_a_bare_clone_agrees_with_ait_s_released_classes() -> None:
    assert AIT.stat().st_size <= 2_000_000
    table, good = run_parity(AIT)
    assert good, table
    assert all(line.endswith("ok") and "/" not in line[30:40] for line in rows(table).values()), table


def test_the_full_file_of_ait_agrees() -> None:
    table, good = run_parity(shared("golden/ait.npz"))
    assert good, table


def test_what_is_off_in_ait_is_found(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        found["tr/memory"] = found["tr/memory"] * 1.001
        found["depth/ar_soft/depth"] = found["depth/ar_soft/depth"] + 0.01
        found["depth/par_onepass/logits_full_vocab"] = found["depth/par_onepass/logits_full_vocab"][:, :-1]
        found["det/tokens"] = found["det/tokens"] ^ 1
        found["insseg/train/loss"] = found["insseg/train/loss"] * np.float32(1.001)
        found["insseg/train/target_seq"] = np.where(found["insseg/train/target_seq"] < 0, 0, 1)
        found["insseg/post/soft/masks"] = ~found["insseg/post/soft/masks"]
        found["metrics/n_valid"] = found["metrics/n_valid"] + 1
        found["surprise"] = np.zeros(3)
        del found["depth_tta/img"]

    table, good = run_parity(changed(tmp_path, disturb, AIT))
    assert not good
    found = rows(table)
    families = ("memory", "depth ar_soft", "depth one pass", "det", "losses", "insseg training", "post-processing")
    for family in (*families, "stand-alone", "not recomputed"):
        assert found[family].endswith("FAILED"), table
    for family in ("depth ar_hard", "depth par_soft", "insseg/ar_soft", "depth training", "nucleus", "codec masks"):
        assert found[family].endswith("ok"), table
    assert table.endswith("PARITY FAILED (floats to 0.0001 relative, integers exactly)")


def test_changed_weights_of_ait_are_found(tmp_path: Path) -> None:
    def disturb(found: Arrays) -> None:
        found["tr/w/mask_embed"] = found["tr/w/mask_embed"] * 1.01

    table, good = run_parity(changed(tmp_path, disturb, AIT))
    assert not good
    assert rows(table)["depth par_soft"].endswith("FAILED")
    assert rows(table)["depth ar_soft"].endswith("ok")


def test_rows_that_no_task_uses_take_part_in_the_softmax(tmp_path: Path) -> None:
    """Three further rows repeat the first ones, so that their logits and what they add to each loss are known."""

    def widen(found: Arrays) -> None:
        config = json.loads(str(found["tr/cfg"]))
        found["tr/cfg"] = np.array(json.dumps(config | {"num_vocal": config["num_vocal"] + 3}))
        for name in ("tr/w/voc_embed", "tr/w/outp_bias"):
            found[name] = np.concatenate([found[name], found[name][:3]])
        kinds = {"bbox_ce": 1.0, "cls_ce": 1.0, "mask_ce": 0.2}
        for name in ("depth/par_onepass/logits_full_vocab", "depth/train/logits", "insseg/train/logits"):
            logits = found[name]
            found[name] = np.concatenate([logits, logits[..., :3]], axis=-1)
            if "train" not in name:
                continue
            where, targets = name.removesuffix("/logits"), found[name.replace("logits", "target_seq")]
            added = np.log(np.exp(found[name]).sum(-1) / np.exp(logits).sum(-1))  # (B, L)
            if where == "depth/train":
                found[f"{where}/ce"] = found[f"{where}/ce"] + np.float32(added.mean())
                found[f"{where}/loss"] = found[f"{where}/loss"] + np.float32(added.sum())
                continue
            place = np.arange(targets.shape[1]) % 9  # x1, y1, x2, y2, class and four codes
            for kind, slots in zip(kinds, (place < 4, place == 4, place > 4), strict=True):
                counted = kinds[kind] * added[slots & (targets >= 0)]
                found[f"{where}/{kind}"] = found[f"{where}/{kind}"] + np.float32(counted.mean())
                found[f"{where}/loss"] = found[f"{where}/loss"] + np.float32(counted.sum())

    table, good = run_parity(changed(tmp_path, widen, AIT))
    assert good, table


def test_files_that_are_not_golden_are_refused(tmp_path: Path) -> None:
    text, other = tmp_path / "text.npz", tmp_path / "other.npz"
    text.write_text("hello")
    np.savez(other, a=np.zeros(3))
    with (alone := tmp_path / "alone.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    np.savez_compressed(damaged := tmp_path / "damaged.npz", meta_json=np.arange(5000))
    content = bytearray(damaged.read_bytes())
    content[200:260] = bytes(60)
    damaged.write_bytes(content)

    def shorten(found: Arrays) -> None:
        meta = json.loads(str(found["meta_json"]))
        meta["config"]["ffn"] += 1
        found["meta_json"] = np.array(json.dumps(meta))

    for path, message in {
        changed_ait(tmp_path, "tr/cfg", "dim_feedforward", 65): "disagree",
        changed_ait(tmp_path, "vqm/cfg", "embedding_dim", 13): "disagree",
        changed_ait(tmp_path, "tr/cfg", "num_classes", 6): "disagree",
        tmp_path / "none.npz": "no such file",
        text: "not an .npz",
        alone: "not an .npz",
        damaged: "not an .npz",
        other: "no meta_json",
        changed(tmp_path, shorten): "disagree",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            run_parity(path)
        assert "\n" not in str(caught.value)
