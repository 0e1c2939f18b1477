"""Studies with known truth: two arms scored with several seeds on the same images, and on resamples of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.stats.bootstrap import draw
from tasks.metrics.matches import Category, MatchTable

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Simulate = Callable[[np.random.Generator, int, Array], Array]

IMAGES, RESAMPLES = 200, 200
TRUTH_SEEDS, TRUTH_IMAGES = 2000, 2000  # from which the true difference of average precisions is taken
OBJECTS, FALSE_ALARMS = 1.5, 0.7  # an image, mean
TIGHT = 0.6  # of hits that also count at the higher threshold of overlap
SEED_SHARED, SEED_ALONE, IMAGE_ALONE = 0.3, 0.15, 1.0  # deviations of the logit of recall: of both arms, of each


@dataclass(frozen=True)
class World:
    """What differences come from.

    Args:
        title: in words.
        simulate: from a generator, the number of seeds and weights (R, I) of images to the differences (S, R).
        truth: the true difference.
    """

    title: str
    simulate: Simulate
    truth: float = 0.0


def worlds(seed: int) -> list[World]:
    """Return the worlds in which intervals are tried."""
    shares = {
        "images alone": (0, 1, 0), "seeds ½ of images": (0.5, 1, 0), "seeds as images": (1, 1, 0),
        "seeds 2 × images": (2, 1, 0), "seeds 5 × images": (5, 1, 0), "seeds alone": (1, 0, 0),
        "interaction alone": (0, 0, 1), "all three alike": (1, 1, 1), "interaction 4 × the others": (1, 1, 4),
    }  # fmt: skip
    additives = [World(title, partial(additive, parts)) for title, parts in shares.items()]
    additives.append(World("as the images, these skewed", partial(additive, (1, 1, 1), skewed=True)))
    generator = np.random.default_rng([seed, 0])
    better = float(precisions(0.4, generator, TRUTH_SEEDS, np.ones((1, TRUTH_IMAGES), dtype=int)).mean())
    equal = World("average precision, equal arms", partial(precisions, 0.0))
    return [*additives, equal, World(f"average precision, {100 * better:+.1f}", partial(precisions, 0.4), better)]


def weights() -> Array:
    """Return (1 + R, I) weights: all images, then resamples."""
    return draw(IMAGES, resamples=RESAMPLES)


def additive(
    parts: tuple[float, float, float],
    generator: np.random.Generator,
    seeds: int,
    weights: Array,
    *,
    skewed: bool = False,
) -> Array:
    """Return (S, R) means of seed + image + interaction.

    Args:
        parts: deviations of a mean over the images: by its seed, by the images, and by their interaction.
        generator: of random numbers.
        seeds: S.
        weights: (R, I).
        skewed: draw images from an exponential distribution.
    """
    images, (seed, image, both) = weights.shape[1], parts
    effects = generator.exponential(size=images) - 1 if skewed else generator.normal(size=images)
    noise = image * effects + both * generator.normal(size=(seeds, images))  # (S, I)
    means: Array = seed * generator.normal(size=(seeds, 1)) + images**0.5 * noise @ weights.T / weights.sum(axis=1)
    return means


def precisions(gain: float, generator: np.random.Generator, seeds: int, weights: Array) -> Array:
    """Return (S, R) differences of two arms' average precision on images of few objects.

    Args:
        gain: of the second arm, in the logit of its recall.
        generator: of random numbers.
        seeds: S.
        weights: (R, I).
    """
    images = weights.shape[1]
    objects = np.asarray(generator.poisson(OBJECTS, (images,)))
    difficulty = generator.normal(size=images)
    shared = SEED_SHARED * generator.normal(size=seeds)
    first, second = (
        np.array([_scored(logits + seed, objects, generator, weights) for seed in shared])
        for logits in (1 + add - difficulty + IMAGE_ALONE * generator.normal(size=images) for add in (0.0, gain))
    )
    difference: Array = second - first
    return difference


def _scored(logits: Array, objects: Counts, generator: np.random.Generator, weights: Array) -> Array:
    """Average precision (R,) of one arm and seed: logits (I,) of recall decide which objects (I,) are hit."""
    places = np.repeat(np.arange(len(objects)), objects)
    recall = 1 / (1 + np.exp(-logits[places] - SEED_ALONE * generator.normal()))
    hit = places[generator.random(len(places)) < recall]
    false = np.repeat(np.arange(len(objects)), generator.poisson(FALSE_ALARMS, len(objects)))
    image, loose = np.concatenate([hit, false]), np.arange(len(hit) + len(false)) < len(hit)
    order = np.argsort(-generator.normal(loose))  # hits are surer
    tight = loose & (generator.random(len(image)) < TIGHT)
    hits = np.stack([loose, tight])[None, :, order]
    table = MatchTable("bbox", range(len(objects)), [Category(image[order], hits, np.ones_like(hits), objects[None])])
    precision: Array = table.score(weights, ["AP"])["AP"]
    return precision
