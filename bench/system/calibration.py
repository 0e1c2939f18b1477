"""A fixed workload whose time measures the machine's current speed, for ratios that hold across machines.

Like decoding, it has many small steps, dominated by overhead, and a few large products. It uses none of our code, so no
change of the code changes it. A new ``VERSION`` invalidates old measurements.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from results.store import StoreError, write_atomically

VERSION = 1
FILE = "calibration.json"
WIDTH, HEADS, POSITIONS, STEPS, ROWS = 128, 4, 64, 12, 512
WARM_UP = 5


class Workload:
    """The workload on one device. A call takes a few milliseconds on one core.

    Args:
        device: where it computes.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        draw = torch.Generator().manual_seed(VERSION)

        def tensor(*shape: int) -> Tensor:
            values: Tensor = torch.randn(*shape, generator=draw) * WIDTH**-0.5
            return values.to(self.device)

        self._step, self._memory = tensor(WIDTH, WIDTH), tensor(1, HEADS, POSITIONS, WIDTH // HEADS)
        self._rows, self._wide, self._back = tensor(ROWS, WIDTH), tensor(WIDTH, 4 * WIDTH), tensor(4 * WIDTH, WIDTH)

    @torch.inference_mode()
    def __call__(self) -> float:
        """Do it once and return its wall-clock milliseconds."""
        self._wait()
        start = time.perf_counter()
        state = self._rows[:1]  # (1, D)
        for _ in range(STEPS):
            query = (state @ self._step).view(1, HEADS, 1, WIDTH // HEADS)
            read = scaled_dot_product_attention(query, self._memory, self._memory)  # (1, H, 1, D / H)
            state = layer_norm(state + read.reshape(1, WIDTH), (WIDTH,))
        for _ in range(2):
            rows = layer_norm(torch.relu(self._rows @ self._wide) @ self._back + state, (WIDTH,))
            state = rows[:1]
        self._wait()
        return (time.perf_counter() - start) * 1000

    def warm_up(self) -> Workload:
        """Do it a few times unmeasured; return the workload."""
        for _ in range(WARM_UP):
            self()
        return self

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's speed before and after a run.

    Args:
        version: of the workload.
        before: milliseconds of the calls before the run.
        after: milliseconds of the calls after it.
    """

    version: int = VERSION
    before: list[float]
    after: list[float]

    @property
    def drift(self) -> float:
        """Relative change of time over the run: 0.03 if the machine was 3 % slower at the end."""
        return float(np.median(self.after) / np.median(self.before) - 1)

    def per_image(self, images: int) -> list[float]:
        """Return milliseconds for each image, interpolated from the speed before to the speed after."""
        ends = np.log([np.median(self.before), np.median(self.after)])
        return [float(ms) for ms in np.exp(np.linspace(ends[0], ends[1], images))]


def measure(calls: int = 60, device: torch.device | str = "cpu") -> list[float]:
    """Return the milliseconds of several calls of the workload, after a warm-up."""
    work = Workload(device).warm_up()
    return [work() for _ in range(calls)]


def write_calibration(folder: Path, before: Sequence[float], after: Sequence[float]) -> Calibration:
    """Write the machine's speed before and after the runs of a folder."""
    calibration = Calibration(before=list(before), after=list(after))
    write_atomically(folder / FILE, msgspec.json.encode(calibration) + b"\n")
    return calibration


def read_calibration(folder: Path) -> Calibration | None:
    """Return the machine's speed around the runs of a folder; None if it was not measured by this workload.

    Raises:
        StoreError: if the file is broken.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path}: not a calibration ({error}); run the gate again") from None
    return calibration if calibration.version == VERSION and calibration.before and calibration.after else None
