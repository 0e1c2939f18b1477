"""Captions as tables: BLEU and METEOR of any resample from summed counts, CIDEr and ROUGE-L as means over images.

CIDEr's document frequencies stay those of the whole set, as a resample is a sample of captions and not of the language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

from tasks.base import Json
from tasks.metrics.tables import MeanTable, check_weights, pack_array, unpack_array

ORDERS = 4  # BLEU-1 to BLEU-4
BLEUS = tuple(f"BLEU-{n + 1}" for n in range(ORDERS))
BLEU_COLUMNS = 2 + 2 * ORDERS  # length, closest reference's length, n-grams, matched n-grams
METEOR_COLUMNS = 23
TINY, SMALL = 1e-15, 1e-9  # pycocoevalcap's guards against 0

# METEOR 1.5, English: alpha, beta, gamma, delta, and the weights of exact, stem, synonym and paraphrase matches.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGES = np.array([1.0, 0.6, 0.8, 0.6])


class CaptionTable:
    """Counts and values of I captions.

    Args:
        images: ids of the images.
        counts: (I, 10) what BLEU adds up, from ``bleu_counts``.
        means: metric to (I,) values of which the metric is the mean.
        meteor: (I, 23) counts as METEOR's program prints them; None where METEOR did not run.
        order: names of the metrics in the order of reports.
    """

    def __init__(
        self,
        images: Sequence[int],
        counts: Any,
        means: Mapping[str, Any],
        meteor: Any | None = None,
        order: Sequence[str] = (),
    ) -> None:
        self.images = [int(image) for image in images]
        self.counts = np.asarray(counts, dtype=float).reshape(len(self.images), BLEU_COLUMNS)
        self.meteor = None if meteor is None else meteor_counts(np.asarray(meteor, dtype=float), len(self.images))
        self._means = MeanTable(self.images, means)
        names = [*BLEUS, *(["METEOR"] if self.meteor is not None else []), *self._means.names]
        self.names = tuple(sorted(names, key=[*order, *names].index))
        self.lower: frozenset[str] = frozenset()

    def score(self, weights: NDArray[Any], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Metric values (R,) of resamples with weights (R, I)."""
        check_weights(weights, len(self.images))
        whole = weights.astype(float)
        values = {**dict(zip(BLEUS, bleu(whole @ self.counts), strict=True)), **self._means.score(whole)}
        if self.meteor is not None:
            values["METEOR"] = meteor(whole @ self.meteor)
        drawn = whole.sum(axis=1) > 0
        return {name: np.where(drawn, values[name], np.nan) for name in self.names if names is None or name in names}

    def pack(self) -> Json:
        """The table as JSON data."""
        return {
            "kind": "captions",
            "images": self.images,
            "counts": pack_array(self.counts.astype(np.int32)),
            "means": self._means.pack()["values"],
            "meteor": None if self.meteor is None else pack_array(self.meteor),
            "order": list(self.names),
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> CaptionTable:
        """The table from what ``pack`` gave."""
        means = {name: unpack_array(column) for name, column in packed["means"].items()}
        if any(column.shape != (len(packed["images"]),) for column in means.values()):
            raise ValueError("columns and images differ in number")
        summed = None if packed["meteor"] is None else unpack_array(packed["meteor"])
        return cls(packed["images"], unpack_array(packed["counts"]), means, summed, packed["order"])


def bleu_counts(references: Sequence[str], caption: str) -> list[int]:
    """What one caption adds to BLEU: its length, the closest reference's, n-grams and matched n-grams for n = 1 to 4.

    Args:
        references: tokenized texts.
        caption: tokenized text.
    """
    counts = cook_test(caption, cook_refs(references, n=ORDERS), eff="closest", n=ORDERS)
    return [counts["testlen"], counts["reflen"], *counts["guess"], *counts["correct"]]


def bleu(sums: NDArray[Any]) -> list[NDArray[Any]]:
    """BLEU-1 to BLEU-4 (R,) of summed counts (R, 10), as pycocoevalcap computes them."""
    length, reference = sums[:, 0], sums[:, 1]
    ratio = (length + TINY) / (reference + SMALL)
    penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
    product, values = np.ones(len(sums)), []
    for n in range(ORDERS):
        product = product * (sums[:, 2 + ORDERS + n] + TINY) / (sums[:, 2 + n] + SMALL)
        values.append(product ** (1.0 / (n + 1)) * penalty)
    return values


def meteor_counts(printed: NDArray[Any], images: int) -> NDArray[Any]:
    """(I, 23) what METEOR adds up, from what it prints of each caption: a perfect caption adds no chunk.

    Raises:
        ValueError: if there are not 23 numbers for each of ``images``.
    """
    if printed.shape != (images, METEOR_COLUMNS):
        raise ValueError(f"METEOR counts are {printed.shape}, expected ({images}, {METEOR_COLUMNS})")
    counts = printed.copy()
    perfect = (counts[:, 21] == counts[:, 0]) & (counts[:, 22] == counts[:, 1]) & (counts[:, 20] == 1)
    counts[perfect, 20] = 0.0
    return counts


def meteor(sums: NDArray[Any]) -> NDArray[Any]:
    """METEOR (R,) of summed counts (R, 23), as its program computes it (Denkowski and Lavie 2014, section 2).

    Columns: length and function words of caption and reference, four stages of matched content and function words,
    chunks, matched words of caption and reference.
    """
    length, reference, function, reference_function = sums[:, :4].T
    stages = sums[:, 4:20].reshape(-1, 4, 4)
    chunks, matched, reference_matched = sums[:, 20:].T
    hit = (DELTA * stages[:, :, 0] + (1 - DELTA) * stages[:, :, 2]) @ STAGES
    reference_hit = (DELTA * stages[:, :, 1] + (1 - DELTA) * stages[:, :, 3]) @ STAGES
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = hit / (DELTA * (length - function) + (1 - DELTA) * function)
        recall = reference_hit / (DELTA * (reference - reference_function) + (1 - DELTA) * reference_function)
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        value = mean * (1 - GAMMA * (chunks / ((matched + reference_matched) / 2)) ** BETA)
    return np.where(matched > 0, value, 0.0)
