"""Further tables of a study's page, named in its definition: each returns Markdown and the data behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import msgspec

from bench import paths
from bench.config.codecs import CodecTrainOptions
from bench.studies.learning_curves import convergence, curve, reach
from bench.studies.output import shown
from bench.studies.study_results import Results, Section, card_of
from reports.metrics import in_task_order
from reports.tables.table import pipe_table
from results.record import Cost, Record


def each_seed(results: Results) -> Section:
    """Every arm with every seed."""
    keys = list(dict.fromkeys(key for point in results.points.values() for key in point.seed_values))
    rows = [
        [f"{name}, seed {job.given['seed']}", *(shown(key).text(point.seed_values[key][i]) for key in keys)]
        for name, point in results.points.items()
        for i, job in enumerate(results.jobs[name])
    ]
    return pipe_table(["", *(shown(key).heading for key in keys)], rows), None


def times(results: Results, *, slow: str = "", fast: str = "") -> Section:
    """Milliseconds of decoding per task, passes and positions, and how many times as long one arm takes as another."""
    records = results.records()
    first = next(iter(records.values()))[0]
    tasks = in_task_order(first.metrics)
    taken = {name: [_decode_ms(own, task) for task in tasks] for name, own in records.items()}
    rows = [[name, *(f"{value:.1f}" for value in [*own, sum(own)])] for name, own in taken.items()]
    if slow in taken and fast in taken:
        pairs = [(*pair,) for pair in zip(taken[slow], taken[fast], strict=True)]
        ratios = [a / b for a, b in [*pairs, (sum(taken[slow]), sum(taken[fast]))]]
        rows.append([f"{slow} / {fast}", *(f"{ratio:.1f}×" for ratio in ratios)])
    work = []
    for name, own in records.items():
        costs = [[record.cost[task] for record in own if task in record.cost] for task in tasks]
        work.append([name, *map(_work, costs)])
    parts = ["Decoding alone, milliseconds per image:", pipe_table(["", *tasks, "all"], rows)]
    parts += ["Passes of the decoder / positions computed per image:", pipe_table(["", *tasks], work)]
    parts += _warnings(records)
    if tokenizer := first.notes.get("captioning", {}).get("tokenizer"):
        parts.append(f"Caption metrics: tokenizer {tokenizer}.")
    data = {name: msgspec.to_builtins(own[0]) for name, own in records.items()}
    return "\n\n".join(parts), {"milliseconds": taken, "records": data}


def _work(costs: Sequence[Cost]) -> str:
    passes, positions = ([getattr(cost, name) for cost in costs] for name in ("evaluations", "positions"))
    return f"{mean(passes):.0f} / {mean(positions):.0f}" if costs else "–"


def _decode_ms(records: Sequence[Record], task: str) -> float:
    return mean(record.latency.phases[f"decode.{task}"].mean_ms for record in records)


def _warnings(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """What makes times unreliable, each reason once, with its arms unless it is all."""
    by_arm = {name: [text for record in own for text in record.warnings] for name, own in records.items()}
    lines = []
    for warning in dict.fromkeys(text for texts in by_arm.values() for text in texts):
        arms = [name for name, texts in by_arm.items() if warning in texts]
        lines.append(f"Times{f' of {chr(44).join(arms)}' if len(arms) < len(by_arm) else ''}: {warning}.")
    return lines


def thresholds(results: Results, *, ceiling: str, shares: Mapping[str, float]) -> Section:
    """Scores as shares of an arm's, and the step of the training at which all reached the share that is asked for."""
    top = results.points[ceiling].values
    rows = [
        [ceiling, *(shown(key).text(top[key]) for key in shares), "", "", ""],
        ["required", *(f"({share:.0%})" for share in shares.values()), "", "", ""],
    ]
    data = {}
    for name, point in results.points.items():
        if name == ceiling:
            continue
        card, reached = card_of(results.trainings(name)[0]), _reached(results, name, shares, top)
        data[name] = {"steps": card["steps"], "cpu_seconds": card["cpu_seconds"], "reached": reached}
        cells = [f"{shown(key).text(point.values[key])} ({point.values[key] / top[key]:.0%})" for key in shares]
        rows.append([name, *cells, str(card["steps"]), str(reached or "not"), str(card["cpu_seconds"])])
    headings = ["", *(shown(key).heading for key in shares), "steps", "all reached at step", "CPU seconds"]
    return pipe_table(headings, rows), {"ceiling": ceiling, "shares": shares, "arms": data}


def _reached(results: Results, name: str, shares: Mapping[str, float], top: Mapping[str, float]) -> int | None:
    for evaluation in curve(results.trainings(name)[0]).evaluations:
        if all(evaluation.scores[key] >= share * top[key] for key, share in shares.items()):
            return evaluation.step
    return None


def images(results: Results, *, task: str, metrics: Sequence[str]) -> Section:
    """A row an image, and the mean; what the trainings took."""
    rows: list[dict[str, Any]] = []
    for name, (run, *_) in results.runs.items():
        for number, sample in enumerate(run.samples):
            if number == len(rows):
                rows.append({"image": sample.file})
            rows[number] |= {f"{name} {metric}": sample.predictions[task][metric] for metric in metrics}
    columns = [(f"{name} {metric}", metric) for name in results.runs for metric in metrics]
    means = {f"{name} {m}": point.values[f"{task}.{m}"] for name, point in results.points.items() for m in metrics}
    cells = [
        [row["image"], *(shown(f"{task}.{metric}").text(row[column]) for column, metric in columns)]
        for row in [*rows, {"image": "mean", **means}]
    ]
    needs = {name: need for jobs in results.jobs.values() for name, need in jobs[0].needs.items()}
    cards = {name: card_of(need) for name, need in needs.items()}
    taken = ", ".join(f"{n} {card['steps']} steps, {card['cpu_seconds']} CPU seconds" for n, card in cards.items())
    headings = ["image", *(f"{column.rpartition(' ')[0]}: {shown(f'{task}.{m}').heading}" for column, m in columns)]
    kept = ("steps", "cpu_seconds", "parameters")
    training = {name: {key: card[key] for key in kept} for name, card in cards.items()}
    return pipe_table(headings, cells) + f"\n\nTraining: {taken}.", {"rows": rows, "training": training}


def codes(results: Results) -> Section:
    """How many codes of each codebook are used, what the training took, and whether AiT chose the same."""
    paper = json.loads((paths.PUBLISHED / "ait_codecs.json").read_text())
    rows, kept = [], ("metrics", "steps", "cpu_seconds", "parameters", "shape", "training")
    data = {}
    for name in results.jobs:
        card, codec = card_of(results.trainings(name)[0]), results.jobs[name][0].given["codec"]
        used = f"{card['metrics']['codes used']:.0f} of {card['shape']['codes']}"
        taken = [str(card["steps"]), str(card["cpu_seconds"])]
        rows.append([name, used, f"{card['metrics']['perplexity']:.0f}", *taken, chosen(card, paper["rows"][codec])])
        data[name] = {key: card[key] for key in kept}
    table = pipe_table(["", "codes used", "perplexity", "steps", "CPU seconds", "AiT"], rows, left=(0, 5))
    return f"{table}\n\nAiT: {paper['source']}. {paper['what']}.", {"arms": data, "paper": paper}


def chosen(card: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
    """Return ``chosen`` with the paper's tokens if a codec is made as AiT's, else a dash."""
    training = card["training"]
    same = card["shape"]["codes"] == paper["codes"] and training["hidden"] == paper["hidden"] and training["revive"]
    patch = not paper["patch"] or training["patch"] == paper["patch"]
    return f"chosen ({paper['tokens']})" if same and patch else "–"


def mean_depth(results: Results) -> Section:
    """The error of answering every pixel with the mean depth, and the best arm's share of it."""
    errors = mean_depth_errors(next(iter(results.jobs.values()))[0].options())
    best = min(point.values["depth.rmse"] for point in results.points.values())
    text = f"The mean depth for every pixel has RMSE {errors['rmse']:.3f}; the best row has"
    return f"{text} {best / errors['rmse']:.3f} of it.", errors


def mean_depth_errors(options: CodecTrainOptions) -> dict[str, float]:
    """Return the errors of answering every pixel of the held-out images with the mean of all their known depths."""
    import torch

    from bench.builders.open_suite import open_dataset
    from tasks.base import MetricParts
    from tasks.metrics.depth import DepthMetric

    chosen = replace(options, codec="depth")
    dataset = open_dataset(chosen.data(chosen.evaluate_on, limit=chosen.chosen.evaluate_images or None))
    known = {s.image_id: t for s in dataset.samples if (t := dataset.targets(s)).depth is not None}
    depths = {image: targets.depth for image, targets in known.items() if targets.depth is not None}
    middle = torch.cat([depth[depth > 0].double() for depth in depths.values()]).mean().item()
    metric = DepthMetric(parts=MetricParts())
    records = {i: metric.observe(i, torch.full_like(depth, middle), known[i]) for i, depth in depths.items()}
    return {n: float(v) for n, v in metric.summarize(records).items() if n in ("rmse", "delta1") and v is not None}


def reconstructions(results: Results) -> Section:
    """Scores of every depth map as the first arm's codec gives it back, and a picture beside the training."""
    from bench.studies.pictures import reconstructed_pairs

    job = next(iter(results.jobs.values()))[0]
    rows, picture = reconstructed_pairs(job)
    means = {name: mean(row[name] for row in rows) for name in rows[0] if name not in ("pair", "codes used")}
    cells = [
        [row["pair"], *(shown(f"depth.{name}").text(row[name]) for name in means), str(row["codes used"])]
        for row in [*rows, {"pair": "mean", "codes used": "", **means}]
    ]
    headings = ["pair", *(shown(f"depth.{name}").heading for name in means), "codes used"]
    return pipe_table(headings, cells), {"rows": rows, "mean": means, "picture": picture.name}


TABLES: dict[str, Callable[..., Section]] = {
    table.__name__: table
    for table in (
        *(each_seed, times, thresholds, convergence, reach),
        *(images, codes, mean_depth, reconstructions),
    )
}
