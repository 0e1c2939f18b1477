"""What perfect tokens score: the oracle with one size changed at a time, as a table with a line on each loss."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config.run import RunOptions
from bench.errors import UserError
from bench.run.runner import run
from reports.tables.table import pipe_table
from results.record import Record
from results.store import reserve, write_atomically


@dataclass(frozen=True)
class Variant:
    """One row: a task, what is changed from the ``paper`` preset, and why tokens lose what they lose."""

    task: str
    label: str
    metrics: tuple[str, ...]
    loss: str
    sizes: dict[str, Any] = field(default_factory=dict)
    reading: str = "centre"
    score_unseen: bool = False


BOXES = ("AP", "AP50", "AP75")
DEPTH = ("rmse", "abs_rel", "delta1")
VARIANTS = (
    Variant(
        "detection", "500 bins, center", BOXES, "half a bin of every side is lost; small boxes feel it at high IoU"
    ),
    Variant("detection", "500 bins, lower edge", BOXES, "every side moves up to one bin left or up", reading="edge"),
    Variant("detection", "1000 bins, center", BOXES, "half the rounding of 500 bins", {"bins": 1000}),
    Variant("segmentation", "12×12 bits", BOXES, "contours finer than a twelfth of the box vanish", {"mask_size": 12}),
    Variant("segmentation", "14×14 bits", BOXES, "as above, a fourteenth", {"mask_size": 14}),
    Variant("segmentation", "16×16 bits", BOXES, "as above, a sixteenth: the paper's choice", {"mask_size": 16}),
    Variant("segmentation", "20×20 bits", BOXES, "as above, a twentieth; 400 tokens an object", {"mask_size": 20}),
    Variant(
        "segmentation", "16×16 bits, lower edge", BOXES, "the shifted box shifts the whole mask with it", reading="edge"
    ),
    Variant("keypoints", "500 bins, center", BOXES, "half a bin, far below the joints' own tolerance"),
    Variant("keypoints", "500 bins, lower edge", BOXES, "one bin at most", reading="edge"),
    Variant(
        "keypoints",
        "500 bins, center, poses without a visible joint scored",
        BOXES,
        "persons without an annotated joint are not scored, but poses for them can take others' matches",
        score_unseen=True,
    ),
    Variant(
        "captioning",
        "20 tokens",
        ("BLEU-4", "ROUGE-L", "CIDEr"),
        "captions of more than 19 pieces are cut; one reference of five is repeated, so CIDEr has no natural maximum",
    ),
    Variant("depth", "15×20 cells, 128 bins", DEPTH, "one value for 32×32 pixels, interpolated: edges blur"),
    Variant("depth", "15×20 cells, 64 bins", DEPTH, "wider bins cost little beside the grid", {"depth_bins": 64}),
    Variant(
        "depth", "30×40 cells, 128 bins", DEPTH, "16×16 pixels a cell; four times the tokens", {"depth_grid": (30, 40)}
    ),
)


def measure_ceilings(*, coco: Path | None, nyu: Path | None, split: str, out: Path) -> str:
    """Run every variant that the data allows and write ``ceilings.md`` and ``ceilings.json`` into ``out``.

    Returns:
        The Markdown table.

    Raises:
        UserError: if neither data folder is given.
    """
    if coco is None and nyu is None:
        raise UserError("measure ceilings: give --coco DIR, --nyu DIR or both")
    variants = [v for v in VARIANTS if (nyu if v.task == "depth" else coco) is not None]
    base = RunOptions(decoder="oracle", preset="paper", coco=coco, nyu=nyu, split=split)  # type: ignore[arg-type]
    reserve(out / "ceilings.md")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, variant in enumerate(variants):
            record = _measure(variant, base, Path(folder) / str(number))
            rows.append({"task": variant.task, "variant": variant.label, "loss": variant.loss} | _kept(variant, record))
    text = _markdown(rows)
    write_atomically(out / "ceilings.json", (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(out / "ceilings.md", text.encode())
    return text


def _measure(variant: Variant, base: RunOptions, out: Path) -> Record:
    of_nyu = variant.task == "depth"
    options = dataclasses.replace(
        base,
        coco=None if of_nyu else base.coco,
        nyu=base.nyu if of_nyu else None,
        tasks=variant.task,
        reading=variant.reading,  # type: ignore[arg-type]
        score_unseen=variant.score_unseen,
        sizes=dataclasses.replace(base.sizes, **variant.sizes),
        out=out,
    )
    (record,) = run(options).values()
    return record


def _kept(variant: Variant, record: Record) -> dict[str, Any]:
    return {
        "metrics": record.metrics[variant.task],
        "headline": list(variant.metrics),
        "data": record.data,
        "notes": record.notes.get(variant.task, {}),
        "images": record.images,
        "options": {name: record.options[name] for name in ("sizes", "reading", "score_unseen")},
        "git_commit": record.environment["git_commit"],
        "git_dirty": record.environment["git_dirty"],
    }


def _markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "# Ceilings: what perfect tokens score",
        "",
        "The oracle fills every sequence with the ground truth's own tokens; what is missing to perfection is",
        "lost by the tokenization alone. Metrics × 100, depth errors in meters. Written by",
        "`python -m bench measure ceilings --coco DIR --nyu DIR`.",
        "",
    ]
    cells = []
    for row in rows:
        metrics = ", ".join(f"{name} {_shown(name, row['metrics'].get(name))}" for name in row["headline"])
        cells.append([row["task"], row["variant"], str(row["images"]), metrics, row["loss"]])
    headings = ["task", "format", "images", "metrics", "what is lost"]
    lines.append(pipe_table(headings, cells, left=range(len(headings))))
    lines += ["", *(f"Data: {_source(kind, rows)}." for kind in ("coco", "nyu") if _source(kind, rows))]
    tokenizers = {row["data"]["tokenizer"]["source"] for row in rows if "tokenizer" in row["data"]}
    lines += [f"Caption pieces: {source}." for source in sorted(tokenizers)]
    return "\n".join(lines) + "\n"


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if name in ("rmse", "abs_rel") else f"{value * 100:.1f}"


def _source(kind: str, rows: Sequence[dict[str, Any]]) -> str:
    for row in rows:
        if row["data"].get(kind):
            return f"{row['data'][kind]['root']} ({row['data']['hash']})"
    return ""
