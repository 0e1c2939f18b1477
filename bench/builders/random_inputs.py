"""Random images and a suite on them: times of paper-size networks without any data.

With random weights nothing that is decoded means anything, so the number of objects that later tasks are prompted with
is given: by default those of the released code's own measurement, every object slot and ten persons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.builders.suite import Suite, make_tasks, task_choices, task_classes
from bench.builders.task_formats import Formats, check_formats, default_formats, random_codecs
from bench.config.parts import ImageOptions, SuiteOptions
from tasks.formats.vocabulary import Sizes
from tasks.targets import ObjectAnnotations, Targets

IMAGES = 16  # different ones; a measurement goes round
SHRINK = 0.6  # of the original's sides to the network's: images of the paper's data sets are enlarged


@dataclass(frozen=True)
class RandomSample:
    """One image; the seed of its pixels is its id."""

    image_id: int

    @property
    def file_name(self) -> str:
        """No file."""
        return f"seed {self.image_id}"


class RandomImages:
    """Images of noise of a preset's size, annotated with nothing.

    Args:
        image: how an image becomes the network's input.
        sizes: of the sequences.
        seed: of the pixels.
        count: images.
    """

    def __init__(self, image: ImageOptions, sizes: Sizes, *, seed: int, count: int = IMAGES) -> None:
        self.size = original_size(image)
        self.samples = [RandomSample(number) for number in range(1, count + 1)]
        self.class_names = ["person", *(f"class {number}" for number in range(1, sizes.classes))]
        self.coco = None
        self._keypoints = sizes.keypoints
        self._seed = seed

    def image(self, sample: RandomSample) -> Image.Image:
        """Noise that depends on seed and id alone."""
        generator = np.random.default_rng([self._seed, sample.image_id])
        return Image.fromarray(generator.integers(0, 256, (*self.size, 3), dtype=np.uint8))

    def targets(self, sample: RandomSample) -> Targets:
        """An image on which every task runs and which shows nothing."""
        del sample
        nothing = ObjectAnnotations(
            boxes=torch.zeros(0, 4),
            classes=torch.zeros(0, dtype=torch.int64),
            segmentations=[],
            keypoints=torch.zeros(0, self._keypoints, 3),
            ids=[],
        )
        return Targets(
            size=self.size, instances=nothing, has_keypoints=True, captions=[""], depth=torch.zeros(*self.size)
        )

    def roomiest(self) -> list[RandomSample]:
        """All of them: they are of one size."""
        return self.samples

    def summary(self) -> dict[str, Any]:
        """What the record of a run says of its data."""
        told = {"images": len(self.samples), "height": self.size[0], "width": self.size[1], "seed": self._seed}
        return {"random": told, "hash": "-".join(map(str, told.values()))}


class PlaceholderTokenizer:
    """A tokenizer of the right size whose pieces are numbers; it encodes every text as no pieces."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return self._pieces

    def encode(self, text: str) -> list[int]:
        del text
        return []

    def decode(self, pieces: Sequence[int]) -> str:
        return " ".join(map(str, pieces))


def original_size(image: ImageOptions) -> tuple[int, int]:
    """Height and width of an image that a preset's transform makes as large as it makes any."""
    if image.transform == "shortest_side":
        return round(image.short * SHRINK), round(image.longest * SHRINK)
    if image.transform == "windows":
        return image.side, image.side * 4 // 3  # NYUv2's shape
    return image.side, image.side


def random_suite(options: SuiteOptions, *, score_unseen: bool = False, images: int = IMAGES) -> Suite:
    """All tasks on random images; nothing is scored."""
    dataset: Any = RandomImages(options.image, options.sizes, seed=options.seed, count=images)
    tokenizer = PlaceholderTokenizer(options.sizes.words)
    classes = task_classes(options.tasks, options.sizes.layout)
    names = default_formats(options.sizes.layout, classes, check_formats(options.formats))
    vocabulary, tasks = make_tasks(
        list(classes.values()),
        sizes=options.sizes,
        class_names=dataset.class_names,
        tokenizer=tokenizer,
        codecs=Formats(names, random_codecs(names, options)).modules,
        **task_choices(options, score_unseen=score_unseen),
    )
    return Suite(
        dataset=dataset,
        tasks=tasks,
        metrics={},
        off={},
        vocabulary=vocabulary,
        data=dataset.summary(),
        classes=list(classes.values()),
        tokenizer=tokenizer,
    )
