"""Learning curves of a study's trainings: which arms have converged, and when they reach what another scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from bench.stats.crossed import seed_mean
from bench.studies.analysis import CODEC_TASKS, FEWEST_SEEDS
from bench.studies.output import shown
from bench.studies.plan import Job
from bench.studies.study_results import Results, Section, card_of
from bench.train.trainer import CURVE
from reports.metrics import AVERAGED, HEADLINE
from reports.tables.table import pipe_table

LAST_FIFTH = 0.8
POINT, SHARE = 0.01, 0.01  # most that a converged arm moves over the last fifth; RMSE by a share


@dataclass(frozen=True)
class Evaluation:
    """Validation scores at one step: ``task.metric`` to value, and the CPU seconds of the training until then."""

    step: int
    scores: Mapping[str, float]
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Curve:
    """A training with the ones that it started from, one after the other."""

    steps: int
    cpu_seconds: float
    evaluations: Sequence[Evaluation]

    @property
    def final(self) -> Mapping[str, float]:
        """Scores at the last step; empty without an evaluation there."""
        last = self.evaluations[-1] if self.evaluations else None
        return last.scores if last and last.step == self.steps else {}

    def at(self, share: float) -> Mapping[str, float]:
        """Scores at the evaluation closest to a share of the steps, the last one left out; empty without one."""
        earlier = [evaluation for evaluation in self.evaluations if evaluation.step < self.steps]
        return min(earlier, key=lambda e: abs(e.step - share * self.steps)).scores if earlier else {}

    def reached(self, key: str, value: float, *, higher: bool) -> tuple[float, float] | None:
        """Return step and CPU seconds at which a score is first as good as a value, interpolated."""
        before: Evaluation | None = None
        for now in self.evaluations:
            if key in now.scores and (now.scores[key] >= value if higher else now.scores[key] <= value):
                if before is None:
                    return float(now.step), now.cpu_seconds
                share = (value - before.scores[key]) / (now.scores[key] - before.scores[key])
                step, seconds = (
                    getattr(before, name) + share * (getattr(now, name) - getattr(before, name))
                    for name in ("step", "cpu_seconds")
                )
                return step, seconds
            before = now if key in now.scores else before
        return None


def curve(training: Job) -> Curve:
    """Return the learning curve of a training and those before it."""
    earlier = curve(training.start) if training.start else Curve(0, 0.0, ())
    evaluations, seconds = [*earlier.evaluations], 0.0
    for line in (training.folder / CURVE).read_text().splitlines():
        point = json.loads(line)
        seconds = point.get("cpu_seconds", seconds)
        if "evaluation" in point:
            step, scores = earlier.steps + point["step"], _named(training, point["evaluation"])
            evaluations.append(Evaluation(step, scores, earlier.cpu_seconds + seconds))
    card = card_of(training)
    return Curve(earlier.steps + card["steps"], earlier.cpu_seconds + card["cpu_seconds"], evaluations)


def _named(training: Job, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores as ``task.metric``; the curves of networks say ``task metric``, those of codecs ``metric``."""
    task = CODEC_TASKS[training.given["codec"]] + "." if training.kind == "codec" else ""
    return {f"{task}{name}" if task else name.replace(" ", ".", 1): value for name, value in scores.items()}


def convergence(results: Results) -> Section:
    """Validation scores of every training at 80 % and 100 % of its steps, mean over the seeds, and what it took."""
    curves = _curves(results)
    keys = [m.key for m in HEADLINE if any(m.key in c.final for trained in curves.values() for c in trained)]
    rows, moving, data = [], [], {}
    for name, trained in curves.items():
        changes = {key: _change(trained, key) for key in keys}
        cells = [_text(key, change) for key, change in changes.items()]
        minutes = fmean(c.cpu_seconds for c in trained) / 60
        rows.append([name, str(len(trained)), str(trained[0].steps), f"{minutes:.1f}", *cells])
        data[name] = {
            "seeds": len(trained),
            "steps": trained[0].steps,
            "core_minutes": minutes,
            "scores": {key: change for key, change in changes.items() if change is not None},
        }
        moved = [shown(key).heading for key, change in changes.items() if change and _moves(key, *change)]
        moving += [f"{name} ({', '.join(moved)})"] if moved else []
    headings = ["training", "seeds", "steps", "core-minutes", *(shown(key).heading for key in keys)]
    parts = ["Validation scores at 80 % of the steps, at all, and their difference:", pipe_table(headings, rows)]
    parts.append(f"Over the last fifth of training {_list(moving)} by more than 1 point (RMSE 1 %).")
    return "\n\n".join(parts), data


def _curves(results: Results) -> dict[str, list[Curve]]:
    """Arms that share their trainings to the curve of each seed."""
    trained: dict[tuple[Any, ...], list[str]] = {}
    for name in results.points:
        if trainings := results.trainings(name):
            trained.setdefault(tuple(training.folder for training in trainings), []).append(name)
    return {", ".join(names): [curve(t) for t in results.trainings(names[0])] for names in trained.values()}


def _change(curves: Sequence[Curve], key: str) -> tuple[float, float] | None:
    """Means over the seeds of a score at 80 % and at all steps; None if it was not evaluated there."""
    if not all(key in c.final and key in c.at(LAST_FIFTH) for c in curves):
        return None
    return fmean(c.at(LAST_FIFTH)[key] for c in curves), fmean(c.final[key] for c in curves)


def _text(key: str, change: tuple[float, float] | None) -> str:
    how = shown(key)
    return (
        "–"
        if change is None
        else f"{how.text(change[0])} → {how.text(change[1])} ({how.signed(change[1] - change[0])})"
    )


def _moves(key: str, before: float, after: float) -> bool:
    if key == "depth.rmse":
        return abs(after - before) > SHARE * before
    return key in {m.key for m in AVERAGED} and abs(after - before) > POINT


def _list(moving: Sequence[str]) -> str:
    return "no score moves" if not moving else f"scores still move: {'; '.join(moving)}"


def reach(results: Results, *, metric: str, target: str) -> Section:
    """Steps after which trainings score what a target does at its end, seed by seed (MAD Figure 4)."""
    goals = [curve(training) for training in results.trainings(target)]
    how = shown(metric)
    rows, data = [], {}
    for name, trained in _curves(results).items():
        if target in name.split(", ") or len(trained) != len(goals):
            continue
        points = [
            c.reached(metric, goal.final[metric], higher=bool(how.higher))
            for c, goal in zip(trained, goals, strict=True)
        ]
        entry = _reach_entry(points, goals)
        data[name] = entry
        steps = [str(round(point[0])) if point else "not" for point in points]
        rows.append([name, *steps, _ratio(entry, "steps"), _ratio(entry, "cpu_seconds")])
    goal = ", ".join(how.text(g.final[metric]) for g in goals)
    text = f"Steps after which {how.heading} is what {target} has after {goals[0].steps} steps ({goal}):"
    headings = ["training", *(f"seed {number + 1}" for number in range(len(goals)))]
    headings += ["share of its steps (95 % over seeds)", "share of its CPU time"]
    return f"{text}\n\n{pipe_table(headings, rows)}", {"metric": metric, "target": target, "trainings": data}


def _reach_entry(points: Sequence[tuple[float, float] | None], goals: Sequence[Curve]) -> dict[str, Any]:
    """Steps, CPU seconds and their shares of the target's with each seed; geometric mean and interval of the shares."""
    entry: dict[str, Any] = {}
    for number, name in enumerate(("steps", "cpu_seconds")):
        values = [point[number] if point else None for point in points]
        shares = [
            value / total if value is not None else None
            for value, total in zip(values, (getattr(goal, name) for goal in goals), strict=True)
        ]
        entry[name] = {"each": values, "shares": shares}
        if len(shares) >= FEWEST_SEEDS and all(shares):
            mean = seed_mean(np.log([share for share in shares if share]))
            ends = (mean.value, mean.value - mean.reach, mean.value + mean.reach)
            entry[name] |= dict(zip(("share", "low", "high"), np.exp(ends).tolist(), strict=True))
    return entry


def _ratio(entry: Mapping[str, Any], name: str) -> str:
    ratio = entry[name]
    if "share" in ratio:
        return f"{ratio['share']:.2f} ({ratio['low']:.2f} … {ratio['high']:.2f})"
    return ", ".join("–" if share is None else f"{share:.2f}" for share in ratio["shares"])
