"""What an image was read from: changed files are noticed without reading all of them at every start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from bench.data.dataset import Dataset, DatasetSample

Source = tuple[str, str]
"""Size and time of change of each file of an image, and a hash of their bytes; the hash decides."""


def stamp(dataset: Dataset, sample: DatasetSample) -> str:
    """Size and time of change, in nanoseconds, of each file of an image."""
    states = [path.stat() for path in dataset.files(sample)]
    return " ".join(f"{state.st_size}:{state.st_ctime_ns}" for state in states)


def digest(dataset: Dataset, sample: DatasetSample) -> str:
    """32 hexadecimal letters that identify the bytes of image and depth map."""
    letters = hashlib.blake2b(digest_size=16)
    for content in dataset.contents(sample):
        letters.update(content)
    return letters.hexdigest()


def source(dataset: Dataset, sample: DatasetSample) -> Source:
    """Stamp and digest of an image."""
    return stamp(dataset, sample), digest(dataset, sample)


def changed(dataset: Dataset, before: Mapping[int, Source]) -> list[DatasetSample]:
    """Images whose bytes are not those of ``before``, by image id; only files with another stamp are read."""
    return [
        sample
        for sample in dataset.samples
        if sample.image_id in before
        and stamp(dataset, sample) != before[sample.image_id][0]
        and digest(dataset, sample) != before[sample.image_id][1]
    ]


def combined(parts: Iterable[str]) -> str:
    """One hash of the stamps or digests of many images."""
    letters = hashlib.blake2b(digest_size=16)
    for part in parts:
        letters.update(part.encode() + b"\n")
    return letters.hexdigest()
