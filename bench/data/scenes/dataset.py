"""The embedded data set: small rendered scenes, written as a real COCO and NYUv2 folder and cached by their content.

One folder is both roots: ``annotations/``, ``val2017/`` as COCO has them, and beside each image a 16-bit depth image in
millimeters, paired by list files as NYUv2's are. The readers of the real data sets therefore read it unchanged. Every
image has its own random stream, drawn from the seed, the split and the image's index, so neither the order of rendering
nor the number of processes matters.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import connection
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from bench.data.scenes import coco_format
from bench.data.scenes.scene import COUNTS, SEED, SPLITS, SceneError, check_split, render
from bench.data.scenes.worlds import WorldName

if sys.platform != "win32":
    import fcntl

VERSION = 1
"""Raised whenever the same seed no longer gives the same pictures, so that old caches are not used."""
CHUNK = 50  # images handed to a process at a time
CACHE_VARIABLE = "DECODER_BENCH_CACHE"

Progress = Callable[[int, int], None]


def write(
    root: Path,
    *,
    splits: Sequence[str] = ("val2017",),
    counts: Mapping[str, int] | None = None,
    seed: int = SEED,
    world: WorldName = "rooms",
    processes: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Render ``splits`` into ``root`` and return the hash of their content (of one split: its ``content_hash``).

    A split that exists with the same seed, count and version is kept. A split is rendered beside ``root``, moved in at
    the end and valid only with its marker file, which is written last: an interrupted run leaves no half split.

    Args:
        root: the folder; a COCO and an NYUv2 root at once.
        splits: names from ``SPLITS``.
        counts: split to number of images, where it is not ``COUNTS``.
        seed: of all random streams.
        world: what scenes may contain.
        processes: that render; None: one per core, 1: this process.
        progress: called with images done and images to render in all.

    Raises:
        SceneError: for an unknown split, a count below 1, an unwritable root, or a root with files of other data.
    """
    root = Path(root)
    markers = {split: _Marker(VERSION, world, seed, _count(split, counts), "") for split in splits}
    if not markers:
        raise SceneError(f"no split given; expected one or more of {', '.join(SPLITS)}")
    if seed < 0:
        raise SceneError(f"seed {seed} given; expected 0 or more")
    if processes is not None and processes < 1:
        raise SceneError(f"{processes} processes given; expected 1 or more, or None for one per core")
    try:
        with _lock(root):
            _write_missing(root, markers, processes or os.cpu_count() or 1, progress)
    except OSError as error:
        raise SceneError(
            f"cannot write scenes to {root}: {error.strerror or error}; choose a writable folder"
        ) from error
    except BrokenProcessPool as error:
        raise SceneError(
            "a rendering process ended early; call from below `if __name__ == '__main__':` or pass processes=1"
        ) from error
    hashes = [_read_marker(root, split).content for split in markers]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def cached(
    *,
    splits: Sequence[str] = ("val2017",),
    seed: int = SEED,
    world: WorldName = "rooms",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The root of the scenes in the user's cache folder, rendering the splits that are missing.

    ``cache``, else the environment variable DECODER_BENCH_CACHE, replaces the cache folder. Of two processes that call
    this at once, one renders and the other waits. Raises SceneError like ``write``.
    """
    base = cache or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("decoder-bench"))
    kind = "" if world == "rooms" else f"{world}-"
    root = Path(base) / f"scenes-{kind}v{VERSION}-seed{seed}"
    if not all(_complete(root, split, _Marker(VERSION, world, seed, _count(split, None), "")) for split in splits):
        write(root, splits=splits, seed=seed, world=world, progress=progress)
    return root


def content_hash(root: Path, split: str) -> str:
    """16 hex digits over the names and bytes of every file of a split. Raises SceneError where one is missing."""
    check_split(split)
    digest = hashlib.sha256()
    for part in sorted(coco_format.split_parts(split)):
        path = Path(root) / part
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise SceneError(f"{file} of the scenes cannot be read; delete {root} and render again") from error
            digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Marker:
    """Content of the marker file of a finished split."""

    version: int
    world: WorldName
    seed: int
    count: int
    content: str


def _count(split: str, counts: Mapping[str, int] | None) -> int:
    check_split(split)
    count = (counts or {}).get(split, COUNTS[split])
    if count < 1:
        raise SceneError(f"{count} images given for {split}; expected 1 or more")
    return count


def _marker_path(root: Path, split: str) -> Path:
    return root / f".complete-{split}.json"


def _moving_path(root: Path, split: str) -> Path:
    return root / f".incomplete-{split}"


def _read_marker(root: Path, split: str) -> _Marker:
    """The marker of a split; where it is missing or unreadable, one that equals no valid marker."""
    try:
        content = json.loads(_marker_path(root, split).read_text(encoding="utf-8"))
        world = content.get("world", "rooms")
        return _Marker(content["version"], world, content["seed"], content["count"], content["content"])
    except (OSError, ValueError, KeyError, TypeError):
        return _Marker(-1, "rooms", -1, -1, "")


def _complete(root: Path, split: str, expected: _Marker) -> bool:
    """Whether the split exists as expected, with all of its files."""
    marker = _read_marker(root, split)
    if replace(marker, content="") != expected:
        return False
    if not all((root / part).exists() for part in coco_format.split_parts(split)):
        return False
    return all(len(list((root / folder).iterdir())) == expected.count for folder in (split, f"depth_{split}"))


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the root for this process alone; the system lets go of it if the process is killed."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f".{root.name}.lock").open("w", encoding="utf-8") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_missing(root: Path, markers: Mapping[str, _Marker], processes: int, progress: Progress | None) -> None:
    missing = {split: marker for split, marker in markers.items() if not _complete(root, split, marker)}
    for split in missing:
        ours = _marker_path(root, split).exists() or _moving_path(root, split).exists()
        if not ours and any((root / part).exists() for part in coco_format.split_parts(split)):
            raise SceneError(f"{root} already holds {split} files that are not rendered scenes; choose another folder")
    prefix = f".{root.name}.partial-"
    for stale in root.parent.glob(f"{prefix}*"):  # left by a killed run: we hold the lock, so nobody writes there
        shutil.rmtree(stale, ignore_errors=True)
    total, done = sum(marker.count for marker in missing.values()), 0
    for split, marker in missing.items():
        partial = Path(tempfile.mkdtemp(prefix=prefix, dir=root.parent))
        try:
            _render_split(partial, split, marker, processes, _from(progress, done, total))
            _move_in(partial, root, split, marker)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        done += marker.count


def _from(progress: Progress | None, start: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(start + done, total) if progress else None


def _move_in(partial: Path, root: Path, split: str, marker: _Marker) -> None:
    content = content_hash(partial, split)
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    # Should this run be killed between two moves, the next one may replace these parts.
    _moving_path(root, split).touch()
    _marker_path(root, split).unlink(missing_ok=True)
    for part in coco_format.split_parts(split):
        target = root / part
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        (partial / part).replace(target)
    marker_file = partial / "marker"
    marker_file.write_text(json.dumps(asdict(replace(marker, content=content))) + "\n", encoding="utf-8")
    marker_file.replace(_marker_path(root, split))
    _moving_path(root, split).unlink()


def _render_split(folder: Path, split: str, marker: _Marker, processes: int, progress: Callable[[int], None]) -> None:
    """Write one split's six parts into an empty folder."""
    for name in ("annotations", split, f"depth_{split}"):
        (folder / name).mkdir()
    starts = range(0, marker.count, CHUNK)
    jobs = [(folder, split, start, min(start + CHUNK, marker.count), marker) for start in starts]
    records: list[coco_format.Records] = []
    with contextlib.ExitStack() as stack:
        results: Iterator[list[coco_format.Records]] = map(_render_chunk, jobs)
        if processes > 1 and len(jobs) > 1:
            # Not by forking this process: it may hold threads and an accelerator.
            method = "spawn" if sys.platform == "win32" else "forkserver"
            context = multiprocessing.get_context(method)
            workers = min(processes, len(jobs))
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent))
            results = pool.map(_render_chunk, jobs)
        for part in results:
            records += part
            progress(len(records))
    description = f"decoder-bench embedded scenes, version {marker.version}, seed {marker.seed}, {split}"
    for name, text in coco_format.documents(split, records, description=description).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _render_chunk(job: tuple[Path, str, int, int, _Marker]) -> list[coco_format.Records]:
    folder, split, start, stop, marker = job
    finished = []
    for index in range(start, stop):
        scene, image_id = render(split, index, seed=marker.seed, world=marker.world), index + 1
        name = coco_format.image_name(image_id)
        Image.fromarray(scene.image).save(folder / split / f"{name}.jpg", quality=92, subsampling=0)
        millimeters = np.rint(scene.depth * 1000).astype(np.uint16)
        Image.fromarray(millimeters).save(folder / f"depth_{split}" / f"{name}.png", compress_level=4)
        finished.append(coco_format.records(scene, image_id))
    return finished


def _end_with_parent() -> None:
    """Let a rendering process end as soon as the one that started it is killed, instead of waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
