"""NYUv2: pairs of an RGB image and a 16-bit depth PNG from a list file (BTS, GLPDepth), or the labeled file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from PIL import Image
from torch import Tensor

from bench.data.folders import Folder, existing_folder
from bench.data.images import MILLIMETERS, read_depth, read_header, read_rgb
from bench.data.nyu.labeled import NO_SPLITS, SPLITS_FILE, Depths, Labeled
from bench.data.orientation import Exif
from bench.data.problems import Fault, Problem, Reporter, quote, refuse
from bench.errors import DataError, UserError

LIST_NAMES = {
    split: (
        f"{split}_files_with_gt.txt",
        f"nyudepthv2_{split}_files_with_gt.txt",
        f"{split}_list.txt",
        f"nyu_{split}.txt",
    )
    for split in ("test", "train")
}
BASES = {"test": "official_splits/test", "train": "sync"}
LABELED_NAME = "nyu_depth_v2_labeled.mat"
NO_DEPTH = "lines without a depth file"
PROBED = 20  # pairs that are looked for to find the folder that the list speaks of


@dataclass(frozen=True)
class DepthPair:
    """One pair.

    Args:
        rgb: image file; None in the labeled file.
        depth: depth file; None in the labeled file.
        line: line of the list file, or number in the labeled file, from 1.
    """

    rgb: Path | None
    depth: Path | None
    line: int


@dataclass(frozen=True)
class NyuTables:
    """A list file as read and checked; ``base`` is the folder its names start from."""

    list_file: Path
    base: Path
    pairs: list[DepthPair]
    skipped: dict[str, int]
    digest: str


class Nyu:
    """NYUv2 pairs of one split.

    Args:
        root: folder of the images, or a labeled ``.mat`` file. List file and images may lie in the folder itself, in
            ``official_splits/test`` (test) or in ``sync`` (train), the list also in the folder above them.
        split: ``test`` or ``train``.
        list_file: list file, if it has an unusual name or place.
        depths: which depth of a labeled file is read.
        scale: stored value of one meter in depth files.
        exif: how an image lies that has an EXIF orientation.

    Attributes:
        pairs: the pairs in order of the list.
        skipped: number of lines left out, by reason.
        notes: what a reader of the results must know.
        digests: list file name to SHA-256 of its bytes.

    Raises:
        DataError: at the first line that cannot be used.
    """

    def __init__(
        self,
        root: Path,
        *,
        split: str = "test",
        list_file: Path | None = None,
        depths: Depths = "rawDepths",
        scale: float = MILLIMETERS,
        exif: Exif = "annotated",
    ) -> None:
        if split not in LIST_NAMES:
            raise UserError(f"NYUv2 has no split {quote(split)}; give test or train")
        self.root = root
        self.split = split
        self.scale = scale
        self.exif: Exif = exif
        self.notes: list[str] = []
        self.skipped: dict[str, int] = {}
        self.digests: dict[str, str] = {}
        self.pairs: list[DepthPair] = []
        self.base = root
        self._labeled: Labeled | None = None
        labeled = labeled_file(root, split, list_file)
        if labeled is None:
            self._read_list(list_file)
        else:
            self._read_labeled(labeled, depths)

    def _read_list(self, list_file: Path | None) -> None:
        tables = read_list(self.root, self.split, list_file, refuse)
        if tables is None:  # cannot be: refuse raises
            raise DataError(f"{self.root}: not an NYUv2 folder; give the folder that holds the list file")
        self.pairs, self.skipped, self.base = tables.pairs, tables.skipped, tables.base
        self.digests[tables.list_file.name] = tables.digest

    def _read_labeled(self, path: Path, depths: Depths) -> None:
        self._labeled = Labeled(path, depths)
        self.notes += self._labeled.notes
        chosen = self._labeled.indices(self.split)
        if chosen is None:
            self.notes.append(NO_SPLITS)
            chosen = list(range(self._labeled.pairs))
        else:
            self.digests[SPLITS_FILE] = hashlib.sha256((path.parent / SPLITS_FILE).read_bytes()).hexdigest()
        if not chosen:
            raise DataError(f"{path}: holds no pair; give {LABELED_NAME}")
        self.pairs = [DepthPair(None, None, index + 1) for index in chosen]
        self.base = path.parent

    @property
    def reading(self) -> str:
        """How depth is read, where it is not millimeters; part of what makes two data sets the same."""
        if self._labeled is not None:
            return self._labeled.depths
        return "" if self.scale == MILLIMETERS else f"{self.scale:g} a meter"

    @property
    def labeled_path(self) -> Path | None:
        """The labeled file, if the pairs come from one."""
        return None if self._labeled is None else self._labeled.path

    def image(self, index: int) -> Image.Image:
        """RGB image of a pair, fully decoded.

        Raises:
            DataError: if the file is broken.
        """
        pair = self.pairs[index]
        if pair.rgb is None:
            return self._file().image(pair.line - 1)
        return read_rgb(pair.rgb, record=f"line {pair.line}", exif=self.exif)

    def depth(self, index: int) -> Tensor:
        """(height, width) float32 meters of a pair, 0 where the sensor saw nothing.

        Raises:
            DataError: if the file is broken, is not 16-bit, or has another size than its image.
        """
        pair = self.pairs[index]
        if pair.rgb is None or pair.depth is None:
            return self._file().depth(pair.line - 1)
        size = read_header(pair.rgb, record=f"line {pair.line}", exif=self.exif).size
        return read_depth(pair.depth, size=size, record=f"line {pair.line}", scale=self.scale)

    def _file(self) -> Labeled:
        if self._labeled is None:
            raise DataError(f"{self.root}: pair without files; give a list with two columns")
        return self._labeled


def labeled_file(root: Path, split: str, list_file: Path | None) -> Path | None:
    """The labeled file that ``root`` is, or that it holds instead of a list."""
    if root.suffix.lower() == ".mat":
        if list_file is not None:
            raise UserError(f"{root} is a labeled file and takes no list file; leave {list_file} out")
        if not root.is_file():
            fault = Fault("missing file", "no such file", f"give {LABELED_NAME} or a folder with a list file")
            refuse(Problem(root, "", fault))
        return root
    inside = root / LABELED_NAME
    return inside if list_file is None and inside.is_file() and find_list(root, split) is None else None


def find_list(root: Path, split: str) -> Path | None:
    """The first list file of a split under one of its usual names and places."""
    places = [folder / name for folder in (root, root / BASES[split]) for name in LIST_NAMES[split]]
    return next((path for path in places if path.is_file()), None)


def read_list(root: Path, split: str, list_file: Path | None, report: Reporter) -> NyuTables | None:
    """Read and check a list file; None if a problem was reported that leaves nothing to read."""
    if not existing_folder(root, f"a list file such as {LIST_NAMES[split][0]}", report):
        return None
    path = list_file or find_list(root, split)
    if path is None:
        message = f"holds none of {', '.join(LIST_NAMES[split])}"
        fault = Fault("no list file", message, "put one there or name it with --nyu-list")
        report(Problem(root, "", fault))
        return None
    read = _lines(path, report)
    if read is None:
        return None
    digest, lines = read
    columns = [(number, line.split()) for number, line in lines if line.strip()]
    base = _base(root, split, [names for _, names in columns[:PROBED]])
    pairs, skipped = _pairs(path, columns, base, report)
    if not columns or (skipped and not pairs):
        fault = Fault("empty data set", "lists no pair", "give a file with lines `rgb depth [focal]`")
        report(Problem(path, "", fault))
    return NyuTables(path, base, pairs, skipped, digest)


def _lines(path: Path, report: Reporter) -> tuple[str, list[tuple[int, str]]] | None:
    """SHA-256 of a text file and its numbered lines."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        fault = Fault("unreadable file", f"cannot be read ({error.strerror})", "check the name and its permissions")
    except UnicodeDecodeError as error:
        fault = Fault("not a list file", f"is not text (byte {error.start})", "give lines `rgb depth [focal]`")
    else:
        if "\0" not in text:
            return hashlib.sha256(raw).hexdigest(), list(enumerate(text.split("\n"), start=1))
        fault = Fault("not a list file", f"is not text (byte {raw.index(0)})", "give lines `rgb depth [focal]`")
    report(Problem(path, "", fault))
    return None


def _base(root: Path, split: str, names: list[list[str]]) -> Path:
    """The folder in which the first listed images are found; ``root`` if they are nowhere."""
    for folder in (root, root / BASES[split]):
        if folder.is_dir():
            inside = Folder(folder)
            if any(inside.fault(columns[0].lstrip("/")) is None for columns in names):
                return folder
    return root


def _pairs(
    path: Path, columns: list[tuple[int, list[str]]], base: Path, report: Reporter
) -> tuple[list[DepthPair], dict[str, int]]:
    folder = Folder(base)
    first_line: dict[str, int] = {}
    pairs: list[DepthPair] = []
    missing = 0
    for number, names in columns:
        fault = _line_fault(names, folder, first_line)
        if fault is not None:
            report(Problem(path, f"line {number}", fault))
        elif names[1] == "None":  # how BTS marks a frame without ground truth
            missing += 1
        else:
            rgb, depth = (name.lstrip("/") for name in names[:2])
            first_line[rgb] = number
            pairs.append(DepthPair(base / rgb, base / depth, number))
    return pairs, {NO_DEPTH: missing} if missing else {}


def _line_fault(names: list[str], folder: Folder, first_line: dict[str, int]) -> Fault | None:
    if len(names) not in (2, 3):
        message = f"has {len(names)} column{'s' if len(names) > 1 else ''} ({quote(' '.join(names))})"
        return Fault("wrong columns", message, "write `rgb depth` or `rgb depth focal`, names without spaces")
    if len(names) == 3 and not _positive(names[2]):
        message = f"focal length {quote(names[2])} is no positive number"
        return Fault("wrong columns", message, "correct it or leave it out")
    rgb = names[0].lstrip("/")
    if rgb in first_line:
        return Fault("image listed twice", f"{quote(rgb)} is also on line {first_line[rgb]}", "list every image once")
    fault = folder.fault(rgb)
    if fault is None and names[1] != "None":
        fault = folder.fault(names[1].lstrip("/"), "depth image")
    return fault


def _positive(text: str) -> bool:
    try:
        return isfinite(float(text)) and float(text) > 0
    except ValueError:
        return False
