"""Checks the files of a data set before the work starts: heads and ends of all of them, values of a few depth maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from torch import Tensor

from bench.data.dataset import Dataset, DatasetSample
from bench.data.images import GRAY_16, ImageHeader, check_depth_header, looks_cut, read_header
from bench.data.orientation import UPRIGHT
from bench.errors import DataError

FARTHEST = 10.0  # meters that NYUv2's sensor reaches
MOST_BEYOND = 0.01  # of the pixels with a value
# Meters of median depth. NYUv2's medians, 1.7 to 3.3, leave the range if 256 or 5000 to the meter are read as 1000.
INDOORS = (0.9, 8.0)
PROBED = 20  # depth maps that are read to find a wrong unit


def check_files(dataset: Dataset) -> list[str]:
    """Read heads and ends of all files in use, and some depth maps; returns what a reader of the results must know.

    Raises:
        DataError: at the first file that is cut or of another size than annotated, or a depth map not of 16 bits.
    """
    counts: Counter[str] = Counter()
    for sample in dataset.samples:
        if sample.path is not None:
            header = read_header(
                sample.path,
                size=dataset.annotated_size(sample),
                record=f"image {sample.image_id}",
                exif=dataset.exif,
            )
            counts.update(header_remarks(header))
            if looks_cut(sample.path):
                dataset.image(sample)
        _check_depth(dataset, sample)
    heads = [f"{count:,} of {len(dataset):,} images: {remark}" for remark, count in counts.items()]
    return [*dataset.notes, *heads, *_depth_notes(dataset)]


def header_remarks(header: ImageHeader) -> list[str]:
    """What is special about an image that is read all the same."""
    remarks = []
    if header.mode.startswith(GRAY_16):
        remarks.append("16-bit gray, divided by 257")
    if header.transparent:
        remarks.append("transparency, which is ignored")
    if header.orientation != UPRIGHT:
        remarks.append("with an EXIF orientation (verify-data names them)")
    return remarks


def _check_depth(dataset: Dataset, sample: DatasetSample) -> None:
    if sample.nyu_index is None or dataset.nyu is None:
        return
    pair = dataset.nyu.pairs[sample.nyu_index]
    if pair.depth is not None:
        check_depth_header(pair.depth, record=f"line {pair.line}")
        if looks_cut(pair.depth):
            dataset.depth(sample)


def _depth_notes(dataset: Dataset) -> list[str]:
    with_depth = [sample for sample in dataset.samples if sample.nyu_index is not None]
    probed = with_depth[:: max(1, len(with_depth) // PROBED)][:PROBED]
    values = []
    for sample in probed:
        with suppress(DataError):  # the run says what is wrong with a file when it comes to it
            meters = dataset.depth(sample)
            values.append(None if meters is None else depth_values(meters))
    return [] if (note := unit_note(values)) is None else [note]


def depth_values(meters: Tensor) -> tuple[float, float] | None:
    """Median depth of a map and share of its values beyond the sensor's reach; None without a value."""
    values = meters[meters > 0]
    return (values.median().item(), (values > FARTHEST).double().mean().item()) if len(values) else None


def unit_note(maps: Sequence[tuple[float, float] | None]) -> str | None:
    """A warning where depth maps look as if they were not in meters, from ``depth_values`` of each."""
    known = sorted(values for values in maps if values is not None)
    if not known:
        return None
    median, beyond = known[len(known) // 2][0], sum(share for _, share in known) / len(known)
    if INDOORS[0] <= median <= INDOORS[1] and beyond <= MOST_BEYOND:
        return None
    return (
        f"depth looks as if it were in another unit: median {median:.3g} m, {100 * beyond:.1f} % of the pixels beyond "
        f"{FARTHEST:g} m; --nyu-scale gives the stored value of one meter (1000 for millimeters)"
    )
