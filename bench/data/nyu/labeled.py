"""The labeled NYUv2 file: 1,449 pairs in one MATLAB 7.3 (HDF5) file, whose axes HDF5 shows in reverse order."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.data.problems import Fault, Problem, refuse

SPLITS_FILE = "splits.mat"
INSTALL = "install it with: pip install 'decoder-bench[nyu-mat]'"
NO_SPLITS = f"{SPLITS_FILE} is not beside the labeled file: all of its pairs are used, not the official split"
FULL_SIZE = (480, 640)
INSIDE = (slice(7, 474), slice(7, 632))  # rows and columns that the PNG pairs of BTS show; the rest of them is black
Depths = Literal["rawDepths", "depths"]


class Labeled:
    """Pairs of a labeled file, read one by one; it is opened for each read, so that processes may share an object.

    Args:
        path: the ``.mat`` file with ``images`` (pairs, 3, width, height) uint8 and depths (pairs, width, height) in
            meters, as HDF5 shows them. Images are wide, so a file saved again with the height first is read too.
        depths: ``rawDepths``, what the sensor saw, and images with the black border of the PNG pairs that BTS made;
            or ``depths``, with holes filled in, and whole images, also where a file lacks ``rawDepths``.

    Attributes:
        pairs: number of pairs.
        size: height and width in pixels.
        depths: dataset that is read.

    Raises:
        DataError: if the file cannot be read, or ``h5py`` is not installed.
    """

    def __init__(self, path: Path, depths: Depths = "rawDepths") -> None:
        self.path = path
        try:
            import h5py
        except ImportError:
            fault = Fault("h5py is missing", "reading a labeled .mat file needs the package h5py", INSTALL)
            refuse(Problem(path, "", fault))
        self._open = h5py.File
        names = self._with("images", lambda images: set(images.parent))
        self.depths: Depths = depths if depths in names else "depths"
        images, meters = self._shape("images", "u"), self._shape(self.depths, "f")
        if len(images) != 4 or images[1] != 3 or meters != (images[0], *images[2:]) or not all(images):
            message = f"images {images} and {self.depths} {meters} do not belong together"
            remedy = "expected (pairs, 3, width, height) and (pairs, width, height); give nyu_depth_v2_labeled.mat"
            refuse(Problem(path, "", Fault("wrong fields", message, remedy)))
        self.pairs = images[0]
        self._rows_first = images[2] < images[3]
        self.size = (min(images[2:]), max(images[2:]))

    @property
    def notes(self) -> list[str]:
        """Which depth is read, and which part of the images."""
        if self.depths == "depths":
            return ["depths of the labeled file: the sensor's holes are filled in, unlike in rawDepths and PNG pairs"]
        border = ", images with the black border of BTS's PNG pairs" if self.size == FULL_SIZE else ""
        return [f"rawDepths of the labeled file{border}"]

    def image(self, index: int) -> Image.Image:
        """RGB image of a pair."""
        pixels = self._turned(self._read("images", index)).transpose(1, 2, 0)  # (height, width, 3)
        if self.depths == "rawDepths" and self.size == FULL_SIZE:
            whole, pixels = pixels, np.zeros_like(pixels)
            pixels[INSIDE] = whole[INSIDE]
        return Image.fromarray(np.ascontiguousarray(pixels))

    def depth(self, index: int) -> Tensor:
        """(height, width) float32 meters of a pair; 0 where there is no finite value."""
        meters = self._turned(self._read(self.depths, index)).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(np.nan_to_num(meters, nan=0, posinf=0, neginf=0)))

    def _turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (..., height, width) of a pair."""
        return values if self._rows_first else values.swapaxes(-1, -2)

    def indices(self, split: str) -> list[int] | None:
        """Pairs of the official ``test`` or ``train`` split, or None if ``splits.mat`` is not beside the file."""
        path = self.path.parent / SPLITS_FILE
        if not path.is_file():
            return None
        from scipy.io import loadmat

        try:
            numbers = loadmat(path, variable_names=[f"{split}Ndxs"])[f"{split}Ndxs"]
            indices = [int(number) - 1 for number in np.asarray(numbers).ravel()]
        except Exception as error:  # scipy raises whatever its parser stumbles over
            fault = Fault("broken splits", f"cannot be read ({' '.join(str(error).split())})", "download it again")
            refuse(Problem(path, "", fault))
        if not indices or min(indices) < 0 or max(indices) >= self.pairs:
            message = f"{split}Ndxs names pairs outside of 1..{self.pairs}"
            remedy = "use the splits.mat and the labeled file of the same release"
            refuse(Problem(path, "", Fault("broken splits", message, remedy)))
        return sorted(indices)

    def _shape(self, name: str, kind: str) -> tuple[int, ...]:
        """Sides of a dataset of bytes (``kind`` u) or fractions (f)."""
        shape, dtype = self._with(name, lambda dataset: (tuple(int(side) for side in dataset.shape), dataset.dtype))
        if dtype.kind != kind or (kind == "u" and dtype.itemsize != 1):
            expected = "uint8, 0 to 255" if kind == "u" else "meters as fractions"
            fault = Fault("wrong fields", f"{name} holds {dtype}, expected {expected}", "give nyu_depth_v2_labeled.mat")
            refuse(Problem(self.path, "", fault))
        return shape  # type: ignore[no-any-return]

    def _read(self, name: str, index: int) -> NDArray[Any]:
        return self._with(name, lambda dataset: np.asarray(dataset[index]))  # type: ignore[no-any-return]

    def _with(self, name: str, use: Any) -> Any:
        try:
            with self._open(self.path, "r") as file:
                return use(file[name])
        except FileNotFoundError:
            fault = Fault("missing file", "no such file", "give nyu_depth_v2_labeled.mat")
        except (OSError, KeyError, AttributeError, ValueError, RuntimeError, TypeError) as error:
            why = " ".join(str(error).split())
            fault = Fault("broken file", f"dataset {name!r} cannot be read ({why})", "download the file again")
        refuse(Problem(self.path, "", fault))
