"""What the task tests build again and again: parts, objects, perfect tokens, the golden arrays of MAD's release."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.parity.mad_model import golden_sizes
from tasks.base import Task, TaskParts
from tasks.formats.sequence import Decoded, one_hot
from tasks.formats.tokenizer import Tokenizer
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.targets import Context, ObjectAnnotations, Segmentation, Targets

CLASSES = ("dog", "person", "kite")


def parts(reading: str = "centre", tokenizer: Tokenizer | None = None, **sizes: Any) -> TaskParts:
    """Parts of a small preset; ``sizes`` override it."""
    chosen = Sizes(**{"classes": len(CLASSES), "bins": 50, "slots": 6, "words": 30, **sizes})
    words = None if tokenizer is None else len(tokenizer)
    return TaskParts(Vocabulary(chosen, words=words), chosen, CLASSES, tokenizer, reading)


def instances(
    boxes: Sequence[Sequence[float]],
    classes: Sequence[int] | None = None,
    *,
    segmentations: Sequence[Segmentation] | None = None,
    keypoints: Tensor | None = None,
    joints: int = 17,
) -> ObjectAnnotations:
    """Objects; their outline is their box unless given."""
    placed = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    outlines: list[Segmentation] = [[[a, b, c, b, c, d, a, d]] for a, b, c, d in placed.tolist()]
    return ObjectAnnotations(
        boxes=placed,
        classes=torch.tensor(classes if classes is not None else [1] * len(placed), dtype=torch.int64),
        segmentations=outlines if segmentations is None else segmentations,
        keypoints=torch.zeros(len(placed), joints, 3) if keypoints is None else keypoints,
        ids=list(range(len(placed))),
    )


def perfect(task: Task, targets: Targets, earlier: Mapping[str, Any] | None = None) -> Any:
    """What the task makes of the target's own tokens."""
    context = Context(targets.size, earlier or {})
    encoded = task.encode(targets).rows(task.target_rows(context))
    assert encoded.prompts.shape == task.prompt(context).shape
    decoded = Decoded(encoded.tokens, one_hot(task.format, encoded.tokens), evaluations=0, positions=0)
    return task.interpret(decoded, context)


def shared(name: str) -> Path:
    """A file of the shared reference material; skips the test where it is not at hand."""
    path = Path(os.environ.get("DECODER_BENCH_SHARED", ""), name)
    if not os.environ.get("DECODER_BENCH_SHARED") or not path.is_file():
        pytest.skip(f"needs {name} under $DECODER_BENCH_SHARED")
    return path


@cache
def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files if not key.startswith(("param/", "grad/"))}


class Golden:
    """Arrays of MAD's released classes, and the parts that fit them."""

    def __init__(self) -> None:
        self._arrays = _arrays(shared("golden/mad.npz"))
        config = json.loads(str(self._arrays["meta_json"]))["config"]
        self.sizes = golden_sizes(config)
        names = [f"class {index}" for index in range(self.sizes.classes)]
        self.parts = TaskParts(Vocabulary(self.sizes), self.sizes, names, None, "edge")
        self.originals = [(int(height), int(width)) for height, width in config["orig"]]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name])

    def decoded(self, task: Task, tag: str, image: int) -> Decoded:
        """The release's own logits as a decoded sequence of one image."""
        logits = self.tensor(f"infer/{tag}/ensembled_logits")[image]  # (N, L, visible ids)
        legal = logits[..., task.format.ids].masked_fill(~task.format.legal, -torch.inf)
        tokens = task.format.ids[legal.argmax(dim=-1)]
        return Decoded(tokens, logits.softmax(dim=-1)[..., task.format.ids], evaluations=1, positions=0)
