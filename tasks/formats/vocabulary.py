"""The shared vocabulary: named, contiguous id ranges, sized by a preset, in the layout of MAD's release or of AiT's."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

DETECTION_PROMPT = 6
CAPTION_PROMPT = 6
CODES = 128  # of either codec in AiT's release
MASK_CODE, DEPTH_CODE = "mask_code", "depth_code"


@dataclass(frozen=True)
class Sizes:
    """Sizes of the token sequences, as a preset gives them. Defaults are the MAD paper's (section 4.1).

    Args:
        classes: object classes.
        bins: intervals a coordinate in [0, 1] is cut into; the vocabulary has ``bins + 1`` coordinate tokens.
        slots: object slots of a detection sequence.
        mask_size: side M of the M x M instance mask.
        keypoints: keypoints of a person.
        caption_length: tokens of a caption, its end token included.
        words: largest number of caption pieces.
        depth_bins: log-spaced depth intervals.
        depth_grid: rows and columns of the depth grid.
        min_depth: meters, lower edge of the first depth bin.
        max_depth: meters, upper edge of the last depth bin.
        layout: order of the id ranges: ``mad``, for all five tasks, or ``ait``, for the tasks as AiT has them.
        others: ids behind the codes that no task uses, in layout ``ait``; 128 in AiT's released ``insseg`` and
            ``joint``, whose training softmax they take part in.
    """

    classes: int = 80
    bins: int = 500
    slots: int = 100
    mask_size: int = 16
    keypoints: int = 17
    caption_length: int = 20
    words: int = 11421
    depth_bins: int = 128
    depth_grid: tuple[int, int] = (15, 20)
    min_depth: float = 0.5
    max_depth: float = 10.0
    layout: Literal["mad", "ait"] = "mad"
    others: int = 0

    def __post_init__(self) -> None:
        for name in ("classes", "bins", "slots", "mask_size", "keypoints", "words", "depth_bins"):
            if getattr(self, name) < 1:
                raise ValueError(f"sizes.{name} is {getattr(self, name)}; give at least 1")
        if self.others < 0 or (self.others and self.layout != "ait"):
            raise ValueError(f"sizes.others is {self.others} in layout {self.layout}; give 0, or more in layout ait")
        if self.caption_length < 2:
            raise ValueError(f"sizes.caption_length is {self.caption_length}; a caption needs at least 2 tokens")
        if min(self.depth_grid) < 1:
            raise ValueError(f"sizes.depth_grid is {list(self.depth_grid)}; give at least one row and one column")
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f"sizes.min_depth {self.min_depth} and max_depth {self.max_depth} must satisfy 0 < min < max"
            )


@dataclass(frozen=True, order=True)
class IdRange:
    """Ids ``start <= id < stop`` of one kind of token."""

    start: int
    stop: int
    name: str

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, token: int) -> bool:
        return self.start <= token < self.stop

    def ids(self) -> range:
        """All ids of the range in order."""
        return range(self.start, self.stop)


class Vocabulary:
    """Named id ranges in one contiguous row of ids.

    Layout ``mad`` follows MAD's release (prompt ids 0..18, mask 19, classes from 20, no-object, coordinates, foreground
    and background, visible and invisible, words), so that its weights fit row for row. MAD leaves ids 14..18 unused:
    three of them are the depth prompt, the autoregressive start token and the parallel token of AiT. Ranges that MAD
    does not have (depth bins, codes, ranges of third-party tasks) follow the words.

    Layout ``ait`` follows AiT's release (coordinates, classes, one id that nothing uses, the noise label, mask codes,
    depth codes, ``sizes.others`` ids that nothing uses). Its four learned task tokens, which open a sequence in place
    of a prompt, its parallel token and what other strategies need follow behind.

    Args:
        sizes: sizes of the preset.
        words: pieces of the tokenizer in use.
        extra: further ranges, name to size, appended in the given order (learned codes, third-party tasks). Layout
            ``ait`` has a place for codes, and 128 of each where they are not given.

    Raises:
        ValueError: if an extra range is empty or its name is taken.
    """

    def __init__(self, sizes: Sizes, *, words: int | None = None, extra: Mapping[str, int] | None = None) -> None:
        self.sizes = sizes
        self._ranges: dict[str, IdRange] = {}
        more = dict(extra or {})
        if sizes.layout == "ait":
            layout = _ait_layout(sizes, more.pop(MASK_CODE, CODES), more.pop(DEPTH_CODE, CODES))
        else:
            layout = _mad_layout(sizes, sizes.words if words is None else words)
        self._shipped = {name for name, _ in layout} | {MASK_CODE, DEPTH_CODE} & more.keys()
        for name, size in [*layout, *more.items()]:
            self._append(name, size)

    def _append(self, name: str, size: int) -> None:
        if name in self._ranges:
            raise ValueError(f"vocabulary range {name!r} exists already; choose another name")
        if size < 1:
            raise ValueError(f"vocabulary range {name!r} has size {size}; give at least 1")
        start = len(self)
        self._ranges[name] = IdRange(start, start + size, name)

    def __len__(self) -> int:
        return max((r.stop for r in self._ranges.values()), default=0)

    def __getitem__(self, name: str) -> IdRange:
        try:
            return self._ranges[name]
        except KeyError:
            raise KeyError(f"vocabulary has no range {name!r}; it has {', '.join(self._ranges)}") from None

    def __iter__(self) -> Iterator[IdRange]:
        return iter(self._ranges.values())

    @property
    def openings(self) -> list[int]:
        """First ids of the sequences of the tasks that the layout knows, and last the one for any other task."""
        return [self[name].start for name in OPENINGS[self.sizes.layout]]

    @property
    def added(self) -> dict[str, int]:
        """Name to size of the ranges that tasks of other packages brought, in order."""
        return {each.name: len(each) for each in self if each.name not in self._shipped}

    def first(self, ids: int) -> Vocabulary:
        """Return the vocabulary of the first ids alone, as weights have it that were trained before ranges were added.

        Raises:
            ValueError: if a range is cut, or one of the layout or of learned codes is left out.
        """
        shorter = copy.copy(self)
        shorter._ranges = {each.name: each for each in self if each.stop <= ids}
        if len(shorter) != ids or not self._shipped <= shorter._ranges.keys():
            raise ValueError(f"the first {ids} of {len(self)} ids are no vocabulary; whole ranges can be left out")
        return shorter

    def rivals(self, used: Collection[IdRange]) -> tuple[IdRange, ...]:
        """Ranges beside those of a task over which it is trained: in layout ``ait`` all others that the release has."""
        if self.sizes.layout == "mad":
            return ()
        return tuple(other for other in self if other.stop <= self.openings[0] and other not in used)

    def id(self, name: str) -> int:
        """The only id of a range of size one, such as ``mask``."""
        ids = self[name]
        if len(ids) != 1:
            raise ValueError(f"range {name!r} has {len(ids)} ids, not one; index it instead")
        return ids.start


def _mad_layout(sizes: Sizes, words: int) -> list[tuple[str, int]]:
    return [
        ("detection_prompt", DETECTION_PROMPT),
        ("segmentation_prompt", 1),
        ("keypoints_prompt", 1),
        ("caption_prompt", CAPTION_PROMPT),
        ("depth_prompt", 1),
        ("start", 1),
        ("parallel", 1),
        ("reserved", 2),
        ("mask", 1),
        ("class", sizes.classes),
        ("no_object", 1),
        ("coordinate", sizes.bins + 1),
        ("foreground", 1),
        ("background", 1),
        ("visible", 1),
        ("invisible", 1),
        ("word", words),
        ("depth_bin", sizes.depth_bins),
    ]


def _ait_layout(sizes: Sizes, mask_codes: int, depth_codes: int) -> list[tuple[str, int]]:
    return [
        ("coordinate", sizes.bins + 1),
        ("class", sizes.classes),
        ("reserved", 1),
        ("no_object", 1),
        (MASK_CODE, mask_codes),
        (DEPTH_CODE, depth_codes),
        *([("others", sizes.others)] if sizes.others else []),
        ("boxes_start", 1),  # the rows of AiT's release end here
        ("instances_start", 1),
        ("depth_start", 1),
        ("start", 1),
        ("parallel", 1),
        ("mask", 1),
    ]


OPENINGS = {
    "mad": ("detection_prompt", "segmentation_prompt", "keypoints_prompt", "caption_prompt", "depth_prompt", "start"),
    "ait": ("boxes_start", "instances_start", "depth_start", "start"),
}
