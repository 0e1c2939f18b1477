"""Files that change behind a run or a cache, and what killed processes leave."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from bench.data import sources
from bench.data.coco.reader import Coco
from bench.data.dataset import Dataset
from bench.data.packed import packed
from bench.data.part_folder import HOUR, LOCK, part_folder, remove_stale_parts
from tests.bench.data.folders import tiny_coco


def dataset(root: Path) -> Dataset:
    return Dataset(coco=Coco(root), nyu=None)


def disturb(path: Path) -> None:
    """Another byte at equal size and equal time of modification."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_changed_bytes_are_noticed_and_a_touch_is_not(tmp_path: Path) -> None:
    data = dataset(tiny_coco(tmp_path))
    before = {sample.image_id: sources.source(data, sample) for sample in data.samples}
    assert not sources.changed(data, before)
    (tmp_path / "val2017/000000000007.jpg").touch()
    disturb(tmp_path / "val2017/000000000003.jpg")
    assert [sample.image_id for sample in sources.changed(data, before)] == [3]


def test_unchanged_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(tiny_coco(tmp_path))
    before = {sample.image_id: sources.source(data, sample) for sample in data.samples}
    monkeypatch.setattr(sources, "digest", lambda *_: pytest.fail("a file was read"))
    assert not sources.changed(data, before)


def test_packed_arrays_follow_their_images_and_damage(tmp_path: Path) -> None:
    root, cache = tiny_coco(tmp_path / "coco"), tmp_path / "cache"
    written: list[int] = []

    def first_pixels() -> bytes:
        written.clear()
        data = dataset(root)
        arrays = packed(data, cache, side=16, words=None, pieces="x", progress=lambda *step: written.append(step[0]))
        return arrays.images.tobytes()

    first = first_pixels()
    assert written and first_pixels() == first and not written, "packed once"
    (image := root / "val2017/000000000003.jpg").write_bytes(image.read_bytes())
    assert first_pixels() == first and not written, "the bytes are the same"
    disturb(image)
    first_pixels()
    assert written, "other bytes at equal size are packed anew"
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-9])
    first_pixels()
    assert written and list(cache.iterdir()) == [folder]


def test_stale_parts_go_and_those_with_an_owner_stay(tmp_path: Path) -> None:
    killed, living, old, new = (tmp_path / f".packed-v1-{name}.part" for name in ("killed", "living", "old", "new"))
    for folder in (killed, living, old, new):
        folder.mkdir()
        (folder / "images.npy").write_bytes(b"x")
    (killed / LOCK).touch()
    long_ago = time.time() - 2 * HOUR
    for path in (old / "images.npy", old):
        os.utime(path, (long_ago, long_ago))
    with (living / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_stale_parts(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, new.name])
    with part_folder(tmp_path / "target") as part:
        assert not living.exists(), "its owner is gone"
        (part / "a").touch()
    assert list(tmp_path.iterdir()) == [new]
