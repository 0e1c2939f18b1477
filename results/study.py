"""The outcome of a study: what its arms scored and took, and how sure their differences are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from results.files import StoreError, read_file

SCHEMA = "decoder-bench/study/1"
FOLDER = Path(__file__).parent / "studies"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One arm.

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
        first: an arm.
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


class ContrastResult(msgspec.Struct, frozen=True, kw_only=True):
    """A weighted sum of arms that was written down before its result; for times the product of their powers.

    Args:
        name: in words.
        arms: arm to weight.
        key: ``task.metric``, ``average``, ``time.total`` or ``time.decode.<task>``.
        value: the sum; for times the ratio.
        low: lower end of the 95 % interval.
        high: upper end.
        seed_values: the sum with each seed.
        paper: the paper's effect, its direction alone, or None.
        within: margin of a claim that settings do not differ; times: 0.1 for ratios of 1 / 1.1 to 1.1.
        verdict: ``agrees``, ``disagrees``, ``cannot tell``, or ``–`` where the paper says nothing.
        scope: what the interval covers: ``method``, training seeds and images; ``weights``, images alone, for the
            weights that were run.
        seeds: trainings of an arm.
        images: that the arms were scored or timed on; 0 where there are only totals.
        p: two-sided, of no effect; None where it is not known.
        p_holm: the same after Holm's correction over the contrasts of the study.
        resolvable: smallest effect that this design finds with 80 % power at 5 % two-sided, in the unit of the value;
            times: the ratio, above 1.
    """

    name: str
    arms: dict[str, float]
    key: str
    value: float
    low: float
    high: float
    seed_values: list[float] = []
    paper: float | Literal["up", "down"] | None = None
    within: float | None = None
    verdict: str = "–"
    scope: Literal["method", "weights"] = "weights"
    seeds: int = 1
    images: int = 0
    p: float | None = None
    p_holm: float | None = None
    resolvable: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A finished study.

    Args:
        schema: name and version of this format.
        name: also the name of its file.
        title: what varies, in words.
        decoder: strategies, or the codec that was trained.
        budget: whether the arms trade accuracy for time (a knob).
        trained: whether arms were trained anew.
        data: root names, images and content hash.
        environment: machine, commit and versions.
        points: arm to what it scored, in order.
        differences: of every pair of arms.
        contrasts: what the study was made for.
        failed: arm to why it is not there.
        details: what is behind the further tables of its page.
        method: how intervals came about.
        command: that writes it; default: the study of its name.
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
    contrasts: list[ContrastResult] = []
    failed: dict[str, str] = {}
    details: dict[str, Any] = {}
    method: str = ""
    command: str = ""


def read_outcomes(folder: Path = FOLDER) -> dict[str, Outcome]:
    """Return name to outcome of all finished studies.

    Raises:
        StoreError: if a file is not one.
    """
    outcomes = {}
    for path in sorted(folder.glob("*.json")):
        try:
            outcomes[path.stem] = msgspec.json.decode(read_file(path), type=Outcome)
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise StoreError(
                f"{path}: not a {SCHEMA} file ({error}); `python -m bench study {path.stem}` makes it"
            ) from None
    return outcomes
