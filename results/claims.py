"""The claims of the two papers as data: statement, contrasts, the paper's effects and the studies that decide them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from results.published import PaperTable, paper_tables
from results.study import ContrastResult, Outcome

FILE = Path(__file__).parent / "claims.yaml"
STEPS = "steps."  # keys of the share of steps after which a metric is reached


class ClaimContrast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weighted sum of arms of a study that tests a claim; of times the product of their powers.

    Args:
        study: that decides it.
        arms: arm to weight: ``{b: 1, a: -1}`` is b minus a.
        metrics: ``task.metric`` or ``time.total``; each is a test.
        table: id of the paper's table that the effect is computed from; empty where the paper prints no numbers.
        way: sign of the effect where it does not follow from the table.
        within: margin of a claim that nothing changes.
        at_most: margin of a claim that an effect is small: the effect, or the ratio of times, stays below.
    """

    study: str
    arms: dict[str, float]
    metrics: list[str]
    table: str = ""
    way: Literal["up", "down", ""] = ""
    within: float | None = None
    at_most: float | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim of a paper.

    Args:
        id: short name.
        where: paper and table or figure.
        statement: the claim in a sentence.
        contrasts: what must hold; none where it is not tested here.
        printed: the paper's numbers that stand in no table of it.
        note: what the test takes for granted or leaves out.
    """

    id: str
    where: str
    statement: str
    contrasts: list[ClaimContrast]
    printed: str = ""
    note: str = ""


@cache
def claims(path: Path = FILE) -> Sequence[Claim]:
    """Return the claims of the two papers, in their papers' order."""
    return msgspec.convert(yaml.safe_load(path.read_text()), list[Claim])


def paper_effect(contrast: ClaimContrast, key: str) -> float | None:
    """Return the paper's effect on a metric, of times the ratio; None where the paper prints no numbers."""
    table = _table(contrast)
    if table is None:
        return None
    rows = _rows(contrast, table)
    printed = [(weight, table.printed(rows[arm], key, contrast.study)) for arm, weight in contrast.arms.items()]
    terms = [(weight, value) for weight, value in printed if value is not None]
    if len(terms) < len(printed):
        return None
    if is_ratio(key):
        return float(math.prod(value**weight for weight, value in terms))
    return round(sum(weight * value for weight, value in terms), 9)


def printed_numbers(contrast: ClaimContrast, key: str) -> dict[str, float]:
    """Return row to number of the paper's table that a test compares."""
    table = _table(contrast)
    if table is None:
        return {}
    rows = _rows(contrast, table).values()
    numbers = {row: table.printed(row, key, contrast.study) for row in rows}
    return {row: value for row, value in numbers.items() if value is not None}


def _rows(contrast: ClaimContrast, table: PaperTable) -> dict[str, str]:
    """Arm to the row of the paper whose numbers it is held against."""
    compared = table.links[contrast.study].compared if contrast.study in table.links else {}
    return {arm: compared.get(arm, table.row_of(arm, contrast.study)) for arm in contrast.arms}


def is_reconstruction(contrast: ClaimContrast) -> bool:
    """Whether codecs are scored alone, by their reconstruction."""
    table = _table(contrast)
    return table is not None and bool(table.links[contrast.study].prefix if contrast.study in table.links else "")


def is_ratio(key: str) -> bool:
    """Whether a metric is compared by ratios: times and steps."""
    return key.startswith(("time.", STEPS))


def study_result(contrast: ClaimContrast, key: str, outcome: Outcome | None) -> ContrastResult | None:
    """Return the study's result for a test, turned the claim's way round; None if the study has none."""
    if outcome is not None and key.startswith(STEPS):
        return _reached(contrast, key, outcome)
    for result in outcome.contrasts if outcome is not None else ():
        if result.key == key and result.arms == contrast.arms:
            return result
        if result.key == key and result.arms == {arm: -weight for arm, weight in contrast.arms.items()}:
            return _turned(result)
    return None


def _reached(contrast: ClaimContrast, key: str, outcome: Outcome) -> ContrastResult | None:
    """The share of a training's steps after which another scores what it ends with, from learning curves."""
    reach = outcome.details.get("reach", {})
    plus, minus = sorted(contrast.arms, key=lambda arm: -contrast.arms[arm])
    if (reach.get("metric"), reach.get("target")) != (key.removeprefix(STEPS), minus):
        return None
    for names, entry in reach["trainings"].items():
        if plus in names.split(", "):
            shares = [math.inf if share is None else share for share in entry["steps"]["shares"]]
            value, low, high = (entry["steps"].get(name) for name in ("share", "low", "high"))
            return ContrastResult(
                name="reach",
                arms=contrast.arms,
                key=key,
                value=max(shares) if value is None else value,
                low=min(shares) if low is None else low,
                high=math.inf if high is None else high,
                seed_values=shares,
                scope="method",
                seeds=len(shares),
            )
    return None


def _turned(result: ContrastResult) -> ContrastResult:
    """The result with the arms' weights negated."""
    if is_ratio(result.key):
        ends = {"value": 1 / result.value, "low": 1 / result.high, "high": 1 / result.low}
    else:
        ends = {"value": -result.value, "low": -result.high, "high": -result.low}
    return msgspec.structs.replace(result, arms={arm: -weight for arm, weight in result.arms.items()}, **ends)


def _table(contrast: ClaimContrast) -> PaperTable | None:
    return paper_tables()[contrast.table] if contrast.table else None
