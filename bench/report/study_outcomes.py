"""The studies of AiT's tables as outcomes of ablations, for reports.

``python -m bench soft-tokens``, ``parallel-study`` and ``codecs`` write them into ``results/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare.setting_differences import seed_differences
from bench.paths import RESULTS
from results.ablation import Difference, Outcome, Point

TITLES = {"soft_tokens": "where soft tokens are used", "parallel_study": "autoregressive and parallel dense tokens"}
CODEC_TASKS = {"depth": "depth", "masks": "segmentation"}


def studies(folder: Path = RESULTS) -> dict[str, Outcome]:
    """Name to study, of those that were made; a file that is none of ours is left out."""
    found: dict[str, Outcome] = {}
    for name, title in TITLES.items():
        told = _read(folder / f"{name}.json")
        if isinstance(told.get("rows"), dict):
            made = _study(name.replace("_", "-"), title, told)
            found[made.name] = made
    told = _read(folder / "codecs.json")
    for codec, task in CODEC_TASKS.items():
        rows = [row for row in told.get("rows", []) if row.get("codec") == codec]
        if rows:
            found[f"codecs-{codec}"] = _codecs(f"codecs-{codec}", codec, task, rows)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _study(name: str, title: str, told: Mapping[str, Any]) -> Outcome:
    """Rows with a value for each seed; differences to the first row as the study has them, others over seeds."""
    rows: Mapping[str, Mapping[str, Any]] = told["rows"]
    points = {
        row: Point(
            values={f"{task}.{one['metric']}": float(one["mean"]) for task, one in tasks.items()},
            seeds=int(told.get("seeds", 1)),
            seed_values={f"{task}.{one['metric']}": list(map(float, one["values"])) for task, one in tasks.items()},
            milliseconds={
                f"decode.{task}": float(one["decode_ms"]) for task, one in tasks.items() if "decode_ms" in one
            },
        )
        for row, tasks in rows.items()
    }
    first = next(iter(rows))
    pairs = [
        Difference(
            first=first,
            second=row,
            key=f"{task}.{one['metric']}",
            value=one["difference"]["value"],
            low=one["difference"]["low"],
            high=one["difference"]["high"],
            agreeing=_agreeing(rows[first][task]["values"], one["values"]),
        )
        for row, tasks in rows.items()
        for task, one in tasks.items()
        if one.get("difference")
    ]
    known = {(one.first, one.second, one.key) for one in pairs}
    for a, b in combinations(points, 2):
        pairs += [one for one in seed_differences(a, b, points) if (one.first, one.second, one.key) not in known]
    return Outcome(
        name=name,
        title=title,
        decoder="ait",
        trained=True,
        data={"images": told.get("images")},
        environment=dict(told.get("environment", {})),
        points=points,
        differences=pairs,
        method=f"against {first}: paired bootstrap over images, mean over seeds; other pairs: Student's t over seeds",
    )


def _agreeing(first: list[float], second: list[float]) -> bool | None:
    each = np.array(second) - np.array(first)
    return bool((each > 0).all() or (each < 0).all()) if len(each) > 1 else None


def _codecs(name: str, codec: str, task: str, rows: list[dict[str, Any]]) -> Outcome:
    """One training a row, so there is no interval."""
    shown = {"rmse", "delta1", "abs_rel", "AP", "AP50", "AP75"}
    points = {
        row["variant"]: Point(values={f"{task}.{n}": float(v) for n, v in row["metrics"].items() if n in shown})
        for row in rows
    }
    return Outcome(name=name, title=f"codecs of {codec}", decoder=f"codec of {codec}", trained=True, points=points)
