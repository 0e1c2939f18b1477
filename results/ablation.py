"""The outcome of an ablation: settings of one thing, what each scored and took, how sure the differences are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from results.store import StoreError

SCHEMA = "decoder-bench/ablation/1"
FOLDER = Path(__file__).parent / "ablations"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Args:
        values: ``task.metric`` and ``average`` to value, mean over the seeds.
        intervals: the same keys to the ends of the 95 % interval.
        milliseconds: ``total`` and ``decode.<task>`` to mean milliseconds per image.
        seeds: trainings, or decodings where nothing was trained.
        seed_values: key to the value of each seed, where there are several.
        deviations: key to the standard deviation over the seeds (of a sample), where there are several.
        command: how to make it.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}
    milliseconds: dict[str, float] = {}
    seeds: int = 1
    seed_values: dict[str, list[float]] = {}
    deviations: dict[str, float] = {}
    command: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """``second`` minus ``first``; for ``time.total`` the ratio first / second.

    Args:
        first: a point.
        second: another.
        key: ``task.metric``, ``average`` or ``time.total``.
        value: difference or ratio.
        low: lower end of the 95 % interval.
        high: upper end.
        agreeing: whether every seed gives the same sign; None with one seed.
    """

    first: str
    second: str
    key: str
    value: float
    low: float
    high: float
    agreeing: bool | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A finished ablation.

    Args:
        schema: name and version of this format.
        name: also the name of its file.
        title: what varies, in words.
        decoder: strategy, or the codec that was trained.
        budget: whether the settings trade accuracy for time (a knob).
        trained: whether every setting was trained anew.
        data: root names, images and content hash.
        environment: machine, commit and versions.
        points: setting to outcome, in order.
        differences: of every pair of settings.
        method: how intervals came about.
    """

    schema: str = SCHEMA
    name: str
    title: str
    decoder: str
    budget: bool = False
    trained: bool = False
    data: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    points: dict[str, Point]
    differences: list[Difference] = []
    method: str = ""


def read_outcomes(folder: Path = FOLDER) -> dict[str, Outcome]:
    """Name to outcome, of all finished ablations.

    Raises:
        StoreError: if a file is not one.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Outcome)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{path}: not a {SCHEMA} file ({error}); `python -m bench ablate {path.stem}` makes it"
            ) from None
    return found
