"""How often intervals over training seeds and images hold the truth, in simulated studies, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config.studies import MeasureOptions
from bench.console import progress
from bench.measurements.simulated_studies import IMAGES, OBJECTS, RESAMPLES, World, weights, worlds
from bench.stats.bootstrap import LEVEL
from bench.stats.crossed import SeedMean, crossed_mean, seed_mean
from reports.tables.table import pipe_table
from results.store import reserve, write_atomically

SEEDS = (3, 5)


def measure_coverage(options: MeasureOptions) -> str:
    """Simulate studies and write ``coverage.md`` and ``coverage.json`` into ``options.out``.

    Returns:
        The Markdown.
    """
    reserve(options.out / "coverage.md")
    resamples, rows = weights(), []
    kinds = [(world, seeds) for world in worlds(options.seed) for seeds in SEEDS]
    with progress("simulating studies") as report:
        for number, (world, seeds) in enumerate(kinds):
            generator = np.random.default_rng([options.seed, 1, number])
            rows.append(simulate(world, seeds, resamples, generator, studies=options.studies))
            report(number + 1, len(kinds))
    text = _markdown(rows, options)
    data = {"seed": options.seed, "studies": options.studies, "images": IMAGES, "resamples": RESAMPLES, "rows": rows}
    write_atomically(options.out / "coverage.json", (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(options.out / "coverage.md", text.encode())
    return text


def simulate(
    world: World, seeds: int, resamples: NDArray[Any], generator: np.random.Generator, *, studies: int
) -> dict[str, Any]:
    """Return how often each interval holds the truth, the mean resolvable effect, and how often that is found."""
    holds, means = [], []
    for _ in range(studies):
        draws = world.simulate(generator, seeds, resamples) - world.truth
        mean = crossed_mean(draws, resamples.shape[1])
        means.append(mean)
        holds.append(
            {
                "seeds and images": abs(mean.value) <= mean.reach,
                "Satterthwaite": abs(mean.value) <= _satterthwaite(draws, mean, resamples.shape[1]).reach,
                "seeds alone": abs(mean.value) <= seed_mean(draws[:, 0]).reach,
                "two-level bootstrap": _inside(_two_levels(draws[:, 1:], generator)),
                "images alone": _inside(draws[:, 1:].mean(axis=0)),
            }
        )
    effect = fmean(mean.resolvable for mean in means)
    return {
        "world": world.title,
        "seeds": seeds,
        "coverage": {name: fmean(hold[name] for hold in holds) for name in holds[0]},
        "length": 2 * fmean(mean.reach for mean in means),
        "resolvable": effect,
        "power": fmean(abs(mean.value + effect) > mean.reach for mean in means),
    }


def _satterthwaite(draws: NDArray[Any], mean: SeedMean, images: int) -> SeedMean:
    seed_part = draws[:, 0].var(ddof=1) / len(draws)
    squares = seed_part**2 / (len(draws) - 1) + (mean.error**2 - seed_part) ** 2 / (images - 1)
    return replace(mean, degrees=mean.error**4 / squares)


def _inside(draws: NDArray[Any]) -> bool:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return bool(low <= 0 <= high)


def _two_levels(draws: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    """Means (R,) over seeds that are drawn with replacement, of draws (S, R) on resamples of the images."""
    seeds, resamples = draws.shape
    means: NDArray[Any] = draws[generator.integers(seeds, size=(seeds, resamples)), np.arange(resamples)].mean(axis=0)
    return means


def _markdown(rows: Sequence[Mapping[str, Any]], options: MeasureOptions) -> str:
    lines = [
        "# How often intervals over training seeds and images hold the truth",
        "",
        f"{options.studies:,} simulated studies of each kind with known truth: two arms, 3 or 5 seeds, the same",
        f"{IMAGES} images. Coverage in %, nominally 95; the first column is the method that studies use. Resolvable:",
        "the smallest effect that a study says it finds with 80 % power, mean, beside the mean length of its interval;",
        "found: in how many studies (%) an effect of that size differs from 0 significantly. Average precision is of",
        f"{OBJECTS} objects an image. Written by `python -m bench measure coverage`.",
        "",
    ]
    intervals = list(rows[0]["coverage"])
    cells = [
        [
            row["world"],
            str(row["seeds"]),
            *(f"{100 * row['coverage'][name]:.1f}" for name in intervals),
            *(f"{row[name]:.3g}" for name in ("length", "resolvable")),
            f"{100 * row['power']:.0f}",
        ]
        for row in rows
    ]
    headings = ["what differences come from", "seeds", *intervals, "length", "resolvable", "found"]
    return "\n".join([*lines, pipe_table(headings, cells)]) + "\n"
