"""Checks a data folder before hours are spent on it: every problem is listed, not only the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from bench.data.coco.annotations import KINDS, annotation_path
from bench.data.coco.classes import COCO_CLASSES, OFFICIAL_IMAGES, OFFICIAL_PAIRS
from bench.data.coco.reader import CocoTables, read_coco
from bench.data.coco.remarks import REMEDIES, note
from bench.data.file_checks import FARTHEST, MOST_BEYOND, depth_values, header_remarks, unit_note
from bench.data.images import MILLIMETERS, ImageHeader, check_depth_header, read_depth, read_header, read_rgb
from bench.data.nyu.labeled import NO_SPLITS, Depths, Labeled
from bench.data.nyu.reader import DepthPair, find_list, labeled_file, read_list
from bench.data.orientation import UPRIGHT, Exif
from bench.data.problems import Fault, Problem, Refused, printable, quote
from bench.errors import UserError

Level = Literal["error", "warning", "info"]
Progress = Callable[[int, int], None]

MOST_OF_A_KIND = 20
LABELED_PAIRS = 1449


@dataclass(frozen=True)
class Finding:
    """One thing found in a data folder.

    Args:
        level: ``error`` stops a run, ``warning`` makes its numbers incomparable, ``info`` is good to know.
        file: file or folder as given; empty where it is about all of them.
        record: record of the file, or empty.
        message: what was found.
        remedy: what to do, or empty.
    """

    level: Level
    file: str
    record: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.record) if part)
        return f"{self.level}: {where}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")


Job = Callable[[], "list[tuple[Level, Problem]]"]


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Args:
        full: decode every image; else only read the size in its head.
        exif: how an image lies that has an EXIF orientation.
        depths: which depth of a labeled file is read.
        scale: stored value of one meter in depth files.
    """

    full: bool = True
    exif: Exif = "annotated"
    depths: Depths = "rawDepths"
    scale: float = MILLIMETERS


READING = Reading()


class _Findings:
    """Findings so far; of one kind in one folder only the first are kept, the rest is counted."""

    def __init__(self) -> None:
        self._list: list[Finding] = []
        self._counts: Counter[tuple[Level, str]] = Counter()
        self.depths: list[tuple[float, float] | None] = []

    def problem(self, problem: Problem) -> None:
        """Reporter for the readers."""
        self.add("error", problem)

    def add(self, level: Level, problem: Problem) -> None:
        """Keep a problem, or count it if many of its kind are kept."""
        fault = problem.fault
        self._counts[level, fault.kind] += 1
        if self._counts[level, fault.kind] <= MOST_OF_A_KIND:
            self._keep(level, str(problem.file), problem.record, fault.message, fault.remedy)

    def note(self, level: Level, file: Path, message: str, remedy: str = "") -> None:
        """Keep a finding about a whole file or folder."""
        self._keep(level, str(file), "", message, remedy)

    def finish(self) -> list[Finding]:
        """All findings, with the number of those that were only counted."""
        for (level, kind), count in self._counts.items():
            if count > MOST_OF_A_KIND:
                message = f"{kind}: {count - MOST_OF_A_KIND:,} more of this kind, {count:,} in all"
                self._keep(level, "", "", message, "")
        return self._list

    def _keep(self, level: Level, *texts: str) -> None:
        self._list.append(Finding(level, *(printable(text) for text in texts)))


def verify(
    coco: Path | None,
    nyu: Path | None,
    *,
    splits: Sequence[str] | None = None,
    workers: int = 2,
    reading: Reading = READING,
    progress: Progress | None = None,
) -> list[Finding]:
    """Check a COCO and an NYUv2 folder: annotation files, every image and depth map, and the official counts.

    Args:
        coco: COCO folder, or None.
        nyu: NYUv2 folder or labeled file, or None.
        splits: of ``val2017``, ``train2017``, ``test``, ``train``; default: those that are there.
        workers: threads that open images.
        reading: how files are read.
        progress: called with the number of images done and in all.

    Returns:
        Findings in the order they were made; without an ``error`` the folders can be used.

    Raises:
        UserError: if no folder is given or an option is not usable.
    """
    choices = (*OFFICIAL_IMAGES, *OFFICIAL_PAIRS)
    if coco is None and nyu is None:
        raise UserError("no data set is given; name a COCO folder, an NYUv2 folder or both")
    if workers < 1:
        raise UserError(f"workers {workers}: give at least 1")
    for split in splits or ():
        if split not in choices:
            raise UserError(f"split {split!r} is unknown; choose from {', '.join(choices)}")
    findings = _Findings()
    jobs: list[Job] = []
    if coco is not None:
        for split in _coco_splits(coco, splits):
            jobs += _check_coco(coco, split, reading, findings)
    if nyu is not None:
        for split in _nyu_splits(nyu, splits):
            jobs += _check_nyu(nyu, split, reading, findings)
    _run(jobs, workers, progress, findings)
    if nyu is not None and (doubt := unit_note(findings.depths)):
        findings.note("warning", nyu, doubt)
    return findings.finish()


def _run(jobs: Sequence[Job], workers: int, progress: Progress | None, findings: _Findings) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for done, problems in enumerate(pool.map(lambda job: job(), jobs), start=1):
            for level, problem in problems:
                findings.add(level, problem)
            if progress is not None:
                progress(done, len(jobs))


def _coco_splits(root: Path, splits: Sequence[str] | None) -> list[str]:
    if splits is not None:
        return [split for split in splits if split in OFFICIAL_IMAGES]
    present = [s for s in OFFICIAL_IMAGES if any(annotation_path(root, kind, s).is_file() for kind in KINDS)]
    return present or ["val2017"]


def _check_coco(root: Path, split: str, reading: Reading, findings: _Findings) -> list[Job]:
    tables = read_coco(root, split, None, findings.problem)
    if tables is None:
        return []
    for kind in KINDS:
        path = annotation_path(root, kind, split)
        if not path.is_file():
            findings.note("info", path, "is absent: its tasks will be off")
    _check_categories(tables, findings)
    for reason, count in tables.skipped.items():
        if count:
            findings.note("info", root / split, f"{reason}: {count:,}")
    for remark, ids in tables.remarks.items():
        findings.note("warning", root / split, note(remark, ids), REMEDIES[remark])
    unlisted = len(tables.folder.plain) - sum(e.path.name in tables.folder.plain for e in tables.images.values())
    if unlisted > 0:
        findings.note("info", root / split, f"{unlisted:,} files are in no annotation file")
    _count(findings, root / split, len(tables.images), OFFICIAL_IMAGES[split], "images")
    return [_rgb_job(entry.path, f"image {i}", entry.size, reading) for i, entry in tables.images.items()]


def _check_categories(tables: CocoTables, findings: _Findings) -> None:
    official = dict(COCO_CLASSES)
    files = [file for kind, file in tables.files.items() if kind != "captions"]
    names = [name for category, name in tables.categories.items() if official.get(category) != name]
    if names:
        message = f"{len(names)} categories are not of COCO's 80: {quote(names)}"
        findings.note("warning", files[0].path, message, "fine for data of your own; choose a --preset for its classes")


def _nyu_splits(root: Path, splits: Sequence[str] | None) -> list[str]:
    if splits is not None:
        return [split for split in splits if split in OFFICIAL_PAIRS]
    present = [split for split in OFFICIAL_PAIRS if root.is_dir() and find_list(root, split) is not None]
    return present or ["test"]


def _check_nyu(root: Path, split: str, reading: Reading, findings: _Findings) -> list[Job]:
    try:
        labeled = labeled_file(root, split, None)
        if labeled is not None:
            return _check_labeled(labeled, reading, findings)
    except Refused as error:
        findings.problem(error.problem)
        return []
    tables = read_list(root, split, None, findings.problem)
    if tables is None:
        return []
    for reason, count in tables.skipped.items():
        findings.note("info", tables.list_file, f"{reason}: {count:,}")
    _count(findings, tables.list_file, len(tables.pairs), OFFICIAL_PAIRS[split], f"{split} pairs")
    return [_pair_job(pair, reading, findings) for pair in tables.pairs]


def _check_labeled(path: Path, reading: Reading, findings: _Findings) -> list[Job]:
    file = Labeled(path, reading.depths)
    for text in file.notes:
        findings.note("warning" if file.depths == "depths" else "info", path, text)
    _count(findings, path, file.pairs, LABELED_PAIRS, "labeled pairs")
    if file.indices("test") is None:
        findings.note("warning", path, NO_SPLITS, "put splits.mat there")

    def read(index: int) -> list[tuple[Level, Problem]]:
        try:
            file.image(index)
            return _depth_faults(file.depth(index), path, f"pair {index + 1}", findings)
        except Refused as error:
            return [("error", error.problem)]

    return [lambda index=index: read(index) for index in range(file.pairs)]  # type: ignore[misc]


def _count(findings: _Findings, file: Path, count: int, official: int, what: str) -> None:
    if count == official:
        findings.note("info", file, f"all of the official {official:,} {what}")
    else:
        remedy = "numbers on other than the official data do not compare with published ones"
        findings.note("warning", file, f"{count:,} of the official {official:,} {what}", remedy)


def _rgb_job(path: Path, record: str, size: tuple[int, int] | None, reading: Reading) -> Job:
    def job() -> list[tuple[Level, Problem]]:
        warnings: list[tuple[Level, Problem]] = []
        try:
            header = read_header(path, size=size, record=record, exif=reading.exif)
            warnings = [("warning", Problem(path, record, fault)) for fault in _header_faults(header)]
            if reading.full:
                read_rgb(path, size=size, record=record, exif=reading.exif)
        except Refused as error:
            return [*warnings, ("error", error.problem)]
        return warnings

    return job


def _header_faults(header: ImageHeader) -> list[Fault]:
    if header.orientation != UPRIGHT:
        message = f"has EXIF orientation {header.orientation}"
        return [Fault("image with an EXIF orientation", message, "--exif says how its annotations mean it")]
    return [Fault(remark, remark, "") for remark in header_remarks(header)]


def _pair_job(pair: DepthPair, reading: Reading, findings: _Findings) -> Job:
    record = f"line {pair.line}"

    def job() -> list[tuple[Level, Problem]]:
        if pair.rgb is None or pair.depth is None:
            return []
        problems = _rgb_job(pair.rgb, record, None, reading)()
        readable = all(level != "error" for level, _ in problems)
        try:
            size = read_header(pair.rgb, record=record, exif=reading.exif).size if readable else None
            if reading.full:
                depth = read_depth(pair.depth, size=size, record=record, scale=reading.scale)
                problems += _depth_faults(depth, pair.depth, record, findings)
            else:
                check_depth_header(pair.depth, size=size, record=record)
        except Refused as error:
            problems.append(("error", error.problem))
        return problems

    return job


def _depth_faults(meters: Tensor, path: Path, record: str, findings: _Findings) -> list[tuple[Level, Problem]]:
    values = depth_values(meters)
    findings.depths.append(values)
    if values is None:
        fault = Fault("empty depth map", "holds no depth", "check the file; it would not be scored")
    elif values[1] > MOST_BEYOND:
        message = f"{100 * values[1]:.1f} % of the pixels lie beyond {FARTHEST:g} m, the median at {values[0]:.3g} m"
        fault = Fault("depth beyond the sensor", message, "--nyu-scale gives the stored value of one meter")
    else:
        return []
    return [("warning", Problem(path, record, fault))]
