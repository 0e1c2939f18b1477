"""``codecs``: what learned codecs lose, with one choice changed at a time, as a table beside what AiT chose.

Every codec is trained for about a minute. Trainings are kept, and the same command continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.builders.suite import open_dataset
from bench.checkpoints.checkpoint import read_checkpoint
from bench.config.codecs import CodecTraining, CodecTrainOptions
from bench.config.studies import CodecStudyOptions
from bench.paths import PUBLISHED
from bench.system.environment import describe_environment
from bench.train.codec import train_codec
from results.store import reserve, write_atomically
from tasks.base import MetricParts
from tasks.metrics.depth import DepthMetric

RELEASED = PUBLISHED / "ait_codecs.json"
HEADLINES = {"depth": ("rmse", "delta1"), "masks": ("AP", "AP75")}
TARGETS = {"depth": 0.35, "masks": 0.85}  # depth: share of the error of the mean depth; masks: AP


@dataclass(frozen=True)
class Variant:
    """One row: a codec with one choice changed from the preset's.

    Args:
        kind: ``depth`` or ``masks``.
        label: what is changed.
        codes: size of the codebook.
        hidden: share of the patches that the encoder does not see.
        patch: pixels of such a patch along each side.
        revive: whether dead codes start anew.
    """

    kind: str
    label: str
    codes: int = 128
    hidden: float = 0.0
    patch: int = 16
    revive: bool = True

    @property
    def name(self) -> str:
        """Of its folder."""
        hidden = f"-hidden{self.hidden:g}x{self.patch}" if self.hidden else ""
        return f"{self.kind}-{self.codes}{hidden}{'' if self.revive else '-dead'}"

    def of(self, training: CodecTraining, steps: int) -> CodecTraining:
        """The preset's training with the choice changed."""
        return replace(
            training,
            shape=replace(training.shape, codes=self.codes),
            schedule=replace(training.schedule, steps=steps),
            hidden=self.hidden,
            patch=self.patch,
            revive=training.revive if self.revive else 0.0,
        )


VARIANTS = (
    Variant("depth", "128 codes"),
    Variant("depth", "64 codes", codes=64),
    Variant("depth", "256 codes", codes=256),
    Variant("depth", "128 codes, half of the 16x16 patches hidden", hidden=0.5),
    Variant("depth", "128 codes, half of the 4x4 patches hidden", hidden=0.5, patch=4),
    Variant("depth", "128 codes, dead ones stay dead", revive=False),
    Variant("masks", "128 codes"),
    Variant("masks", "64 codes", codes=64),
    Variant("masks", "256 codes", codes=256),
    Variant("masks", "128 codes, dead ones stay dead", revive=False),
)


def measure_codecs(options: CodecStudyOptions, base: CodecTrainOptions) -> str:
    """Train every variant and write ``codecs.md`` and ``codecs.json`` into ``options.out``.

    Args:
        options: of the study.
        base: data, shapes and schedules that the variants change.

    Returns:
        The Markdown table.
    """
    path = options.out / "codecs.md"
    reserve(path)
    rows = [_measure(variant, options, base) for variant in VARIANTS]
    data = {
        "rows": rows,
        "mean depth": mean_depth_errors(base),
        "paper": json.loads(RELEASED.read_text()),
        "environment": describe_environment(),
    }
    text = _markdown(data)
    write_atomically(options.out / "codecs.json", (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(path, text.encode())
    return text


def _measure(variant: Variant, options: CodecStudyOptions, base: CodecTrainOptions) -> dict[str, Any]:
    steps = options.depth_steps if variant.kind == "depth" else options.mask_steps
    chosen: CodecTraining = getattr(base.codecs, variant.kind)
    changed = {variant.kind: variant.of(chosen, steps)}
    written = train_codec(
        replace(
            base,
            codec=variant.kind,  # type: ignore[arg-type]
            codecs=replace(base.codecs, **changed),
            out=options.runs / f"{variant.name}-{options.seed}",
            seed=options.seed,
            publish=False,
        )
    )
    _, card = read_checkpoint(written[0], train="python -m bench codecs")
    kept = ("metrics", "steps", "cpu_seconds", "parameters", "data", "shape", "training", "git_commit", "git_dirty")
    return {"codec": variant.kind, "variant": variant.label, **{name: card[name] for name in kept}}


def mean_depth_errors(base: CodecTrainOptions) -> dict[str, float]:
    """Errors of answering every pixel of the held-out images with the mean of all their known depths."""
    chosen = replace(base, codec="depth")
    dataset = open_dataset(chosen.run_options(base.evaluate_on, limit=chosen.chosen.evaluate_images or None))
    known = [(s.image_id, t) for s in dataset.samples if (t := dataset.targets(s)).depth is not None]
    pixels = torch.cat([t.depth[t.depth > 0].double() for _, t in known if t.depth is not None])
    mean, metric = pixels.mean().item(), DepthMetric(parts=MetricParts())
    records = {i: metric.observe(i, torch.full_like(t.depth, mean), t) for i, t in known if t.depth is not None}
    return {n: float(v) for n, v in metric.summarize(records).items() if n in HEADLINES["depth"] and v is not None}


def _markdown(data: dict[str, Any]) -> str:
    rows: Sequence[dict[str, Any]] = data["rows"]
    baseline = data["mean depth"]["rmse"]
    seconds = max(row["cpu_seconds"] for row in rows)
    steps = ", ".join(f"{kind} {row['steps']}" for kind, row in {row["codec"]: row for row in rows}.items())
    lines = [
        "# Codecs: what a few learned codes keep of a mask or a depth map",
        "",
        "Held-out maps are encoded, decoded and scored by the metric of their task: RMSE of depth maps in meters, AP",
        "× 100 of masks pasted into the annotated boxes with score 1. One choice is changed at a time; trainings are",
        f"short (steps: {steps}), {seconds} CPU seconds at most. Written by `python -m bench codecs`.",
        "",
        "| codec | variant | codes used | perplexity | reconstruction | AiT |",
        "| --- | --- | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        found = row["metrics"]
        shown = ", ".join(f"{name} {_shown(name, found[name])}" for name in HEADLINES[row["codec"]])
        used = f"{found['codes used']:.0f} of {row['shape']['codes']}"
        told = f"| {row['codec']} | {row['variant']} | {used} | {found['perplexity']:.0f} | {shown} |"
        lines.append(f"{told} {_chosen(row, data['paper'])} |")
    best = {kind: [r["metrics"][HEADLINES[kind][0]] for r in rows if r["codec"] == kind] for kind in HEADLINES}
    lines += [
        "",
        f"The mean depth for every pixel has RMSE {baseline:.3f}; {TARGETS['depth']:g} of it is "
        f"{TARGETS['depth'] * baseline:.3f}, the best row has {min(best['depth']) / baseline:.3f} of it. "
        f"The best row of masks has AP {max(best['masks']) * 100:.1f}.",
        "",
        f"AiT: {data['paper']['source']}. {data['paper']['what']}.",
    ]
    return "\n".join(lines) + "\n"


def _chosen(row: dict[str, Any], paper: dict[str, Any]) -> str:
    """Whether a row is the paper's choice."""
    own = paper["rows"][row["codec"]]
    same = row["shape"]["codes"] == own["codes"] and row["training"]["hidden"] == own["hidden"]
    if not same or (own["patch"] and row["training"]["patch"] != own["patch"]) or not row["training"]["revive"]:
        return "–"
    return f"chosen ({own['tokens']})"


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}" if name == "rmse" else f"{value * 100:.1f}"
