"""The labeled NYUv2 file: 1,449 pairs in one MATLAB 7.3 (HDF5) file, whose axes HDF5 shows in reverse order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.data.problems import Fault, Problem, refuse

SPLITS_FILE = "splits.mat"
INSTALL = "install it with: pip install 'decoder-bench[nyu-mat]'"
NO_SPLITS = f"{SPLITS_FILE} is not beside the labeled file: all of its pairs are used, not the official split"


class Labeled:
    """Pairs of a labeled file, read one by one; it is opened for each read, so that processes may share an object.

    Args:
        path: the ``.mat`` file with ``images`` (pairs, 3, width, height) uint8 and ``depths`` (pairs, width, height) in
            meters, as HDF5 shows them.

    Attributes:
        pairs: number of pairs.
        size: height and width in pixels.

    Raises:
        DataError: if the file cannot be read, or ``h5py`` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            import h5py
        except ImportError:
            fault = Fault("h5py is missing", "reading a labeled .mat file needs the package h5py", INSTALL)
            refuse(Problem(path, "", fault))
        self._open = h5py.File
        images, depths = self._shape("images"), self._shape("depths")
        if len(images) != 4 or images[1] != 3 or depths != (images[0], *images[2:]):
            message = f"images {images} and depths {depths} do not belong together"
            remedy = "expected (pairs, 3, width, height) and (pairs, width, height); give nyu_depth_v2_labeled.mat"
            refuse(Problem(path, "", Fault("wrong fields", message, remedy)))
        self.pairs = images[0]
        self.size = (images[3], images[2])

    def image(self, index: int) -> Image.Image:
        """RGB image of a pair."""
        channels = self._read("images", index)  # (3, width, height)
        return Image.fromarray(np.ascontiguousarray(channels.transpose(2, 1, 0).astype(np.uint8)))

    def depth(self, index: int) -> Tensor:
        """(height, width) float32 meters of a pair; 0 where there is no finite value."""
        meters = self._read("depths", index).T.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(np.nan_to_num(meters, nan=0, posinf=0, neginf=0)))

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

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._with(name, lambda dataset: tuple(int(side) for side in dataset.shape))  # type: ignore[no-any-return]

    def _read(self, name: str, index: int) -> NDArray[Any]:
        return self._with(name, lambda dataset: np.asarray(dataset[index]))  # type: ignore[no-any-return]

    def _with(self, name: str, use: Any) -> Any:
        try:
            with self._open(self.path, "r") as file:
                return use(file[name])
        except FileNotFoundError:
            fault = Fault("missing file", "no such file", "give nyu_depth_v2_labeled.mat")
        except (OSError, KeyError, AttributeError, ValueError) as error:
            why = " ".join(str(error).split())
            fault = Fault("broken file", f"dataset {name!r} cannot be read ({why})", "download the file again")
        refuse(Problem(self.path, "", fault))
