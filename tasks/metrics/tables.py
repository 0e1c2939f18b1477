"""Per-image tables of a metric: what a score over any resample of the images is computed from (paired bootstrap)."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.base import Json
from tasks.errors import TaskError

DTYPES = ("|b1", "|u1", "<i4", "<i8", "<f8")
MOST_BYTES = 2**31


class ScoreTable(Protocol):
    """What an optional method ``tables(records)`` of a metric gives, so that the metric can be resampled.

    A metric without that method is compared without an interval, and the comparison says so.

    Attributes:
        images: ids of the I images, in the order of the columns of ``weights``.
        names: metrics that ``score`` gives.
        lower: those of them of which less is better.
    """

    images: Sequence[int]
    names: Sequence[str]
    lower: frozenset[str]

    def score(self, weights: NDArray[Any], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Metric values of R resamples.

        Args:
            weights: (R, I) whole numbers, how often each image is in each resample.
            names: metrics wanted; None for all.

        Returns:
            Name to (R,) float64, not a number where a resample has no value.
        """
        ...

    def pack(self) -> Json:
        """The table as JSON data with its ``kind``, for ``unpack``."""
        ...


class MeanTable:
    """Metrics that are means over images.

    Args:
        images: ids of the I images.
        values: metric to (I,) values; an image whose value is not a number is left out of the mean.
        lower: metrics of which less is better.
    """

    def __init__(self, images: Sequence[int], values: Mapping[str, Any], lower: frozenset[str] = frozenset()) -> None:
        self.images = [int(image) for image in images]
        self.values = {name: np.asarray(column, dtype=float) for name, column in values.items()}
        self.names = tuple(self.values)
        self.lower = lower

    def score(self, weights: NDArray[Any], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Weighted means (R,) of the metrics from weights (R, I)."""
        check_weights(weights, len(self.images))
        return {name: _means(weights, self.values[name]) for name in self.names if names is None or name in names}

    def pack(self) -> Json:
        """The table as JSON data."""
        columns = {name: pack_array(column) for name, column in self.values.items()}
        return {"kind": "means", "images": self.images, "values": columns, "lower": sorted(self.lower)}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> MeanTable:
        """The table from what ``pack`` gave."""
        columns = {name: unpack_array(column) for name, column in packed["values"].items()}
        if any(column.shape != (len(packed["images"]),) for column in columns.values()):
            raise ValueError("columns and images differ in number")
        return cls(packed["images"], columns, frozenset(packed["lower"]))


def _means(weights: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """(R,) means of values (I,) under weights (R, I)."""
    valid = np.isfinite(values)
    counts = weights @ valid.astype(float)  # (R,)
    sums = weights @ np.where(valid, values, 0.0)  # (R,)
    means: NDArray[Any] = np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0)
    return means


def check_weights(weights: NDArray[Any], images: int) -> None:
    """Refuse weights that do not belong to the table.

    Raises:
        TaskError: if they are not (R, images).
    """
    if weights.ndim != 2 or weights.shape[1] != images:
        raise TaskError(f"weights are {weights.shape}, the table has {images} images; give (resamples, {images})")


def pack_array(array: Any) -> Json:
    """An array as JSON data: type, shape and its bytes, compressed."""
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<")) if plain.dtype.byteorder == ">" else plain
    data = base64.b64encode(zlib.compress(plain.tobytes(), 9)).decode("ascii")
    return {"type": plain.dtype.str, "shape": list(plain.shape), "data": data}


def unpack_array(packed: Mapping[str, Any]) -> NDArray[Any]:
    """The array from what ``pack_array`` gave.

    Raises:
        ValueError: if type, shape and bytes do not belong together.
    """
    if packed["type"] not in DTYPES:
        raise ValueError(f"array of type {packed['type']}; expected one of {', '.join(DTYPES)}")
    kind, shape = np.dtype(packed["type"]), tuple(int(side) for side in packed["shape"])
    size = math.prod(shape) * kind.itemsize
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"array of {size} bytes")
    decoder = zlib.decompressobj()
    data = decoder.decompress(base64.b64decode(packed["data"]), size + 1)
    if len(data) != size:
        raise ValueError(f"array of shape {shape} has not {size} bytes")
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()
