"""NYUv2 folders and the labeled file: layouts, and that every bad line or file is refused on one line."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from bench.data.dataset import Dataset
from bench.data.nyu.reader import LABELED_NAME, Nyu
from bench.errors import DataError, UserError
from tests.bench.data.folders import HEIGHT, WIDTH, depth_picture, shared, tiny_nyu, write_lines

RGB, DEPTH = "kitchen/rgb_00000.jpg", "kitchen/sync_depth_00000.png"


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        nyu = Nyu(root)
        nyu.image(0)
        nyu.depth(0)
    message = str(caught.value)
    assert message.isprintable() and ";" in message
    return message


@pytest.mark.parametrize("slash", [False, True])
@pytest.mark.parametrize("focal", [False, True])
@pytest.mark.parametrize(
    ("split", "base"), [("test", ""), ("test", "official_splits/test"), ("train", ""), ("train", "sync")]
)
def test_layouts(tmp_path: Path, split: str, base: str, slash: bool, focal: bool) -> None:
    nyu = Nyu(tiny_nyu(tmp_path, base, slash=slash, focal=focal, split=split), split=split)
    assert [pair.line for pair in nyu.pairs] == [1, 2, 3]
    depth = nyu.depth(1)
    assert depth.shape == (HEIGHT, WIDTH) and depth.dtype == torch.float32 and depth[0, 0] == 0
    expected = np.asarray(depth_picture(201), dtype=np.float32) / 1000  # millimeters
    assert torch.equal(depth, torch.from_numpy(expected))
    assert nyu.image(1).size == (WIDTH, HEIGHT) and nyu.image(1).mode == "RGB"


@pytest.mark.parametrize("name", ["nyudepthv2_test_files_with_gt.txt", "test_list.txt", "nyu_test.txt"])
@pytest.mark.parametrize("below", [False, True])
def test_list_names(tmp_path: Path, name: str, below: bool) -> None:
    base = "official_splits/test" if below else ""
    root = tiny_nyu(tmp_path, base)
    (root / "test_files_with_gt.txt").rename(root / base / name)
    assert len(Nyu(root).pairs) == 3


def test_list_given(tmp_path: Path) -> None:
    root = tiny_nyu(tmp_path / "nyu")
    other = tmp_path / "my_list.txt"
    other.write_text(f"{RGB} {DEPTH}\r\n\r\n")
    assert len(Nyu(root, list_file=other).pairs) == 1
    with pytest.raises(DataError, match="cannot be read"):
        Nyu(root, list_file=tmp_path / "none.txt")


def test_line_without_depth(tmp_path: Path) -> None:
    write_lines(tiny_nyu(tmp_path), f"{RGB} None", "kitchen/rgb_00001.jpg kitchen/sync_depth_00001.png")
    nyu = Nyu(tmp_path)
    assert [pair.line for pair in nyu.pairs] == [2]
    assert nyu.skipped == {"lines without a depth file": 1}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (RGB, "has 1 column "),
        (f"{RGB} {DEPTH} 518.8 7", "has 4 columns"),
        (f"{RGB} {DEPTH} far", "focal length 'far'"),
        (f"{RGB} {DEPTH} nan", "focal length 'nan'"),
        (f"../{RGB} {DEPTH}", "leads out of"),
        (f"{RGB} ../../etc/passwd", "leads out of"),
        (f"gone.jpg {DEPTH}", "is not in"),
        (f"{RGB} gone.png", "put the depth image there"),
        (f"/ {DEPTH}", "is not a file name"),
        (f"kitchen/rgb_00001.jpg {DEPTH}", "also on line 1"),
    ],
)
def test_bad_line(tmp_path: Path, line: str, expected: str) -> None:
    path = write_lines(tiny_nyu(tmp_path), "kitchen/rgb_00001.jpg kitchen/sync_depth_00001.png 518.8579", "", line)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: line 3: ") and expected in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfe\x00garbage", "is not text (byte 0)"),
        (b"ab\0c d", "is not text (byte 2)"),
        (b"", "lists no pair"),
        (b"\n \n", "lists no pair"),
    ],
)
def test_bad_list(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tiny_nyu(tmp_path) / "test_files_with_gt.txt"
    path.write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ") and expected in message


def test_bad_depth(tmp_path: Path) -> None:
    path = tiny_nyu(tmp_path) / DEPTH
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert f"{path}: line 1: broken or cut image" in refusal(tmp_path)
    path.write_bytes(b"not a png")
    assert f"{path}: line 1: broken or cut image" in refusal(tmp_path)
    Image.new("L", (WIDTH, HEIGHT)).save(path)
    assert "depth image has mode L, expected 16-bit gray" in refusal(tmp_path)
    depth_picture(0, HEIGHT, WIDTH - 1).save(path)
    assert f"{path}: line 1: is 31x24 pixels, expected 32x24" in refusal(tmp_path)


def test_bad_image(tmp_path: Path) -> None:
    path = tiny_nyu(tmp_path) / RGB
    path.write_bytes(path.read_bytes()[:300])
    assert f"{path}: line 1: broken or cut image" in refusal(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "holds none of test_files_with_gt.txt" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "labelled.mat")
    with pytest.raises(UserError, match="no split 'val'"):
        Nyu(tmp_path, split="val")


def labeled(folder: Path, pairs: int = 4, *, size: tuple[int, int] = (HEIGHT, WIDTH), raw: bool = False) -> Path:
    """A labeled file as MATLAB 7.3 writes it: the axes reversed. With ``raw``, a third of the raw depth is missing."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (pairs, *size, 3), dtype=np.uint8)
    depths = generator.uniform(0.5, 9, (pairs, *size)).astype(np.float32)
    raw_depths = depths * (generator.uniform(size=depths.shape) > 1 / 3)
    depths[0, 0, 0] = np.nan
    path = folder / LABELED_NAME
    with h5py.File(path, "w") as file:
        file["images"] = images.transpose(0, 3, 2, 1)
        file["depths"] = depths.transpose(0, 2, 1)
        if raw:
            file["rawDepths"] = raw_depths.transpose(0, 2, 1)
    np.savez(folder / "expected.npz", images=images, depths=depths, raw=raw_depths)
    return path


def test_labeled(tmp_path: Path) -> None:
    path = labeled(tmp_path)
    expected = np.load(tmp_path / "expected.npz")
    nyu = Nyu(path)
    assert len(nyu.pairs) == 4 and "not the official split" in nyu.notes[-1]
    savemat(tmp_path / "splits.mat", {"testNdxs": [[4], [2]], "trainNdxs": [[1], [3]]})
    for root in (path, tmp_path):
        nyu = Nyu(root)
        assert [pair.line for pair in nyu.pairs] == [2, 4] and "splits.mat" in nyu.digests
        assert len(nyu.notes) == 1 and "filled in" in nyu.notes[0]
        assert np.array_equal(np.asarray(nyu.image(1)), expected["images"][3])
        assert np.array_equal(nyu.depth(1).numpy(), expected["depths"][3])
    train = Nyu(path, split="train")
    assert train.depth(0)[0, 0] == 0, "no finite value is no value"
    with pytest.raises(UserError, match="takes no list file"):
        Nyu(path, list_file=tmp_path / "list.txt")


def test_bad_labeled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = labeled(tmp_path)
    savemat(tmp_path / "splits.mat", {"testNdxs": [[5]]})
    assert "names pairs outside of 1..4" in refusal(path)
    (tmp_path / "splits.mat").write_bytes(b"garbage")
    assert f"{tmp_path / 'splits.mat'}: cannot be read" in refusal(path)
    (tmp_path / "splits.mat").unlink()
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install 'decoder-bench[nyu-mat]'" in refusal(path)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:1000])
    assert "dataset 'images' cannot be read" in refusal(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 3, 8, 6), dtype=np.uint8)
    assert "dataset 'depths' cannot be read" in refusal(path)
    with h5py.File(path, "a") as file:
        file["depths"] = np.zeros((2, 6, 8))
    assert "do not belong together" in refusal(path)
    with h5py.File(path, "a") as file:
        del file["images"]
        file["images"] = np.zeros((2, 3, 8, 6), dtype=np.float32)
    assert "images holds float32, expected uint8" in refusal(path)


def test_raw_depths_and_border(tmp_path: Path) -> None:
    """By default a labeled file gives what BTS wrote as PNG pairs: raw depth, and images black near the edge."""
    path = labeled(tmp_path, 2, size=(480, 640), raw=True)
    expected = np.load(tmp_path / "expected.npz")
    nyu = Nyu(path)
    assert np.array_equal(nyu.depth(1).numpy(), expected["raw"][1]) and "rawDepths" in nyu.notes[0]
    framed = np.zeros_like(expected["images"][1])
    framed[7:474, 7:632] = expected["images"][1][7:474, 7:632]
    assert np.array_equal(np.asarray(nyu.image(1)), framed)
    filled = Nyu(path, depths="depths")
    assert np.array_equal(filled.depth(1).numpy(), expected["depths"][1]) and "filled in" in filled.notes[0]
    assert np.array_equal(np.asarray(filled.image(1)), expected["images"][1])
    hashes = {Dataset(coco=None, nyu=data).content_hash for data in (nyu, filled)}
    assert len(hashes) == 2, "two truths are two data sets"


def test_labeled_saved_again_with_the_height_first(tmp_path: Path) -> None:
    path = labeled(tmp_path)
    expected = np.load(tmp_path / "expected.npz")
    with h5py.File(path, "w") as file:
        file["images"] = expected["images"].transpose(0, 3, 1, 2)
        file["depths"] = expected["depths"]
    nyu = Nyu(path)
    assert np.array_equal(np.asarray(nyu.image(2)), expected["images"][2])
    assert np.array_equal(nyu.depth(2).numpy(), expected["depths"][2])


def test_scale(tmp_path: Path) -> None:
    root = tiny_nyu(tmp_path)
    assert torch.equal(Nyu(root, scale=500).depth(1), Nyu(root).depth(1) * 2)
    assert Dataset(coco=None, nyu=Nyu(root, scale=500)).content_hash != Dataset(coco=None, nyu=Nyu(root)).content_hash


def test_real_data() -> None:
    nyu = Nyu(shared() / "nyu_mini")
    assert len(nyu.pairs) == 9
    assert nyu.depth(0).shape == (480, 640)
    assert round(float(nyu.depth(0).max()), 3) == 3.615
    assert nyu.image(8).size == (640, 480)


def test_real_splits(tmp_path: Path) -> None:
    splits = shared() / "nyu_mini/reference_lists/splits.mat"
    path = tmp_path / LABELED_NAME
    with h5py.File(path, "w") as file:  # only the shapes matter
        file.create_dataset("images", (1449, 3, 2, 2), dtype="uint8")
        file.create_dataset("depths", (1449, 2, 2), dtype="float32")
    (tmp_path / "splits.mat").symlink_to(splits)
    assert len(Nyu(path).pairs) == 654 and len(Nyu(path, split="train").pairs) == 795
