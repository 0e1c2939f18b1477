"""The losses that the gate tolerates, read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.config.yaml_files import read_yaml
from bench.errors import UserError
from bench.paths import RESULTS

BASELINES = RESULTS / "baselines"
FILE = "thresholds.yaml"


@dataclass(frozen=True)
class Bound:
    """Two losses: significantly beyond one a line fails, significantly below the other it passes.

    Args:
        tolerance: a loss significantly above it fails.
        limit: a loss significantly below it passes.
    """

    tolerance: float
    limit: float

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < self.limit:
            raise ValueError(f"tolerance {self.tolerance} and limit {self.limit}: expected 0 <= tolerance < limit")


@dataclass(frozen=True)
class Thresholds:
    """Content of the file.

    Args:
        alpha: chance of any false alarm in one gate.
        accuracy: ``default``, and ``<task> <metric>`` where it differs.
        speed: ``parallel``, ``calibration`` and ``other_hardware``.
        resamples: bootstrap resamples.
        seed: seed of resamples and permutations.
    """

    accuracy: dict[str, Bound]
    speed: dict[str, Bound]
    alpha: float = 0.05
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha {self.alpha}: expected a number between 0 and 1")
        if self.resamples < 100 or self.seed < 0:
            raise ValueError("expected at least 100 resamples and a seed of 0 or more")
        for name, needed in (("accuracy", {"default"}), ("speed", {"parallel", "calibration", "other_hardware"})):
            if missing := needed - getattr(self, name).keys():
                raise ValueError(f"{name} has no {', '.join(sorted(missing))}")

    def metric(self, task: str, metric: str) -> Bound:
        """Return the bound of a metric."""
        return self.accuracy.get(f"{task} {metric}", self.accuracy["default"])

    def time(self, against: str, *, same_hardware: bool) -> Bound:
        """Return the bound of a ratio to ``parallel`` or ``calibration``."""
        return self.speed[against if same_hardware else "other_hardware"]


def read_thresholds(path: Path) -> Thresholds:
    """Read thresholds from a YAML file.

    Raises:
        UserError: if the file is missing or invalid.
    """
    try:
        return msgspec.convert(read_yaml(path), Thresholds)
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"{path}: not thresholds of the gate ({error}); correct it") from None
