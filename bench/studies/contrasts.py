"""Contrasts of a study: each metric held against the paper's effect, after Holm's correction over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.stats.multiple_comparisons import holm
from bench.studies.analysis import ContrastEstimate, Scores, interval, time_ratio
from bench.studies.definition import Contrast
from results.study import ContrastResult

ALPHA = 0.05
TIMES = "time."


def contrasts(definitions: Mapping[str, Contrast], arms: Mapping[str, Sequence[Scores]]) -> list[ContrastResult]:
    """Return the contrasts of which all arms are there.

    Claims that nothing changes are decided by their interval alone, so Holm's correction does not count them.
    """
    results = [
        _result(name, contrast, key, estimate)
        for name, contrast in definitions.items()
        if contrast.arms.keys() <= arms.keys()
        for key in contrast.metrics
        if (estimate := _estimate(contrast, key, arms)) is not None
    ]
    adjusted = holm([result.p if result.within is None else None for result in results])
    results = [msgspec.structs.replace(r, p_holm=p) for r, p in zip(results, adjusted, strict=True)]
    return [msgspec.structs.replace(result, verdict=verdict(result)) for result in results]


def _estimate(contrast: Contrast, key: str, arms: Mapping[str, Sequence[Scores]]) -> ContrastEstimate | None:
    weighted = [(weight, arms[arm]) for arm, weight in contrast.arms.items()]
    return time_ratio(weighted, key.removeprefix(TIMES)) if key.startswith(TIMES) else interval(weighted, key)


def _result(name: str, contrast: Contrast, key: str, estimate: ContrastEstimate) -> ContrastResult:
    return ContrastResult(
        name=name,
        arms=contrast.arms,
        key=key,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        seed_values=list(estimate.each),
        paper=contrast.effects[key].paper,
        within=contrast.effects[key].within,
        scope=estimate.scope,
        seeds=len(estimate.each),
        images=estimate.images,
        p=estimate.p,
        resolvable=estimate.resolvable,
    )


def verdict(result: ContrastResult) -> str:
    """Return ``agrees``, ``disagrees`` or ``cannot tell``; ``–`` where the paper gives no effect."""
    nothing = 1.0 if result.key.startswith(TIMES) else 0.0
    if result.within is not None:
        return _equivalence(result, nothing, result.within)
    if result.paper is None:
        return "–"
    if result.p_holm is None or result.p_holm >= ALPHA or result.low <= nothing <= result.high:
        return "cannot tell"
    upwards = result.paper == "up" if isinstance(result.paper, str) else result.paper > nothing
    return "agrees" if (result.value > nothing) == upwards else "disagrees"


def _equivalence(result: ContrastResult, nothing: float, margin: float) -> str:
    low, high = (1 / (1 + margin), 1 + margin) if nothing else (-margin, margin)
    if low <= result.low and result.high <= high:
        return "agrees"
    return "disagrees" if result.high < low or result.low > high else "cannot tell"
