"""Options of the masked strategies. Nothing here needs torch, so that commands can explain and check them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ParallelOptions:
    """Options of ``parallel``.

    Args:
        released_scores: take object scores from a softmax over everything but the words, as in MAD's release, instead
            of over the task's vocabulary.
    """

    released_scores: bool = False


def _paper_ratios() -> dict[str, tuple[float, ...]]:
    return {"keypoints": (0.7,), "captioning": (0.8, 0.6, 0.4)}


def _released_ratios() -> dict[str, tuple[float, ...]]:
    return {"captioning": (0.8, 0.6, 0.4)}


@dataclass(frozen=True, kw_only=True)
class MadOptions:
    """Options of ``mad``; the defaults are the paper's (sections 3.3 and 4.1).

    Args:
        train_ratios: share of tokens masked in each partly masked training copy; one copy per ratio.
        train_range: one copy instead, whose sequences draw their ratio between these two.
        augment: in captions, replace one token of every training sequence by a random word.
        references: partly masked captions per image; 0 means all references.
        ratios: task to the share masked again in each further pass; other tasks take one pass.
        remask: which tokens are masked again: ``random`` ones (paper), those of ``lowest`` confidence, or ``released``:
            random in captions, lowest elsewhere, joints ranked by their visibility.
        ensemble: logits of a position that several passes predicted: their ``mean`` (paper: the predictions of all
            passes are averaged), ``recursive`` (old + new) / 2, so that the newest pass counts half (released), or
            only the ``newest``.
        released_scores: as for ``parallel``.
    """

    train_ratios: tuple[float, ...] = (0.7,)
    train_range: tuple[float, float] | None = None
    augment: bool = True
    references: int = 0
    ratios: dict[str, tuple[float, ...]] = field(default_factory=_paper_ratios)
    remask: Literal["random", "lowest", "released"] = "random"
    ensemble: Literal["mean", "recursive", "newest"] = "mean"
    released_scores: bool = False

    def __post_init__(self) -> None:
        decoding = (ratio for ratios in self.ratios.values() for ratio in ratios)
        for ratio in (*self.train_ratios, *(self.train_range or ()), *decoding):
            if not 0 <= ratio <= 1:
                raise ValueError(f"mad: mask ratio {ratio} is not a share; give a number between 0 and 1")
        if self.train_range and self.train_range[0] > self.train_range[1]:
            raise ValueError(f"mad: train_range {list(self.train_range)} must go from the lowest to the highest ratio")
        if self.references < 0:
            raise ValueError(f"mad: references is {self.references}; give 0 for all, or more")


@dataclass(frozen=True, kw_only=True)
class MadReleasedOptions(MadOptions):
    """Options of ``mad-released``: as ``mad``, with the released defaults (keypoints take one pass there).

    The release also differs outside the decoder: it reads coordinates at the lower edge of their bin, and a pose
    without a visible joint keeps its detection's score. For the whole release:
    ``run --decoder mad-released --reading edge --score_unseen true``.
    """

    ratios: dict[str, tuple[float, ...]] = field(default_factory=_released_ratios)
    remask: Literal["random", "lowest", "released"] = "released"
    ensemble: Literal["mean", "recursive", "newest"] = "recursive"
    released_scores: bool = True


@dataclass(frozen=True, kw_only=True)
class MadOnePassOptions(MadOptions):
    """Options of ``mad-one-pass``: as ``mad``, but no task takes a further pass."""

    ratios: dict[str, tuple[float, ...]] = field(default_factory=dict)
